"""The files of an image, collected from this machine: programs with the libraries they load."""

import hashlib
import io
import re
import subprocess
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

LOOK_S = 10.0
LIBRARIES = "/lib"  # on the default search path of every loader
_LIBRARY = re.compile(r"^\s*(?:(?P<name>\S+) => )?(?P<path>/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)
_MISSING = re.compile(r"^\s*(\S+) => not found$", re.MULTILINE)


class CannotBuild(Exception):
    """Something an image needs is not on this machine; the message says how to get it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file, or a folder when it has no content."""

    content: bytes | None
    mode: int
    uid: int


class Rootfs:
    """A root file system in memory; equal contents make equal archives."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def folder(self, path: str, *, mode: int = 0o755, uid: int = 0) -> None:
        """Make an empty folder."""
        self._entries[path] = Entry(content=None, mode=mode, uid=uid)

    def text(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file."""
        self._entries[path] = Entry(content=text.encode(), mode=mode, uid=0)

    def file(self, path: str, source: Path) -> None:
        """Copy a file; what is executable stays so."""
        executable = source.stat().st_mode & 0o111
        mode = 0o755 if executable else 0o644
        self._entries[path] = Entry(content=source.read_bytes(), mode=mode, uid=0)

    def tree(self, path: str, source: Path) -> None:
        """Copy a folder."""
        for each in sorted(source.rglob("*")):
            if each.is_file():
                self.file(f"{path}/{each.relative_to(source)}", each)

    def program(self, path: str, source: Path) -> None:
        """Copy a program with its loader and every library it is linked to.

        Raises:
            CannotBuild: it lacks a library here, so it would not run in the image either.
        """
        self.file(path, source)
        for library in _libraries(source):
            loader = library.name.startswith("ld-")
            self.file(str(library) if loader else f"{LIBRARIES}/{library.name}", library)

    def archive(self) -> bytes:
        """Return everything as a tar archive, folders first, with no time and no owner's name."""
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path, entry in sorted(self._with_parents().items()):
                header = tarfile.TarInfo(path.lstrip("/"))
                header.mode = entry.mode
                header.uid = header.gid = entry.uid
                header.type = tarfile.DIRTYPE if entry.content is None else tarfile.REGTYPE
                header.size = len(entry.content or b"")
                archive.addfile(header, io.BytesIO(entry.content or b""))
        return stream.getvalue()

    def _with_parents(self) -> dict[str, Entry]:
        parents = {str(parent) for path in self._entries for parent in Path(path).parents}
        plain = Entry(content=None, mode=0o755, uid=0)
        return {**dict.fromkeys(parents - {"/"}, plain), **self._entries}


def fingerprint(archive: bytes, settings: Iterable[str]) -> str:
    """Return what an image is, in 64 characters: equal exactly when a rebuild would be."""
    digest = hashlib.sha256(archive)
    for setting in settings:
        digest.update(b"\0" + setting.encode())
    return digest.hexdigest()


def _libraries(program: Path) -> list[Path]:
    told = subprocess.run(
        ["ldd", program],  # noqa: S607 - libc's, wherever it is
        capture_output=True,
        text=True,
        timeout=LOOK_S,
        check=False,
    )
    if told.returncode != 0:
        return []  # statically linked: ldd says so with status 1
    missing = _MISSING.findall(told.stdout)
    if missing:
        raise CannotBuild(f"{program}: its library {missing[0]} is not installed here")
    return [Path(match["path"]) for match in _LIBRARY.finditer(told.stdout)]
