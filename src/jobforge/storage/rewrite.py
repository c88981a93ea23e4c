"""Records that several processes rewrite: read, changed and published under a lock.

The lock belongs to the record's own open file, so that it ends with its
process: a crash leaves no lock file behind, and writers of different records
never wait for each other.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from jobforge.errors import PublishConflictError, RecordError
from jobforge.storage.publish import publish_bytes
from jobforge.storage.sync import open_to_lock, wait_for


def rewrite(path: Path, change: Callable[[bytes | None], bytes | None]) -> None:
    """Change a record, or make it where there is none.

    Args:
        path: The record.
        change: Gets what is there (None where nothing is) and gives what is to
            be there, or None to leave it. Called again where somebody else was
            quicker.

    Raises:
        RecordError: What is there cannot be read.
        DataRootError: The folder cannot be created or written.
        WriteError: The operating system refused the write.
    """
    while not _rewritten(path, change):
        pass


def _rewritten(path: Path, change: Callable[[bytes | None], bytes | None]) -> bool:
    try:
        handle = open_to_lock(path)
    except (FileNotFoundError, NotADirectoryError):
        return _made(path, change)
    except OSError as error:
        raise cannot_read(path, error) from error
    try:
        wait_for(handle)
        if not _still(path, handle):
            return False
        try:
            found = path.read_bytes()
        except OSError as error:
            raise cannot_read(path, error) from error
        data = change(found)
        if data is not None:
            publish_bytes(path, data, replace=True)
    finally:
        os.close(handle)
    return True


def _made(path: Path, change: Callable[[bytes | None], bytes | None]) -> bool:
    data = change(None)
    if data is None:
        return True
    try:
        publish_bytes(path, data, replace=False)
    except PublishConflictError:
        return False
    return True


def _still(path: Path, handle: int) -> bool:
    """Whether the file that is open is the one that has the name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except OSError:
        return False


def cannot_read(path: Path, error: OSError) -> RecordError:
    """The error for a record that the operating system does not give."""
    return RecordError(
        f"the record {path} cannot be read ({error.strerror})",
        hint="look at its permissions and the disk, or restore it from a backup",
    )
