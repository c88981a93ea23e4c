"""What a reader is: one method that turns a source file into a lazy frame, exactly.

A new format is one module with one class that satisfies `Reader`, listed in
`jobforge.readers.registry`, or outside jobforge under the entry point group
`jobforge.readers`. `jobforge.testing.ReaderConformance` is its test suite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, ClassVar, Protocol, Self, TypeVar, runtime_checkable

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jobforge.errors import InvalidOptionError
from jobforge.readers.places import Checkpoint, RecordPlace
from jobforge.storage.source import SourceFile

RECORD = "_source_row"
"""A reader that leaves out records numbers the others itself, in a column of this name."""

REJECTS_SCHEMA = pl.Schema(
    {
        "_source_row": pl.Int64(),
        "_line": pl.Int64(),
        "_raw": pl.String(),
        "_rule": pl.String(),
        "_reason": pl.String(),
    }
)
"""Records that a reader kept out: record number, first physical line (both 1-based), the
record's text, the rule that it breaks, and what is wrong with it."""

Progress = Callable[[str, int, int | None], None]
"""Called on long work with what is done, how far it is, and of how much (null where that is not
known); in bytes, unless the text names another unit in parentheses."""


Result = TypeVar("Result")


def no_progress(_: str, __: int, ___: int | None) -> None:
    """Report nothing."""


class ReadOptions(BaseModel):
    """Options that every format has; each format adds its own in a subclass.

    Raises:
        InvalidOptionError: An option is unknown, or its value makes no sense.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rename: dict[str, str] = Field(default_factory=dict)
    """New names for source columns that are called like a provenance column."""

    def __init__(self, **values: Any) -> None:  # noqa: ANN401 - each field has a type of its own
        try:
            super().__init__(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"]) or type(self).__name__
            known = ", ".join(type(self).model_fields)
            raise InvalidOptionError(
                f"{type(self).__name__}: {name}: {first['msg']}", hint=f"the options are {known}"
            ) from error


@dataclass(frozen=True)
class SourceNote:
    """Something a reader noticed that is no error."""

    topic: str
    text: str


class Background:
    """Work beside the computation, one piece after the other in a thread of its own.

    Use it as a context manager: work that nobody waits for is broken off at its end.
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._stopped = Event()

    def start(self, work: Callable[[Callable[[], None]], Result]) -> Future[Result]:
        """Begin a piece of work.

        Args:
            work: Called with a function that it has to call now and then, which
                raises where the work is to be broken off.
        """
        self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="jobforge")
        return self._pool.submit(work, self._go_on)

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise CancelledError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class ReadContext:
    """What a reader may use beside the file.

    Args:
        scratch: A folder for temporary files; the reader creates it where it
            needs one, and it is removed when the ingest ends.
        progress: Told how far long work is; perhaps from another thread.
        background: Where a reader may prove what it read while its frame is
            computed already; None where it has to prove it first.
        checkpoints: What the reader gave with `SourceTable.checkpoints` when it
            read the same bytes in the same way, for finding places in them.
        detected: `SourceTable.detected` of that reading.
    """

    scratch: Path
    progress: Progress = no_progress
    background: Background | None = None
    checkpoints: tuple[Checkpoint, ...] = ()
    detected: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceTable:
    """A source as it is.

    Args:
        frame: The columns of the source, in its order, nothing added; only a
            reader that keeps records out adds `_source_row` (Int64, 1-based).
        rows: Records in `frame`, by the reader's own count.
        notes: What was noticed.
        rejects: Records that were kept out (`REJECTS_SCHEMA`), and how many.
        rejected: Number of records kept out.
    """

    frame: pl.LazyFrame
    rows: int
    notes: tuple[SourceNote, ...] = ()
    rejects: pl.LazyFrame | None = None
    rejected: int = 0
    encoded: frozenset[str] = frozenset()
    """Columns of text that stands for something else: JSON text, cells of mixed kinds."""
    proof: Callable[[], SourceTable] | None = None
    """Set where `frame` is taken on trust and nothing else is known yet: waits for the proof, and
    gives the table, with this very frame where the trust was right."""
    resolved: Mapping[str, object] = field(default_factory=dict)
    """Values of options that were found in the file, such as its delimiter: with them in place of
    what was asked for, the file is read in the same way again."""
    detected: Mapping[str, str] = field(default_factory=dict)
    """What else was found that says how the file is to be read, such as its compression."""
    checkpoints: tuple[Checkpoint, ...] = ()
    """Beginnings of records, some 8 MiB or a 64th of the file apart, from where to read on; a small
    file has none."""


class Reader(Protocol):
    """A source format."""

    name: ClassVar[str]
    """Short name of the format, as in `csv`."""
    suffixes: ClassVar[tuple[str, ...]]
    """File name endings, lower case, with the dot."""
    options: ClassVar[type[ReadOptions]]
    """The type of its options."""

    def read(self, source: SourceFile, options: Any, context: ReadContext) -> SourceTable:  # noqa: ANN401 - each reader has options of its own
        """Describe the source as a frame that is not computed yet.

        The values of the frame are those of the file, or an error of
        `jobforge.errors` is raised, here or while the frame is computed. The
        file is only read.

        Raises:
            SourceError: The file cannot be read exactly; the error says where.
        """
        ...


@runtime_checkable
class Locating(Protocol):
    """What a reader may offer beside `read`: from a record to its place in the file, and back.

    Both are asked with options in which everything is decided (see
    `SourceTable.resolved`), of a file that holds the bytes that were read.
    """

    def places(
        self,
        source: SourceFile,
        options: Any,  # noqa: ANN401 - each reader has options of its own
        records: Sequence[int],
        context: ReadContext,
    ) -> list[RecordPlace]:
        """Where records stand, in the order in which they are asked for.

        Args:
            source: The file.
            options: How it was read.
            records: Their numbers from 1, as `_source_row` has them; those of
                records that were kept out are numbers too.
            context: With the checkpoints of the file, where there are some.

        Raises:
            RecordNotFoundError: The file has no such record.
            SourceError: The file cannot be read.
        """
        ...

    def records_at(
        self,
        source: SourceFile,
        options: Any,  # noqa: ANN401 - each reader has options of its own
        line: int,
        context: ReadContext,
    ) -> range:
        """Numbers of the records that have a part on a line: in most formats one, or none.

        Args:
            source: The file.
            options: How it was read.
            line: Physical line from 1; of a workbook the row of the sheet, of a
                format without lines the row of the file.
            context: With the checkpoints of the file, where there are some.

        Raises:
            SourceError: The file cannot be read.
        """
        ...
