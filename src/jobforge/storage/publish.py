"""Atomic publishing: a file is either not there or whole and on the disk.

Every file of a data root is written to a unique temporary name in its own
folder, synced, renamed into place, and the folder synced. What fails on the
way, an interrupt included, leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from jobforge.errors import DataRootError, PublishConflictError, WriteError

TEMP_SUFFIX = ".tmp"


def sync_file(path: Path) -> None:
    """Ask the operating system to put the file's bytes on the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folder(folder: Path) -> None:
    """Ask the operating system to put the folder's entries on the disk.

    Windows cannot open a folder for this; there the rename itself is journaled.
    """
    if os.name == "nt":
        return
    sync_file(folder)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, and sync each parent that got a new entry.

    Raises:
        DataRootError: The folder cannot be created.
    """
    missing = []
    probe = folder
    try:
        while not probe.exists() and probe != probe.parent:
            missing.append(probe)
            probe = probe.parent
        folder.mkdir(parents=True, exist_ok=True)
        for made in reversed(missing):
            sync_folder(made.parent)
    except (OSError, ValueError) as error:
        raise DataRootError(
            f"the folder {folder} cannot be created: {error}",
            hint="choose a data root where you may write",
        ) from error


class Publication:
    """Files that become visible together, or not at all where one of them fails.

    Use it as a context manager: `reserve` gives the temporary path to write
    to, `commit` renames each file into place in the order of reservation.
    Leaving the block without `commit` removes what was written. The renames
    are one system call each: a crash between two leaves the earlier visible,
    so reserve first what may stand alone (rejects before the table).
    """

    def __init__(self) -> None:
        self._files: list[tuple[Path, Path, bool]] = []

    def reserve(self, target: Path, *, replace: bool = False) -> Path:
        """A unique temporary path in the folder of `target`.

        Args:
            target: Where the file is to be.
            replace: Whether it may take the place of a file that is there.

        Raises:
            DataRootError: The folder cannot be created or written.
        """
        make_folder(target.parent)
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise DataRootError(
                f"the folder {target.parent} cannot be written",
                hint="choose a data root where you may write",
            )
        temp = target.with_name(f".{target.name}.{uuid.uuid4().hex}{TEMP_SUFFIX}")
        self._files.append((temp, target, replace))
        return temp

    def drop(self, target: Path) -> None:
        """Forget one reserved file and remove what was written to it."""
        for entry in [entry for entry in self._files if entry[1] == target]:
            entry[0].unlink(missing_ok=True)
            self._files.remove(entry)

    def commit(self) -> None:
        """Sync and rename every reserved file.

        Raises:
            WriteError: The operating system refused; what was not renamed is removed.
            PublishConflictError: A file that may not be replaced is there already.
        """
        try:
            for temp, _, _ in self._files:
                sync_file(temp)
            while self._files:
                temp, target, replace = self._files[0]
                _put(temp, target, replace=replace)
                self._files.pop(0)
                sync_folder(target.parent)
        except OSError as error:
            raise WriteError(
                f"{error.filename or 'a file'} could not be published: {error.strerror or error}",
                hint="look at free space and permissions of the data root",
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for temp, _, _ in self._files:
            with contextlib.suppress(OSError):
                temp.unlink(missing_ok=True)
        self._files.clear()


def _put(temp: Path, target: Path, *, replace: bool) -> None:
    """Give a file its name; a file that is there stays unless it may be replaced."""
    if replace or os.name == "nt":
        if not replace and target.exists():
            raise _conflict(target)
        temp.replace(target)
        return
    try:
        # A link fails where the name is taken; a rename would not.
        os.link(temp, target)
    except FileExistsError as error:
        raise _conflict(target) from error
    temp.unlink()


def _conflict(target: Path) -> PublishConflictError:
    return PublishConflictError(
        f"another process has published {target} meanwhile",
        hint="its file stays; promote again, and a new path is used",
    )


def publish_text(target: Path, text: str) -> None:
    """Publish a small text file (UTF-8) atomically, replacing what was there.

    Raises:
        DataRootError: The folder cannot be created or written.
        WriteError: The operating system refused the write.
    """
    with Publication() as publication:
        temp = publication.reserve(target, replace=True)
        try:
            temp.write_text(text, encoding="utf-8")
        except OSError as error:
            raise WriteError(
                f"{target} could not be written: {error.strerror or error}",
                hint="look at free space and permissions of the data root",
            ) from error
        publication.commit()


@contextmanager
def scratch_folder(near: Path) -> Iterator[Path]:
    """A private folder below `near` for the time of the block; removed at its end.

    It is made on first need by the caller writing into it, so that a reader
    that needs no scratch space leaves no trace.
    """
    folder = near / f".scratch.{uuid.uuid4().hex}{TEMP_SUFFIX}"
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
