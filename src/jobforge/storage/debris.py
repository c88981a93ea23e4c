"""What a killed process leaves behind, and how to tell it from the work of a living one."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jobforge.storage.publish import TEMP_SUFFIX, create_held, make_folder
from jobforge.storage.sync import hold, like_folder, open_to_lock, sync_folder

_SCRATCH = ".scratch."
_OURS = re.compile(rf"\..+\.[0-9a-f]{{32}}{re.escape(TEMP_SUFFIX)}")
_MOMENT_SECONDS = 60


def is_temporary(name: str) -> bool:
    """Whether a name is one of those that jobforge gives to unfinished files."""
    return name.startswith(".") and name.endswith(TEMP_SUFFIX)


def is_abandoned(path: Path) -> bool:
    """Whether no living process writes this file: its lock is free."""
    try:
        handle = open_to_lock(path)
    except OSError:
        return False
    try:
        return hold(handle)
    finally:
        os.close(handle)


def sweep(folder: Path) -> list[Path]:
    """Remove the temporary files of a folder that nobody writes any more.

    Returns:
        What was removed.
    """
    removed = []
    for path in temporaries(folder):
        marker = take_over(path)
        if marker is not None:  # held, so that nobody writes it while it goes
            marker.done()
            removed.append(path)
    return removed


def left_behind(folders: Iterable[Path]) -> list[Path]:
    """Temporary files of jobforge, however deep in folders, that nobody writes any more.

    One that is empty may have been made just now, by somebody who is about to lock it.
    """
    found = []
    for top in folders:
        for folder, inside, names in os.walk(top):
            inside[:] = sorted(name for name in inside if not is_temporary(name))
            for path in [Path(folder) / name for name in sorted(names) if _OURS.fullmatch(name)]:
                with contextlib.suppress(OSError):  # its owner may remove it just now
                    known = path.lstat()
                    old = known.st_mtime < time.time() - _MOMENT_SECONDS
                    if (known.st_size or old) and is_abandoned(path) and path.exists():
                        found.append(path)
    return found


def temporaries(folder: Path) -> list[Path]:
    """Temporary files of a folder, whoever writes them."""
    try:
        with os.scandir(folder) as entries:
            return [
                Path(entry.path)
                for entry in entries
                if is_temporary(entry.name) and entry.is_file(follow_symlinks=False)
            ]
    except OSError:
        return []


def scratch_path(near: Path, owner: str) -> Path:
    """Where the scratch files of one owner, such as a transition, stand."""
    return near / f"{_SCRATCH}{owner}{TEMP_SUFFIX}"


def scratch_owner(path: Path) -> str | None:
    """The owner of a scratch folder, or None where it is something else."""
    name = path.name.removeprefix(_SCRATCH)
    return name.removesuffix(TEMP_SUFFIX) if name != path.name and path.is_dir() else None


@contextmanager
def scratch_folder(near: Path, owner: str) -> Iterator[Path]:
    """A private folder below `near` for the time of the block; removed at its end.

    It is made on first need by the caller writing into it, so that work that
    needs no scratch space leaves no trace.

    Args:
        near: Where it is to be.
        owner: A name that nobody else uses.
    """
    folder = scratch_path(near, owner)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Marker:
    """A file that says that work is going on, for as long as its lock is held.

    Args:
        path: The file.
        handle: Its open, locked handle.
    """

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle: int | None = handle

    def done(self) -> None:
        """The work is recorded: the file goes, then its lock."""
        with contextlib.suppress(OSError):
            self.path.unlink()
        self.release()

    def release(self) -> None:
        """Let go of the lock; a file that still stands is one of unfinished work."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def mark(path: Path) -> Marker:
    """Say that work has begun: an empty file, locked, and on the disk.

    Raises:
        DataRootError: It cannot be made.
    """
    make_folder(path.parent)
    marker = Marker(path, create_held(path))
    try:
        like_folder(path)
        sync_folder(path.parent)
    except BaseException:
        marker.done()
        raise
    return marker


def take_over(path: Path) -> Marker | None:
    """The marker of work that nobody does any more, or None where somebody does it."""
    try:
        handle = open_to_lock(path)
    except OSError:
        return None
    # Whoever held it may have finished between the two calls, and the file be gone.
    if hold(handle) and path.exists():
        return Marker(path, handle)
    os.close(handle)
    return None
