"""A lock for the few milliseconds of reading and rewriting a record.

The lock belongs to an open folder, so that it ends with its process: a crash
leaves no lock file behind.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobforge.storage.publish import make_folder

try:
    import fcntl
except ImportError:  # Windows has no flock; there two processes must not share a table
    fcntl = None  # type: ignore[assignment] # the name stays, and says what there is


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which is made where it is not there.

    Raises:
        DataRootError: The folder cannot be made.
    """
    make_folder(folder)
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
