"""A versioned table as a Delta table: Polars writes the files, `deltalake` the log.

`deltalake` never syncs what it commits, so it commits to a view of the log;
the entry that it made there is then published like every other file: whole, on
the disk, and only where no other entry has its number.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable

from jobforge.errors import (
    PublishConflictError,
    StorageError,
    TableDamagedError,
    VersionNotFoundError,
)
from jobforge.storage.delta.entries import asked, commit_to, first_entry, read_files
from jobforge.storage.delta.log import (
    commit_of,
    entry_numbers,
    entry_path,
    read_entry,
    reads_as_it_is,
    replay,
    view,
    written,
)
from jobforge.storage.publish import publish_bytes
from jobforge.storage.store import Change, Commit, DataFile, Version
from jobforge.storage.sync import file_lock

_TRIES = 3


class DeltaStore:
    """The versions of one table, in a folder.

    Args:
        folder: Holds the data files and the log.
        scratch: A folder for a few links while a version is made; the system's
            own for temporary files unless given.
    """

    def __init__(self, folder: Path, scratch: Path | None = None) -> None:
        self.folder = folder
        self._scratch = scratch

    def latest(self) -> int | None:
        """Number of the newest version, or None where nothing is published.

        Raises:
            TableDamagedError: The newest entry of the log is torn.
        """
        numbers = entry_numbers(self.folder)
        if not numbers:
            return None
        read_entry(self.folder, numbers[-1])
        return numbers[-1] or None

    def version(self, number: int | None = None) -> Version:
        """A version and its files; the newest unless a number is given.

        Raises:
            VersionNotFoundError: There is no such version.
            TableDamagedError: The log of the table cannot be read.
        """
        numbers = [known for known in entry_numbers(self.folder) if known]
        if not numbers:
            raise VersionNotFoundError("nothing is published yet", hint="promote a batch first")
        wanted = numbers[-1] if number is None else number
        if not 1 <= wanted <= numbers[-1]:
            span = f"it has 1 to {numbers[-1]}"
            raise VersionNotFoundError(f"there is no version {wanted}", hint=span)
        try:
            commit = self.commit(wanted)
            files = self._files(wanted)
        except TableDamagedError as error:
            raise self._damaged(error, wanted) from error
        return Version(wanted, commit, files)

    def commits(self) -> list[tuple[int, Commit]]:
        """What every version says of itself, oldest first.

        Raises:
            TableDamagedError: An entry of the log is missing or damaged.
        """
        newest = max(entry_numbers(self.folder), default=0)
        return [(number, self.commit(number)) for number in range(1, newest + 1)]

    def replayed(self) -> list[tuple[int, Commit, dict[str, DataFile]]]:
        """Every version with what it says of itself and its files, of one moment.

        Raises:
            TableDamagedError: An entry of the log is missing or damaged.
        """
        return [
            (number, commit or self.commit(number), files)
            for number, commit, files in replay(self.folder)
            if number
        ]

    def files_by_version(self) -> dict[int, dict[str, DataFile]]:
        """The files of every version, by name.

        Raises:
            TableDamagedError: An entry of the log is missing or damaged.
        """
        return {number: files for number, _, files in replay(self.folder) if number}

    def find(self, transition_id: str) -> int | None:
        """The version that a transition made, or None where it made none.

        Raises:
            TableDamagedError: An entry of the log is missing or damaged.
        """
        for number in reversed(entry_numbers(self.folder)):
            commit = commit_of(read_entry(self.folder, number))
            if commit is not None and commit.transition_id == transition_id:
                return number
        return None

    def publish(self, change: Change, after: int | None) -> int:
        """Make the next version; its files are there already.

        Args:
            change: What it is.
            after: The version that it has to follow; None for the first.

        Returns:
            Its number.

        Raises:
            PublishConflictError: Another version is there by now.
            WriteError: The operating system refused.
            TableDamagedError: The log of the table cannot be read.
        """
        self.latest()
        if not entry_numbers(self.folder):
            with suppress(PublishConflictError):  # another process was quicker
                publish_bytes(entry_path(self.folder, 0), first_entry(), replace=False)
        number = (after or 0) + 1
        with view(self.folder, self._scratch) as place:
            table = asked(lambda: DeltaTable(str(place)), self.folder)
            if table.version() != number - 1:
                raise _taken(self.folder, number)
            asked(lambda: commit_to(table, change), self.folder)
            self._take_over(place, number)
        return number

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the table, so that nobody removes files that another brings back.

        Who only publishes need not hold it. The lock is that of the first
        entry of the log, which never changes.
        """
        with file_lock(entry_path(self.folder, 0)):
            yield

    def scan(self, version: Version) -> pl.LazyFrame:
        """The rows of a version, exactly as they were written.

        Raises:
            TableDamagedError: A file is missing or is not what was published.
        """
        try:
            for file in version.files:
                self._check(file, version.number)
            paths = [(self.folder / file.name).absolute() for file in version.files]
            frame = pl.scan_parquet(paths, glob=False)
            frame.collect_schema()
        except TableDamagedError as error:
            raise self._damaged(error) from error
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            reason = TableDamagedError(
                f"a file of version {version.number} of {self.folder} cannot be read "
                f"({(str(error).splitlines() or [''])[0]})",
                version=version.number,
            )
            raise self._damaged(reason) from error
        return frame

    def newest_whole(self, below: int) -> int | None:
        """The newest version under a number whose entries and files are all there."""
        whole: int | None = None
        with suppress(TableDamagedError):
            for number, _, files in replay(self.folder):
                if number >= below:
                    break
                with suppress(TableDamagedError):
                    for file in files.values():
                        self._check(file, number)
                    whole = number or None
        return whole

    def commit(self, number: int) -> Commit:
        """What a version says of itself.

        Raises:
            TableDamagedError: Its entry is missing or damaged.
        """
        actions = read_entry(self.folder, number)
        return commit_of(actions) or _foreign(actions)

    def opening(self) -> set[int]:
        """Versions whose files are all there, with the size that was published.

        Raises:
            TableDamagedError: An entry of the log is missing or damaged.
        """
        by_version = self.files_by_version()
        whole = {
            file: self._is_whole(file)
            for file in {file for files in by_version.values() for file in files.values()}
        }
        return {
            number
            for number, files in by_version.items()
            if all(whole[file] for file in files.values())
        }

    def _is_whole(self, file: DataFile) -> bool:
        with suppress(TableDamagedError):
            self._check(file, 0)
            return True
        return False

    def _files(self, number: int) -> tuple[DataFile, ...]:
        for _ in range(_TRIES if reads_as_it_is(self.folder) else 0):
            # The listing that `deltalake` makes may miss an entry that is published just now.
            with suppress(TableDamagedError):
                return read_files(self.folder, number)
        with view(self.folder, None, whole=True) as place:
            return read_files(place, number)

    def _check(self, file: DataFile, version: int) -> None:
        """Refuse a file that is not there, or has another size than was published."""
        path = self.folder / file.name
        try:
            size = path.stat().st_size
        except OSError as error:
            raise TableDamagedError(
                f"the file {path} of version {version} is missing", version=version
            ) from error
        if size != file.size_bytes:
            raise TableDamagedError(
                f"the file {path} of version {version} has {size} bytes, and {file.size_bytes} "
                "were published",
                version=version,
            )

    def _damaged(self, error: TableDamagedError, wanted: int = 0) -> TableDamagedError:
        """The error with the newest version that still opens.

        Where `deltalake` only says that the log of a version cannot be read,
        the first entry that is to blame is looked for.
        """
        if "version" not in error.place:
            try:
                for number in range(wanted + 1):
                    read_entry(self.folder, number)
            except TableDamagedError as found:
                error = found
        good = self.newest_whole(int(error.place.get("version", 0)))
        opens = f"version {good} opens" if good else "no version before it opens"
        return TableDamagedError(
            error.message,
            hint=f"restore it from a backup; {opens}",
            **{**error.place, **({"opens": good} if good else {})},
        )

    def _take_over(self, place: Path, number: int) -> None:
        """Publish the entry that was written to a view, then what helps to read it."""
        files = written(place)
        entry = entry_path(self.folder, number)
        data = files.pop(entry.name, b"")
        try:
            publish_bytes(entry, data, replace=False)
        except PublishConflictError as error:
            raise _taken(self.folder, number) from error
        # The version stands. A checkpoint only makes it quicker to read.
        with suppress(StorageError):
            for name, helper in files.items():
                publish_bytes(entry.with_name(name), helper, replace=True)


def _taken(folder: Path, number: int) -> PublishConflictError:
    return PublishConflictError(
        f"version {number} of {folder} is there already", hint="look at it, then publish again"
    )


def _foreign(actions: list[dict[str, Any]]) -> Commit:
    """A version that another Delta writer made, as far as its entry tells."""
    info: dict[str, Any] = next(
        (action["commitInfo"] for action in actions if "commitInfo" in action), {}
    )
    try:
        at = datetime.fromtimestamp(info.get("timestamp", 0) / 1000, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        at = datetime.fromtimestamp(0, UTC)
    return Commit(
        operation=f"external {info.get('operation', '')}".strip(),
        batch_id="",
        transition_id="",
        started_at=at,
        published_at=at,
    )
