"""Batches that a reader makes one after the other, as one lazy frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import polars as pl
from polars import selectors as cs
from polars.io.plugins import register_io_source


def ahead(batches: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same batches, each one made in another thread while the one before is used."""
    with ThreadPoolExecutor(1) as helper:
        coming = helper.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = helper.submit(next, batches, None)
            yield batch


def lazy_frames(schema: pl.Schema, batches: Callable[[], Iterator[pl.DataFrame]]) -> pl.LazyFrame:
    """A lazy frame over batches; order is kept, and errors pass through as they are.

    Args:
        schema: Columns and types that every batch has.
        batches: Starts from the beginning each time it is called.
    """

    def source(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        # What Polars pushes down is not done again by Polars: all three must be heeded.
        left = rows
        for batch in batches():
            if columns == []:
                part = pl.DataFrame(height=batch.height)  # a select of nothing forgets the rows
            else:
                part = batch if columns is None else batch.select(cs.by_name(*columns))
            if left is not None:
                part = part.head(left)
                left -= part.height
            yield part if predicate is None else part.filter(predicate)
            if left == 0:
                return

    return register_io_source(source, schema=schema, validate_schema=True)
