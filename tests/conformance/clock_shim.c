/* Gives one process the wall clock that a test sets (LD_PRELOAD).
 *
 * HOLDFAST_CLOCK names a file that holds the microseconds since the epoch; it is mapped here and in
 * the test. The monotonic clock, on which servers wait, stays what it is.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *wall_us;

__attribute__((constructor)) static void load(void)
{
    const char *path = getenv("HOLDFAST_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        abort();
    void *mapped = mmap(NULL, sizeof *wall_us, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped == MAP_FAILED)
        abort();
    wall_us = mapped;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    (void)zone;
    int64_t us = *wall_us;
    now->tv_sec = us / 1000000;
    now->tv_usec = us % 1000000;
    return 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (wall_us == NULL || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
        return (int)syscall(SYS_clock_gettime, clock, now);
    int64_t us = *wall_us;
    now->tv_sec = us / 1000000;
    now->tv_nsec = us % 1000000 * 1000;
    return 0;
}

time_t time(time_t *now)
{
    time_t seconds = (time_t)(*wall_us / 1000000);
    if (now != NULL)
        *now = seconds;
    return seconds;
}
