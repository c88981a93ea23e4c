"""Putting bytes, names and permissions on the disk, where operating systems differ."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows; there a lock cannot be told from none
    fcntl = None  # type: ignore[assignment] # the name stays, and says what there is

WINDOWS = os.name == "nt"
_FULL_SYNC = getattr(fcntl, "F_FULLFSYNC", None)
_BUSY_SECONDS = (0.01, 0.05, 0.2, 1.0)


def sync_file(path: Path) -> None:
    """Ask the operating system to put the file's bytes on the disk.

    macOS has a call of its own for this: its `fsync` stops at the cache of the
    drive. Windows wants a handle that may write.
    """
    handle = os.open(path, os.O_RDWR if WINDOWS else os.O_RDONLY)
    try:
        if _FULL_SYNC is not None:
            fcntl.fcntl(handle, _FULL_SYNC)
        else:
            os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Ask the operating system to put the folder's entries on the disk.

    Windows cannot open a folder for this; there the rename itself is journaled.
    """
    if not WINDOWS:
        sync_file(folder)


def like_folder(path: Path) -> None:
    """Give a new file or folder the permissions of the folder it is in.

    A folder that everybody may write and nobody may clear, such as `/tmp`, is
    no example: there the usual mask of the process holds.
    """
    if WINDOWS:
        return
    wanted = path.parent.stat().st_mode
    if wanted & stat.S_ISVTX:
        return
    mode = stat.S_IMODE(wanted)
    with contextlib.suppress(OSError):  # a file system without permissions keeps none
        path.chmod(mode if path.is_dir() else mode & 0o666)


def rename(temp: Path, target: Path) -> None:
    """Rename over what is there; on Windows, wait a moment for a reader to close it."""
    for pause in _BUSY_SECONDS if WINDOWS else ():
        try:
            temp.replace(target)
        except PermissionError:
            time.sleep(pause)
        else:
            return
    temp.replace(target)


def hold(handle: int) -> bool:
    """Take the lock of an open file without waiting; it ends with the process.

    Returns:
        Whether it was free. Where there are no such locks, never.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def wait_for(handle: int) -> None:
    """Take the lock of an open file, however long it takes."""
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX)


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a file that is never replaced; where it is not there, of nothing.

    The lock belongs to the open file: it ends with its process, and leaves no
    lock file behind.
    """
    try:
        handle = open_to_lock(path)
    except FileNotFoundError:
        yield
        return
    try:
        wait_for(handle)
        yield
    finally:
        os.close(handle)


def open_to_lock(path: Path) -> int:
    """Open a file so that it can be locked; NFS locks only what may be written."""
    try:
        return os.open(path, os.O_RDWR)
    except PermissionError:
        return os.open(path, os.O_RDONLY)
