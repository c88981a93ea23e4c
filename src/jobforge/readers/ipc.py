"""The reader for Arrow IPC files (`.arrow`, `.ipc`) and Feather version 2, which is the same."""

from __future__ import annotations

from collections.abc import Iterator
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
        try:
            with pa.OSFile(str(source.path)) as raw, pa.ipc.open_file(raw) as opened:
                schema = opened.schema
                # The batches come from foreign bytes: each is checked in full, every column.
                plan = tuple(replace(step, validate=True) for step in plan_columns(schema))
                sizes = [opened.get_batch(n).num_rows for n in range(opened.num_record_batches)]
        except (OSError, ValueError, pa.ArrowException) as error:
            raise _damaged(source, error) from error
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
