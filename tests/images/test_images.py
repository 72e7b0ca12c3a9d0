"""The files of an image: complete enough to run, and equal when nothing has changed."""

import io
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.images.rootfs import CannotBuild, Rootfs, _libraries, fingerprint


def unpacked(files: Rootfs, folder: Path) -> Path:
    """The archive, as Docker would have it."""
    with tarfile.open(fileobj=io.BytesIO(files.archive())) as archive:
        archive.extractall(folder, filter="fully_trusted")  # noqa: S202 - our own
    return folder


def test_a_program_is_packed_with_its_loader_and_libraries(tmp_path: Path) -> None:
    """It runs with them and nothing else: the loader of the image searches the image's folder."""
    source = Path(shutil.which("dash") or shutil.which("sh") or "").resolve()
    files = Rootfs()
    files.program("/bin/sh", source)
    root = unpacked(files, tmp_path)
    (loader,) = [path for path in root.rglob("ld-*") if path.is_file()]
    told = subprocess.run(
        [loader, "--library-path", root / "lib", root / "bin" / "sh", "-c", "echo it runs"],
        env={},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "it runs\n"


def test_a_library_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An image with it left out would fail only when it is started."""
    liar = tmp_path / "ldd"
    liar.write_text("#!/bin/sh\necho '	libodd.so.1 => not found'\n")
    liar.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(CannotBuild, match=r"libodd\.so\.1 is not installed here"):
        _libraries(Path("/bin/program"))


def test_equal_files_make_equal_images_and_others_do_not() -> None:
    """Whatever the order; a mode, an owner or a setting makes a difference."""

    def image(*order: str, mode: int = 0o644, settings: tuple[str, ...] = ("CMD a",)) -> str:
        files = Rootfs()
        for name in order:
            files.text(f"/etc/{name}", name, mode=mode)
        return fingerprint(files.archive(), settings)

    assert image("a", "b") == image("b", "a")
    different = {
        image("a"),
        image("a", "b"),
        image("a", mode=0o755),
        image("a", settings=("CMD b",)),
    }
    assert len(different) == 4


def test_folders_have_the_mode_and_owner_they_were_given(tmp_path: Path) -> None:
    """A named volume takes both from the image's folder: PostgreSQL needs its own."""
    files = Rootfs()
    files.folder("/var/lib/data", mode=0o700, uid=70)
    with tarfile.open(fileobj=io.BytesIO(files.archive())) as archive:
        header = archive.getmember("var/lib/data")
        assert (header.uid, stat.S_IMODE(header.mode), header.isdir()) == (70, 0o700, True)
        assert archive.getmember("var").isdir()
