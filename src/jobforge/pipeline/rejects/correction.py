"""A file of corrected rejects: whether each row corrects one, and in which form it comes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl

from jobforge.errors import InvalidOptionError, RecordNotFoundError, UnknownColumnError, nearest
from jobforge.pipeline.config import Layer
from jobforge.pipeline.models import BatchRecord
from jobforge.pipeline.provenance import (
    BATCH_ID,
    PROVENANCE,
    REJECTED_COLUMNS,
    SOURCE_FILE,
    SOURCE_ROW,
    generate_batch_id,
)
from jobforge.pipeline.rejects.listing import MASK, personal_sources
from jobforge.pipeline.rejects.snapshot import Snapshot
from jobforge.pipeline.rejects.state import (
    KEY,
    REJECTED_BATCH,
    REJECTED_FILE,
    REJECTED_ROW,
    RejectFile,
    RejectState,
    brought_in,
    source_rows,
    states,
)
from jobforge.pipeline.versions import table_store
from jobforge.quality.columns import column
from jobforge.readers.base import RECORD, ReadContext, ReadOptions
from jobforge.readers.registry import read_source
from jobforge.storage.debris import scratch_folder
from jobforge.storage.source import SourceFile

_NUMBER = "^[1-9][0-9]{0,17}$"
_HINT = "correct a file that `jobforge quarantine export` wrote"


def source_schema(snapshot: Snapshot, record: BatchRecord) -> pl.Schema:
    """The columns that the source of a batch had, with their types in staged."""
    return source_rows(snapshot, record).select(~PROVENANCE).collect_schema()


def check_corrections(
    snapshot: Snapshot,
    record: BatchRecord,
    files: list[RejectFile],
    source: Path | str,
    read: ReadOptions | None,
) -> None:
    """Refuse a file whose rows correct nothing, or that has another form, before any is written.

    Raises:
        UnknownColumnError: It lacks a column, or has one that the source has not.
        RecordNotFoundError: A row corrects no reject that waits for it, or one twice.
        InvalidOptionError: A value is masked, or the path is none.
        SourceError: It cannot be read exactly.
    """
    if not isinstance(source, (str, Path)):
        raise InvalidOptionError(f"the source is a {type(source).__name__}", hint="pass a path")
    with scratch_folder(Path(tempfile.gettempdir()), generate_batch_id()) as scratch:
        table = read_source(SourceFile(Path(source)), read, ReadContext(scratch))
        frame = table.frame.drop(RECORD, strict=False)
        _check_columns(frame.collect_schema(), source_schema(snapshot, record), source)
        keys = frame.select(
            REJECTED_BATCH,
            pl.col(REJECTED_FILE).alias(SOURCE_FILE),
            pl.col(REJECTED_ROW).alias(SOURCE_ROW),
        ).collect(engine="streaming")
        _check_masks(frame, files, source)
    asked = _numbered(keys, record, source)
    waiting = _waiting(snapshot, record, files)
    strangers = asked.join(waiting, on=KEY, how="anti", maintain_order="left")
    if strangers.height:
        row = strangers.select(KEY).row(0)
        raise RecordNotFoundError(
            f"{strangers.height:,} rows correct no open reject, the first one record {row[1]} of "
            f"{row[0]}",
            hint="nothing was written; `jobforge quarantine list` says how the rejects stand",
        )
    twice = asked.height - asked.n_unique()
    if twice:
        raise RecordNotFoundError(
            f"{twice:,} rows correct a record that another row corrects too",
            hint="nothing was written; leave one row for each record",
        )


def _check_columns(found: pl.Schema, wanted: pl.Schema, source: Path | str) -> None:
    needed = [*wanted, REJECTED_BATCH, REJECTED_FILE, REJECTED_ROW]
    for name in needed:
        if name not in found:
            raise UnknownColumnError(
                f"{source} has no column {name!r}, which says what a row corrects"
                if name in REJECTED_COLUMNS
                else f"{source} has no column {name!r}, which the source of the batch has",
                hint=_HINT,
                column=name,
            )
    for name in found:
        if name not in wanted and name not in REJECTED_COLUMNS:
            raise UnknownColumnError(
                f"{source} has a column {name!r}, which the source of the batch has not",
                hint=nearest(name, wanted.names()),
                column=name,
            )
    for name in (REJECTED_BATCH, REJECTED_FILE):
        if not isinstance(found[name], (pl.String, pl.Null)):
            raise InvalidOptionError(
                f"{source}: {name} is {found[name]}, not text", hint=_HINT, column=name
            )
    if not (
        isinstance(found[REJECTED_ROW], (pl.String, pl.Null)) or found[REJECTED_ROW].is_integer()
    ):
        raise InvalidOptionError(
            f"{source}: {REJECTED_ROW} is {found[REJECTED_ROW]}, not a number of a record",
            hint=_HINT,
            column=REJECTED_ROW,
        )


def _check_masks(frame: pl.LazyFrame, files: list[RejectFile], source: Path | str) -> None:
    """Refuse masks where a personal value should stand."""
    schema = frame.collect_schema()
    personal = personal_sources(files)
    texts = [n for n in schema if n in personal and isinstance(schema[n], pl.String)]
    if not texts:
        return
    masked = pl.any_horizontal((column(name) == MASK).fill_null(value=False) for name in texts)
    if frame.select(masked.any()).collect(engine="streaming").item():
        raise InvalidOptionError(
            f"{source} has masked values",
            hint="export with --show-personal, correct that file, and keep it safe",
        )


def _numbered(keys: pl.DataFrame, record: BatchRecord, source: Path | str) -> pl.DataFrame:
    """The records that the rows name.

    Raises:
        RecordNotFoundError: One is of another batch, or names no record.
    """
    others = keys.filter(pl.col(REJECTED_BATCH).cast(pl.String).ne_missing(record.batch_id))
    if others.height:
        raise RecordNotFoundError(
            f"{others.height:,} rows are of another batch than {record.batch_id}",
            hint="replay one batch at a time",
        )
    text = pl.col(SOURCE_ROW).cast(pl.String)
    wrong = keys.filter(~text.str.contains(_NUMBER).fill_null(value=False))
    if wrong.height:
        raise RecordNotFoundError(
            f"{wrong.height:,} rows correct no open reject: {REJECTED_ROW} in {source} is no "
            "number",
            hint=_HINT,
        )
    return keys.select(pl.col(SOURCE_FILE).cast(pl.String), text.cast(pl.Int64))


def _waiting(snapshot: Snapshot, record: BatchRecord, files: list[RejectFile]) -> pl.DataFrame:
    """Records that a correction may bring in: open ones, and cured ones that silver lost since."""
    rows = pl.concat([states(snapshot, file) for file in files], how="diagonal")
    open_ = rows.filter(pl.col("state") == RejectState.OPEN).select(KEY)
    cured = rows.filter(pl.col("state") == RejectState.CURED).select(KEY)
    if not cured.height:
        return open_
    store = table_store(snapshot.config, Layer.SILVER, record.domain, record.table)
    batches: set[str] = set()
    if store.latest() is not None:
        rows_there = store.scan(store.version())
        found = rows_there.select(pl.col(BATCH_ID).unique()).collect(engine="streaming")
        batches = set(found.to_series().to_list())
    there = brought_in(snapshot, record, batches)
    return pl.concat([open_, cured.join(there, on=KEY, how="anti")])
