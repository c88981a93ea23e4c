"""Columns by their exact names: `pl.col` takes `*` and `^...$` for patterns, this does not."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
from polars import selectors as cs

PROVENANCE_COLUMNS = ("_source_row", "_source_file", "_ingested_at", "_batch_id", "_layer")
"""The columns that say where a row is from, in the order in which they end a table."""


def column(name: str) -> pl.Expr:
    """The one column of that name, whatever characters it has."""
    return cs.by_name(name).as_expr()


def columns(names: Iterable[str]) -> cs.Selector:
    """The columns of those names, in that order."""
    return cs.by_name(*names)


def free_name(wanted: str, taken: Iterable[str]) -> str:
    """A name for a temporary column that no column of the frame has."""
    names = set(taken)
    while wanted in names:
        wanted += "_"
    return wanted


def as_text(name: str, dtype: pl.DataType) -> pl.Expr:
    """The value of a column as text; null where its type has no text form."""
    return text_of(column(name), dtype)


def text_of(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A value of a type as text; null where the type has no text form."""
    if dtype.is_nested() or isinstance(dtype, (pl.Binary, pl.Object)):
        return pl.lit(None, dtype=pl.String)
    if isinstance(dtype, pl.Duration):
        return value.dt.to_string("iso")
    return value.cast(pl.String, strict=False)
