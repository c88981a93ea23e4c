"""The provenance columns: which file, batch, layer and record a row is from."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import polars as pl
from polars import selectors as cs

from jobforge.quality.columns import PROVENANCE_COLUMNS, columns

SOURCE_ROW, SOURCE_FILE, INGESTED_AT, BATCH_ID, LAYER = PROVENANCE_COLUMNS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

PROVENANCE_DTYPES: dict[str, pl.DataType] = {
    SOURCE_ROW: pl.Int64(),
    SOURCE_FILE: pl.String(),
    INGESTED_AT: pl.Datetime("us", "UTC"),
    BATCH_ID: pl.String(),
    LAYER: pl.String(),
}
"""Name and type of each provenance column, in the order in which they end a table."""

REJECTED_COLUMNS = ("_rejected_batch", "_rejected_file", "_rejected_row", "_rejected_reasons")
"""Columns by which a corrected row says which rejected record it corrects, and what was wrong."""

PROVENANCE = cs.by_name(*PROVENANCE_DTYPES, require_all=False)
"""A Polars selector of the provenance columns, for a `select` that keeps a row traceable:
`lf.select("id", "name", jobforge.PROVENANCE)`."""


def generate_batch_id() -> str:
    """A new batch id: a random UUID, version 4 (RFC 9562), in its 36-character text form."""
    return str(uuid.uuid4())


def add_provenance_columns(
    df: pl.LazyFrame, source_file: str, batch_id: str, layer: str
) -> pl.LazyFrame:
    """Add exactly `_source_file`, `_ingested_at`, `_batch_id` and `_layer`.

    Args:
        df: Any lazy frame; it stays lazy.
        source_file: The file's name.
        batch_id: UUID4 text.
        layer: Name of the layer.

    Returns:
        The frame with four more columns; `_ingested_at` is now, in UTC,
        with microseconds.
    """
    return stamp(df, source_file, batch_id, layer, datetime.now(UTC))


def update_layer_column(df: pl.LazyFrame, new_layer: str) -> pl.LazyFrame:
    """Set `_layer` and refresh `_ingested_at`; the other columns stay as they are.

    Args:
        df: A lazy frame; it stays lazy.
        new_layer: Name of the layer that the rows move to.
    """
    return move(df, new_layer, datetime.now(UTC))


def stamp(
    df: pl.LazyFrame, source_file: str, batch_id: str, layer: str, at: datetime
) -> pl.LazyFrame:
    """`add_provenance_columns` with the clock reading given."""
    return df.with_columns(
        pl.lit(source_file, dtype=pl.String).alias(SOURCE_FILE),
        instant(at),
        pl.lit(batch_id, dtype=pl.String).alias(BATCH_ID),
        pl.lit(layer, dtype=pl.String).alias(LAYER),
    )


def move(df: pl.LazyFrame, new_layer: str, at: datetime) -> pl.LazyFrame:
    """`update_layer_column` with the clock reading given."""
    return df.with_columns(instant(at), pl.lit(new_layer, dtype=pl.String).alias(LAYER))


def instant(at: datetime) -> pl.Expr:
    """`_ingested_at` with a clock reading; Polars makes a time of a number 20 times quicker."""
    microseconds = (at - _EPOCH) // timedelta(microseconds=1)
    value = pl.lit(microseconds, dtype=pl.Int64).cast(PROVENANCE_DTYPES[INGESTED_AT])
    return value.alias(INGESTED_AT)


def data_columns(names: list[str]) -> list[str]:
    """The names that are no provenance columns, in order."""
    return [name for name in names if name not in PROVENANCE_DTYPES]


def provenance_last(df: pl.LazyFrame, names: list[str]) -> pl.LazyFrame:
    """The frame with its provenance columns at the end, in their fixed order."""
    ours = [name for name in PROVENANCE_DTYPES if name in names]
    return df.select(columns([*data_columns(names), *ours]))
