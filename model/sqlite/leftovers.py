"""Folders that a killed process left behind, removed by the next one.

A simulated database opens its files and removes their names within milliseconds. A process that is
killed (SIGKILL) just then leaves the folder; its name says whose it was.
"""

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

PREFIX = "holdfast-sqlite-"


def folder_prefix() -> str:
    """Return how the folders of this process begin."""
    return f"{PREFIX}{os.getpid()}-"


@cache
def sweep_once() -> None:
    """Remove the folders of processes that are gone; looks once in the life of a process."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        owner = folder.name.removeprefix(PREFIX).split("-")[0]
        if owner.isdecimal() and not _lives(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's
    return True
