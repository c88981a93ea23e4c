"""Atomic publishing: a file is either not there or whole and on the disk.

Every file of a data root is written to a unique temporary name in its own
folder, synced, given its name, and the folder synced. What fails on the way,
an interrupt included, leaves nothing behind. A process that is killed cannot
tidy up; whoever finds its temporary files can tell that they are abandoned,
because a living writer holds a lock on each of its own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from jobforge.errors import DataRootError, JobforgeError, PublishConflictError, WriteError
from jobforge.storage.source import hash_file
from jobforge.storage.sync import (
    WINDOWS,
    like_folder,
    open_to_lock,
    rename,
    sync_file,
    sync_folder,
    wait_for,
)

TEMP_SUFFIX = ".tmp"
_LARGE = 1 << 22
"""Bytes that take the disk longer than a second sync of the file."""
SPACE = "look at free space and permissions of the data root"


@dataclass(frozen=True)
class Hints:
    """What to do where a file cannot be published.

    Args:
        folder: Its folder cannot be made or written.
        space: The disk is full, or refuses.
        taken: Somebody else has published it meanwhile.
    """

    folder: str = "choose a data root where you may write"
    space: str = SPACE
    taken: str = "its file stays; promote again, and a new path is used"


IN_ROOT = Hints()
OUTSIDE = Hints(
    "choose a folder where you may write",
    "look at free space and permissions of the folder",
    "its file stays; name another one",
)
"""For files that somebody wants elsewhere than in the data root."""


def make_folder(folder: Path, hints: Hints = IN_ROOT) -> None:
    """Create a folder and its parents, and sync each parent that got a new entry.

    Args:
        folder: The folder.
        hints: What to do where that fails.

    Raises:
        DataRootError: The folder cannot be created.
    """
    missing = []
    probe = folder
    try:
        if folder.is_dir():
            return
        while not probe.exists() and probe != probe.parent:
            missing.append(probe)
            probe = probe.parent
        for made in reversed(missing):
            with contextlib.suppress(FileExistsError):
                made.mkdir()
                like_folder(made)
            sync_folder(made.parent)
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise DataRootError(
            f"the folder {folder} cannot be created: {error}", hint=hints.folder
        ) from error


def hash_and_sync(path: Path) -> str:
    """The SHA-256 of a file that is to be published, as lower-case hex.

    Becoming visible waits for the disk; so the bytes of a large file go there
    while they are hashed, and little is left to wait for.

    Raises:
        SourceUnreadableError: The operating system refused to read.
        WriteError: It refused to write.
    """
    if path.stat().st_size < _LARGE:
        return hash_file(path)
    with ThreadPoolExecutor(1) as helper:
        synced = helper.submit(sync_file, path)
        digest = hash_file(path)
        try:
            synced.result()
        except OSError as error:
            raise WriteError(f"{path} could not be written: {error}", hint=SPACE) from error
    return digest


def create_held(path: Path, hints: Hints = IN_ROOT) -> int:
    """Make an empty file, readable by nobody else yet, and take its lock.

    Args:
        path: The file.
        hints: What to do where that fails.

    Raises:
        DataRootError: It cannot be made.
        WriteError: There is no space.
    """
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise WriteError(
                    f"there is no space left in {path.parent}", hint=hints.space
                ) from error
            long = error.errno == errno.ENAMETOOLONG
            raise DataRootError(
                f"the folder {path.parent} cannot be written: {error.strerror}",
                hint="choose a shorter name" if long else hints.folder,
            ) from error
        wait_for(handle)
        # Before it was locked, somebody may have tidied it away as abandoned.
        if path.exists():
            return handle
        os.close(handle)


@dataclass
class _File:
    temp: Path
    target: Path
    replace: bool
    handle: int | None = None
    placed: bool = False


class Publication:
    """Files that become visible one after the other, or not at all where one of them fails.

    Use it as a context manager: `reserve` gives the temporary path to write
    to, `place` gives each file its name in the order of reservation, and
    `keep` says that all of them stay. Leaving the block without `keep` removes
    what was written, under whichever name. A crash between two names leaves the
    earlier visible, so reserve first what may stand alone (rejects before the
    table).

    Args:
        landed: Asked where the block ends without `keep`: whether somebody
            refers to the placed files by now, so that they have to stay.
        final: A file stays as soon as it has its name: others build on it.
        hints: What to do where something fails.
    """

    def __init__(
        self,
        landed: Callable[[], bool] = lambda: False,
        *,
        final: bool = False,
        hints: Hints = IN_ROOT,
    ) -> None:
        self._files: list[_File] = []
        self._landed = landed
        self._final = final
        self._hints = hints

    def reserve(self, target: Path, *, replace: bool = False) -> Path:
        """A unique temporary path in the folder of `target`, already there and empty.

        Args:
            target: Where the file is to be.
            replace: Whether it may take the place of a file that is there.

        Raises:
            DataRootError: The folder cannot be created or written.
        """
        make_folder(target.parent, self._hints)
        temp = _temporary(target)
        file = _File(temp, target, replace)
        self._files.append(file)
        file.handle = create_held(temp, self._hints)
        if WINDOWS:  # an open file could be neither written by others nor renamed there
            _close(file)
        return temp

    def adopt(self, made: Path, target: Path) -> Path:
        """A temporary path in the folder of `target` for a file that is written already.

        Args:
            made: The file; it is moved, or copied to another file system.
            target: Where it is to be.

        Raises:
            DataRootError: The folder cannot be created or written.
            WriteError: The operating system refused.
        """
        make_folder(target.parent, self._hints)
        try:
            if made.stat().st_dev != target.parent.stat().st_dev:
                temp = self.reserve(target)
                shutil.copyfile(made, temp)
                return temp
            temp = _temporary(target)
            file = _File(temp, target, replace=False)
            self._files.append(file)
            if not WINDOWS:
                # Locked before it has its new name, so that nobody takes it for abandoned.
                file.handle = open_to_lock(made)
                wait_for(file.handle)
            made.rename(temp)
        except OSError as error:
            raise WriteError(
                f"{target} could not be written: {error.strerror or error}", hint=self._hints.space
            ) from error
        return temp

    def drop(self, target: Path) -> None:
        """Forget one reserved file and remove what was written to it."""
        for file in [file for file in self._files if file.target == target]:
            _remove(file, placed=True)
            self._files.remove(file)

    def place(self) -> None:
        """Sync every reserved file and give it its name.

        Raises:
            WriteError: The operating system refused.
            PublishConflictError: A file that may not be replaced is there already.
        """
        waiting = [file for file in self._files if not file.placed]
        try:
            for file in waiting:
                if not file.temp.stat().st_size:
                    raise WriteError(f"{file.target} was never written", hint=self._hints.space)
                like_folder(file.temp)
                sync_file(file.temp)
            for file in waiting:
                _put(file, self._hints)
                if self._final:
                    _close(file)  # whoever changes it next need not wait for this process
                sync_folder(file.target.parent)
        except JobforgeError:
            raise
        except OSError as error:
            raise WriteError(
                f"{error.filename or 'a file'} could not be published: {error.strerror or error}",
                hint=self._hints.space,
            ) from error

    def keep(self) -> None:
        """What was placed stays when the block ends."""
        kept = [file for file in self._files if file.placed]
        # First forgotten, then closed: an interrupt between the two removes nothing.
        self._files = [file for file in self._files if not file.placed]
        for file in kept:
            _close(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        placed = bool(self._files) and not self._final and not self._landed()
        for file in self._files:
            _remove(file, placed=placed)
        self._files.clear()


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.{uuid.uuid4().hex}{TEMP_SUFFIX}")


def _put(file: _File, hints: Hints) -> None:
    """Give a file its name; a file that is there stays unless it may be replaced."""
    if file.replace or WINDOWS:
        if not file.replace and file.target.exists():
            raise _conflict(file.target, hints)
        rename(file.temp, file.target)
        file.placed = True
        return
    try:
        # A link fails where the name is taken; a rename would not.
        os.link(file.temp, file.target)
    except FileExistsError as error:
        raise _conflict(file.target, hints) from error
    file.placed = True
    file.temp.unlink()


def _remove(file: _File, *, placed: bool) -> None:
    """Remove a file under its temporary name and, where `placed`, under its own.

    What was replaced cannot come back, and what is there is whole: it stays.
    """
    with contextlib.suppress(OSError):
        if placed and not file.replace and _ours(file):
            file.target.unlink()
    with contextlib.suppress(OSError):
        file.temp.unlink(missing_ok=True)
    _close(file)


def _ours(file: _File) -> bool:
    """Whether the file under the final name is the one that was written here."""
    if file.handle is None:
        return file.placed
    return os.path.samestat(file.target.stat(), os.fstat(file.handle))


def _close(file: _File) -> None:
    if file.handle is not None:
        os.close(file.handle)
        file.handle = None


def _conflict(target: Path, hints: Hints) -> PublishConflictError:
    return PublishConflictError(
        f"another process has published {target} meanwhile", hint=hints.taken
    )


def publish_bytes(target: Path, data: bytes, *, replace: bool, hints: Hints = IN_ROOT) -> None:
    """Publish a small file atomically.

    Args:
        target: Where it is to be.
        data: All of it.
        replace: Whether it may take the place of a file that is there.
        hints: What to do where something fails.

    Raises:
        DataRootError: The folder cannot be created or written.
        WriteError: The operating system refused the write.
        PublishConflictError: The file is there and may not be replaced.
    """
    publish_file(target, lambda temp: temp.write_bytes(data), replace=replace, hints=hints)


def publish_file(
    target: Path, write: Callable[[Path], object], *, replace: bool, hints: Hints = IN_ROOT
) -> None:
    """Publish a file atomically that somebody else writes.

    Args:
        target: Where it is to be.
        write: Writes all of it to the path that it is given.
        replace: Whether it may take the place of a file that is there.
        hints: What to do where something fails.

    Raises:
        DataRootError: The folder cannot be created or written.
        WriteError: The operating system refused the write.
        PublishConflictError: The file is there and may not be replaced.
    """
    with Publication(final=True, hints=hints) as publication:
        temp = publication.reserve(target, replace=replace)
        try:
            write(temp)
        except OSError as error:
            raise WriteError(
                f"{target} could not be written: {error.strerror or error}", hint=hints.space
            ) from error
        publication.place()
        publication.keep()
