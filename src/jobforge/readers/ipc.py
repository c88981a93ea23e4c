"""The reader for Arrow IPC files (`.arrow`, `.ipc`) and Feather version 2, which is the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

import polars as pl
import pyarrow as pa

from jobforge.errors import MalformedSourceError
from jobforge.readers.arrow_types import (
    ColumnPlan,
    describe_changes,
    lazy_batches,
    plan_columns,
    to_polars,
)
from jobforge.readers.base import ReadContext, ReadOptions, SourceNote, SourceTable
from jobforge.readers.places import NOWHERE, RecordPlace, places_in_groups
from jobforge.storage.source import SourceFile

_MAGIC = b"ARROW1"


class IpcOptions(ReadOptions):
    """Arrow files say everything about themselves; there is nothing to choose but `rename`."""


class IpcReader:
    """Arrow IPC files; batches are read one by one, so that memory holds one of them."""

    name: ClassVar[str] = "ipc"
    suffixes: ClassVar[tuple[str, ...]] = (".arrow", ".ipc", ".feather")
    options: ClassVar[type[ReadOptions]] = IpcOptions

    def read(self, source: SourceFile, options: IpcOptions, context: ReadContext) -> SourceTable:
        """See `Reader.read`; the types are those of `jobforge.readers.arrow_types`."""
        del options
        with source.path.open("rb") as file:
            if not file.read(len(_MAGIC)) == _MAGIC:
                raise MalformedSourceError(
                    f"{source.name} is no Arrow IPC file",
                    hint="Feather version 1 and Arrow streams have to be written anew as a file",
                )
        schema, sizes = _sizes(source)
        # The batches come from foreign bytes: each is checked in full, every column.
        plan = tuple(replace(step, validate=True) for step in plan_columns(schema))
        notes = tuple(SourceNote("types", text) for text in describe_changes(schema, plan))
        rows = sum(sizes)

        def batches() -> Iterator[pl.DataFrame]:
            done = 0
            for number in range(len(sizes)):
                batch = _batch(source, number, plan)
                done += batch.height
                yield batch
                context.progress(f"reading {source.name} (rows)", done, rows)

        return SourceTable(lazy_batches(plan, batches), rows, notes)

    def places(
        self, source: SourceFile, options: IpcOptions, records: Sequence[int], context: ReadContext
    ) -> list[RecordPlace]:
        """See `Locating.places`: the record batch, and the row within it."""
        del options, context
        return places_in_groups(_sizes(source)[1], records, source.name)

    def records_at(
        self, source: SourceFile, options: IpcOptions, line: int, context: ReadContext
    ) -> range:
        """See `Locating.records_at`: a row of the file is its record."""
        del options, context
        return range(line, line + 1) if 1 <= line <= sum(_sizes(source)[1]) else NOWHERE


def _sizes(source: SourceFile) -> tuple[pa.Schema, list[int]]:
    """The columns, and the rows of each record batch."""
    try:
        with pa.OSFile(str(source.path)) as raw, pa.ipc.open_file(raw) as opened:
            sizes = [opened.get_batch(n).num_rows for n in range(opened.num_record_batches)]
            return opened.schema, sizes
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _damaged(source, error) from error


def _batch(source: SourceFile, number: int, plan: tuple[ColumnPlan, ...]) -> pl.DataFrame:
    try:
        with pa.OSFile(str(source.path)) as raw, pa.ipc.open_file(raw) as opened:
            batch = opened.get_batch(number)
            batch.validate(full=True)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _damaged(source, error).at(batch=number) from error
    return to_polars(batch, plan)


def _damaged(source: SourceFile, error: Exception) -> MalformedSourceError:
    return MalformedSourceError(
        f"{source.name} is no readable Arrow file: {error}",
        hint="get the file again: it may be cut off or damaged",
    )
