"""What a versioned table has to do, whoever keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import polars as pl
from pydantic import AwareDatetime, BaseModel, ConfigDict, NonNegativeInt


class Commit(BaseModel):
    """What a version says of itself, kept with it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    operation: str
    """What made it: `replace`, `append`, `rollback`, `compact`, `erase` or `adopt`."""
    batch_id: str
    transition_id: str
    started_at: AwareDatetime
    """Start of the transition."""
    published_at: AwareDatetime
    content_hash: str | None = None
    """`sha256:` and the hash of the file that the transition wrote."""
    of_version: int | None = None
    """The version that it brings back, compacts or erases from."""
    rows: NonNegativeInt = 0
    """Rows of the whole table; set by the store, as is what follows."""
    size_bytes: NonNegativeInt = 0
    """Bytes of all its files."""
    files: NonNegativeInt = 0
    left_out: dict[str, str] = {}
    """Columns that only jobforge reads, and why the format of the log cannot say what they are."""


@dataclass(frozen=True)
class DataFile:
    """One file of a table."""

    name: str
    """Within the folder of the table."""
    rows: int
    size_bytes: int
    order: int = 0
    """Files of a version stand in this order; 0 for one that no version has yet."""


@dataclass(frozen=True)
class Version:
    """One version of a table."""

    number: int
    """1 and up."""
    commit: Commit
    files: tuple[DataFile, ...] = field(repr=False)
    """In the order in which their rows stand."""


@dataclass(frozen=True)
class Change:
    """What is to become the next version.

    Args:
        commit: What it says of itself; its totals are set by the store.
        files: All files of the version, in order.
        schema: The columns, as Polars types.
        same_content: Whether the rows are those of the version before.
    """

    commit: Commit
    files: tuple[DataFile, ...]
    schema: pl.Schema
    same_content: bool = False


class TableStore(Protocol):
    """The versions of one table.

    A version is whole or not there; a published one never changes.
    """

    def latest(self) -> int | None:
        """Number of the newest version, or None where nothing is published.

        Raises:
            TableDamagedError: It cannot be told.
        """

    def version(self, number: int | None = None) -> Version:
        """A version and its files; the newest unless a number is given.

        Raises:
            VersionNotFoundError: There is no such version.
            TableDamagedError: The log of the table cannot be read.
        """

    def commit(self, number: int) -> Commit:
        """What a version says of itself.

        Raises:
            TableDamagedError: It cannot be told.
        """

    def commits(self) -> list[tuple[int, Commit]]:
        """What every version says of itself, oldest first.

        Raises:
            TableDamagedError: The log of the table cannot be read.
        """

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

    def scan(self, version: Version) -> pl.LazyFrame:
        """The rows of a version, exactly as they were written.

        Raises:
            TableDamagedError: A file is missing or is not what was published.
        """
