/* Watches and slows down the fsyncs of one process (LD_PRELOAD).
 *
 * HOLDFAST_FSYNC names a file that is mapped here and in the process that breaks things:
 *
 *     uint64 magic      set by this shim when it is loaded
 *     uint64 delay_us   what each fsync of an append-only file takes longer; 0: nothing
 *     { uint64 device, inode, size } * SLOTS
 *
 * A slot says how long a file was when its last completed fsync began: that much a power loss
 * leaves. The inode is the key because Redis renames its files; what is known of one is forgotten
 * when the file is deleted or replaced, since the inode may come back as another file.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define MAGIC 0x686f6c6466617374ULL /* "holdfast" */
#define SLOTS 4096
#define SLICE_US 2000

struct slot {
    uint64_t device, inode, size;
};

struct table {
    uint64_t magic, delay_us;
    struct slot slots[SLOTS];
};

static struct table *table;
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);
static int (*real_ftruncate)(int, off_t);

__attribute__((constructor)) static void load(void)
{
    real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    real_unlink = (int (*)(const char *))dlsym(RTLD_NEXT, "unlink");
    real_rename = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
    real_ftruncate = (int (*)(int, off_t))dlsym(RTLD_NEXT, "ftruncate");
    const char *path = getenv("HOLDFAST_FSYNC");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *mapped = mmap(NULL, sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped == MAP_FAILED)
        return;
    table = mapped;
    __atomic_store_n(&table->magic, MAGIC, __ATOMIC_SEQ_CST);
}

/* The slot of a file; with `make`, a free one is claimed for it. */
static struct slot *find(const struct stat *about, int make)
{
    uint64_t first = about->st_ino % SLOTS;
    for (uint64_t step = 0; step < SLOTS; step++) {
        struct slot *slot = &table->slots[(first + step) % SLOTS];
        uint64_t inode = __atomic_load_n(&slot->inode, __ATOMIC_SEQ_CST);
        if (inode == 0) {
            if (!make)
                return NULL;
            uint64_t none = 0;
            if (__atomic_compare_exchange_n(&slot->inode, &none, about->st_ino, 0,
                                            __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
                slot->device = about->st_dev;
                return slot;
            }
            inode = none;
        }
        if (inode == about->st_ino && slot->device == about->st_dev)
            return slot;
    }
    return NULL;
}

/* Whether a file is an append-only file (by its name now), the only ones that are slowed down. */
static int is_append_only(int file)
{
    char link[64], name[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length < 0)
        return 0;
    name[length] = '\0';
    return strstr(name, ".aof") != NULL;
}

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Take as long as the table says, also when it says something else meanwhile. */
static void dawdle(int file)
{
    if (!__atomic_load_n(&table->delay_us, __ATOMIC_SEQ_CST) || !is_append_only(file))
        return;
    uint64_t began_us = now_us();
    while (now_us() - began_us < __atomic_load_n(&table->delay_us, __ATOMIC_SEQ_CST)) {
        struct timespec slice = {0, SLICE_US * 1000L};
        nanosleep(&slice, NULL);
    }
}

static int watched(int file, int (*sync)(int))
{
    struct stat about;
    if (table == NULL || fstat(file, &about) != 0 || !S_ISREG(about.st_mode))
        return sync(file);
    dawdle(file);
    int result = sync(file);
    int error = errno;
    if (result == 0) {
        struct slot *slot = find(&about, 1);
        if (slot != NULL)
            __atomic_store_n(&slot->size, (uint64_t)about.st_size, __ATOMIC_SEQ_CST);
    }
    errno = error;
    return result;
}

int fsync(int file) { return watched(file, real_fsync); }

int fdatasync(int file) { return watched(file, real_fdatasync); }

/* An inode whose last name goes may come back as another file, of which nothing is synced. */
static void forget(const struct stat *about)
{
    struct slot *slot = find(about, 0);
    if (slot != NULL)
        __atomic_store_n(&slot->size, 0, __ATOMIC_SEQ_CST);
}

static int last_name(const char *path, struct stat *about)
{
    return table != NULL && lstat(path, about) == 0 && about->st_nlink == 1;
}

int unlink(const char *path)
{
    struct stat about;
    int last = last_name(path, &about);
    int result = real_unlink(path);
    if (result == 0 && last)
        forget(&about);
    return result;
}

int rename(const char *from, const char *to)
{
    struct stat about;
    int last = last_name(to, &about);
    int result = real_rename(from, to);
    if (result == 0 && last)
        forget(&about);
    return result;
}

static int truncated(int file, off_t length, int (*truncate)(int, off_t))
{
    struct stat about;
    int result = truncate(file, length);
    if (result == 0 && table != NULL && fstat(file, &about) == 0) {
        struct slot *slot = find(&about, 0);
        if (slot != NULL && slot->size > (uint64_t)length)
            __atomic_store_n(&slot->size, (uint64_t)length, __ATOMIC_SEQ_CST);
    }
    return result;
}

int ftruncate(int file, off_t length) { return truncated(file, length, real_ftruncate); }

/* The name under which programs built for large files call it. */
int ftruncate64(int file, off_t length) { return truncated(file, length, real_ftruncate); }
