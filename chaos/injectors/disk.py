"""The disk under a Redis: slow fsyncs, and what a loss of power leaves of its files.

A shim (`fsync_shim.c`, compiled into the private room) is loaded into redis-server. It notes in a
mapped table how long each file was when its last completed fsync began, and takes the time the
table says for each fsync of an append-only file. A loss of power cuts each file to that length.
"""

import mmap
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

from chaos.servers.binaries import GET_COMPILER, compiler
from chaos.stacks.contract import StackMissing

SHIM = Path(__file__).with_name("fsync_shim.c")
COMPILED_S = 60.0
_MAGIC = 0x686F6C6466617374
_HEADER = struct.Struct("=QQ")  # magic, delay in microseconds
_SLOT = struct.Struct("=QQQ")  # device, inode, synced size
_SLOTS = 4096
_SIZE = _HEADER.size + _SLOTS * _SLOT.size


class Disk:
    """What is known of one redis-server's files, and how slow its fsyncs are."""

    def __init__(self, folder: Path) -> None:
        """Compile the shim into a folder.

        Raises:
            StackMissing: there is no C compiler, or it cannot compile the shim.
        """
        library = folder / "fsync_shim.so"
        _compile(library)
        path = folder / "fsyncs"
        path.write_bytes(bytes(_SIZE))
        with path.open("r+b") as file:
            self._table = mmap.mmap(file.fileno(), _SIZE)
        self._slow: list[float] = []
        self.environment = {"LD_PRELOAD": str(library), "HOLDFAST_FSYNC": str(path)}

    @property
    def watched(self) -> bool:
        """Whether a server has loaded the shim since `renew`."""
        return bool(_HEADER.unpack_from(self._table)[0] == _MAGIC)

    def renew(self) -> None:
        """Forget everything: the server has ended and its files are gone."""
        self._slow.clear()
        self._table[:] = bytes(_SIZE)

    def close(self) -> None:
        """Unmap the table."""
        self._table.close()

    def slow_down(self, fsync_s: float) -> None:
        """From now on each fsync takes this much longer; the slowest of several counts."""
        self._slow.append(fsync_s)
        self._set_delay()

    def speed_up(self, fsync_s: float) -> None:
        """Take a `slow_down` back; those that are under way end at once."""
        self._slow.remove(fsync_s)
        self._set_delay()

    @property
    def fsync_s(self) -> float:
        """How much longer an fsync takes now."""
        return float(_HEADER.unpack_from(self._table)[1]) / 1e6

    def lose_power(self, data: Path) -> str:
        """Cut every file of an ended server to what was synced; says how much that was.

        A file of which nothing was synced stays, empty: its name is on the disk, since Redis 7
        syncs the directory before its manifest names an increment.
        """
        synced = {(device, inode): size for device, inode, size in self._slots() if size}
        lost, cut = 0, 0
        files = sorted(each for each in data.rglob("*") if each.is_file())
        if not files:
            return "nothing on the disk"
        for path in files:
            about = path.stat()
            kept = min(about.st_size, synced.get((about.st_dev, about.st_ino), 0))
            if kept < about.st_size:
                lost, cut = lost + about.st_size - kept, cut + 1
                os.truncate(path, kept)
        return f"the disk lost {lost} bytes in {cut} files" if cut else "the disk kept all"

    def _slots(self) -> Iterator[tuple[int, int, int]]:
        return _SLOT.iter_unpack(self._table[_HEADER.size :])

    def _set_delay(self) -> None:
        delay_us = round(max(self._slow, default=0.0) * 1e6)
        struct.pack_into("=Q", self._table, 8, delay_us)


def _compile(library: Path) -> None:
    command = [compiler(), "-O2", "-fPIC", "-shared", "-o", library, SHIM, "-ldl"]
    try:
        told = subprocess.run(  # noqa: S603 - the compiler, our own source
            [str(word) for word in command],
            capture_output=True,
            text=True,
            timeout=COMPILED_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StackMissing(f"C compiler: {error}. {GET_COMPILER}") from error
    if told.returncode:
        raise StackMissing(f"C compiler: {told.stderr.strip()}. {GET_COMPILER}")
