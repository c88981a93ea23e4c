"""The reader for Parquet: every value unchanged, in the type that holds it exactly.

Values are decoded by Arrow C++ with page checksums verified, because it gave
the value or an error where other readers gave something else in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from jobforge.errors import MalformedSourceError, UnsupportedValueError
from jobforge.readers.arrow_types import (
    ColumnPlan,
    describe_changes,
    lazy_batches,
    plan_columns,
    to_polars,
)
from jobforge.readers.base import ReadContext, ReadOptions, SourceNote, SourceTable
from jobforge.readers.frames import ahead
from jobforge.readers.parquet.int96 import exact_unit, int96_columns
from jobforge.readers.places import NOWHERE, RecordPlace, places_in_groups
from jobforge.storage.source import SourceFile

_BATCH_ROWS = 65_536
Result = TypeVar("Result")


class ParquetOptions(ReadOptions):
    """Parquet says everything about itself; there is nothing to choose but `rename`."""


@dataclass(frozen=True)
class _Opened:
    """What the footer says, checked."""

    source: SourceFile
    unit: str | None
    plan: tuple[ColumnPlan, ...]
    groups: tuple[int, ...]
    context: ReadContext

    def file(self) -> pq.ParquetFile:
        return _open(self.source, self.unit)


class ParquetReader:
    """Apache Parquet files, plain or with page checksums; encrypted ones are refused."""

    name: ClassVar[str] = "parquet"
    suffixes: ClassVar[tuple[str, ...]] = (".parquet", ".pq")
    options: ClassVar[type[ReadOptions]] = ParquetOptions

    def read(
        self, source: SourceFile, options: ParquetOptions, context: ReadContext
    ) -> SourceTable:
        """See `Reader.read`; the types are those of `jobforge.readers.arrow_types`."""
        del options
        first = _open(source, None)
        old = _guarded(source, lambda: int96_columns(first))
        unit = _guarded(source, lambda: exact_unit(source.path, old)) if old else None
        file = _open(source, unit)
        schema, groups, total, writer = _guarded(source, lambda: _footer(file))
        plan = plan_columns(schema)
        if sum(groups) != total:
            raise MalformedSourceError(
                f"the footer says {total} rows, and its row groups {sum(groups)}",
                hint="the file is damaged; get it again",
            )
        opened = _Opened(source, unit, plan, groups, context)
        frame = lazy_batches(plan, lambda: ahead(_batches(opened)))
        notes = [SourceNote("types", text) for text in describe_changes(schema, plan)]
        if old:
            notes.append(SourceNote("types", f"INT96 is kept in {unit}: {', '.join(old)}"))
        if writer:
            notes.append(SourceNote("written by", writer))
        return SourceTable(frame, sum(groups), tuple(notes))

    def places(
        self,
        source: SourceFile,
        options: ParquetOptions,
        records: Sequence[int],
        context: ReadContext,
    ) -> list[RecordPlace]:
        """See `Locating.places`: the row group, and the row within it."""
        del options, context
        return places_in_groups(_groups(source), records, source.name)

    def records_at(
        self, source: SourceFile, options: ParquetOptions, line: int, context: ReadContext
    ) -> range:
        """See `Locating.records_at`: a row of the file is its record."""
        del options, context
        return range(line, line + 1) if 1 <= line <= sum(_groups(source)) else NOWHERE


def _groups(source: SourceFile) -> tuple[int, ...]:
    file = _open(source, None)
    return _guarded(source, lambda: _footer(file))[1]


def _footer(file: pq.ParquetFile) -> tuple[pa.Schema, tuple[int, ...], int, str]:
    """Schema, rows of each row group, rows of the file, and the program that wrote it."""
    metadata = file.metadata
    groups = tuple(metadata.row_group(n).num_rows for n in range(metadata.num_row_groups))
    return file.schema_arrow, groups, metadata.num_rows, metadata.created_by


def _open(source: SourceFile, unit: str | None) -> pq.ParquetFile:
    return _guarded(
        source,
        lambda: pq.ParquetFile(
            source.path, page_checksum_verification=True, coerce_int96_timestamp_unit=unit
        ),
    )


def _guarded(source: SourceFile, work: Callable[[], Result]) -> Result:
    """The result of a call into Arrow, its errors as errors of ours."""
    try:
        return work()
    except pa.ArrowNotImplementedError as error:
        raise UnsupportedValueError(
            f"{source.name} holds something that cannot be read: {error}",
            hint="write the file again without it",
        ) from error
    except (OSError, ValueError, pa.ArrowException) as error:
        raise MalformedSourceError(
            f"{source.name} is no readable Parquet file: {error}",
            hint="get the file again: it may be cut off, damaged or encrypted",
        ) from error


def _batches(opened: _Opened) -> Iterator[pl.DataFrame]:
    """Batches in file order."""
    file = opened.file()
    done, total = 0, sum(opened.groups)
    for group, expected in enumerate(opened.groups):
        yield from _group(opened, file, group, expected)
        done += expected
        opened.context.progress(f"reading {opened.source.name} (rows)", done, total)


def _group(
    opened: _Opened, file: pq.ParquetFile, group: int, expected: int
) -> Iterator[pl.DataFrame]:
    """One row group, counted: a footer that promises other rows is refused."""
    batches = file.iter_batches(_BATCH_ROWS, row_groups=[group])
    seen = 0
    while True:
        try:
            batch = _guarded(opened.source, lambda: next(batches, None))
        except MalformedSourceError as error:
            raise error.at(row_group=group) from error
        if batch is None:
            break
        seen += batch.num_rows
        yield to_polars(batch, opened.plan)
    if seen != expected:
        raise MalformedSourceError(
            f"the footer says {expected} rows, and {seen} are there",
            hint="the file is damaged; get it again",
            row_group=group,
        )
    # Asked only now: on an encrypted column this question ends the process.
    for name, values in _guarded(opened.source, lambda: _flat_counts(file, group)):
        if values != expected:
            raise MalformedSourceError(
                f"column {name!r} has {values} values for {expected} rows",
                hint="the file is damaged; get it again",
                row_group=group,
            )


def _flat_counts(file: pq.ParquetFile, group: int) -> list[tuple[str, int]]:
    """Columns without repetition, and how many values the footer says each has."""
    metadata = file.metadata.row_group(group)
    return [
        (metadata.column(position).path_in_schema, metadata.column(position).num_values)
        for position in range(metadata.num_columns)
        if file.schema.column(position).max_repetition_level == 0
    ]
