"""A deterministic source file of any size: orders as another system exports them, with its dirt."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl

CHUNK = 500_000
_SEED = 20_260_101
_DAYS, _SECONDS = 2_000, 86_400


def orders(rows: int, start: int = 0) -> pl.DataFrame:
    """Rows of the table from `start` on; the same for the same numbers.

    12 columns, dates as text; padded words; one note in ten with quotes and a
    line end; 1% nulls in three columns; 2% keys that stood before; 0.5% rows
    without a customer or without a quantity.
    """
    chance = np.random.default_rng([_SEED, start])

    def one_of(words: list[str]) -> pl.Series:
        return pl.Series(words).gather(chance.integers(0, len(words), rows))

    def share(of_rows: float) -> pl.Series:
        return pl.Series(chance.random(rows) < of_rows)

    number = np.arange(start, start + rows)
    before = (chance.random(rows) * number).astype(np.int64)
    frame = pl.DataFrame(
        {
            "number": np.where(chance.random(rows) < 0.02, before, number),  # noqa: PLR2004 - 2%
            "customer": chance.integers(1, 50_000, rows),
            "product": chance.integers(1, 2_000, rows),
            "quantity": chance.integers(1, 20, rows),
            "price": chance.integers(100, 99_999, rows) / 100,
            "discount": chance.integers(0, 30, rows) / 100,
            "day": chance.integers(0, _DAYS, rows),
            "second": chance.integers(0, _SECONDS, rows),
            "status": one_of(["A", "  B", "C ", "D"]),
            "region": one_of(["north", " south", "east  ", "west"]),
            "channel": one_of(["web ", "shop", " phone"]),
            "note_kind": chance.integers(0, 10, rows),
            "nobody": share(0.0025),
            "nothing": share(0.0025),
            "undated": share(0.01),
            "undiscounted": share(0.01),
        }
    )
    day = pl.datetime(2020, 1, 1) + pl.duration(days="day")
    return frame.select(
        pl.col("number").alias("Order ID"),
        pl.when(~pl.col("nobody")).then(pl.format("C{}", "customer")).alias("Customer ID"),
        pl.format("P-{}", "product").alias("Product"),
        day.dt.to_string("%Y-%m-%d").alias("Order Date"),
        pl.when(~pl.col("undated"))
        .then((day + pl.duration(seconds="second")).dt.to_string("%Y-%m-%dT%H:%M:%S"))
        .alias("Shipped At"),
        pl.when("nothing").then(0).otherwise("quantity").alias("Quantity"),
        pl.col("price").alias("Unit Price"),
        pl.when(~pl.col("undiscounted")).then("discount").alias("Discount"),
        pl.col("status").alias("Status"),
        pl.col("region").alias("Region"),
        pl.col("channel").alias("Channel"),
        pl.when(pl.col("note_kind") == 0)
        .then(pl.lit('say "hello", then\ngo'))
        .when(pl.col("note_kind") == 1)
        .then(None)
        .otherwise(pl.format("note {} of {} ", "number", "customer"))
        .alias("Note"),
    )


def write(kind: str, rows: int, path: Path) -> None:
    """Write the table as `csv`, `ndjson` or `parquet`, in chunks."""
    chunks = (orders(min(CHUNK, rows - at), at) for at in range(0, rows, CHUNK))
    if kind == "parquet":
        pl.concat(list(chunks)).write_parquet(path, compression="zstd")
        return
    with path.open("wb") as file:
        for at, part in enumerate(chunks):
            if kind == "csv":
                part.write_csv(file, include_header=at == 0)
            else:
                part.write_ndjson(file)


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
