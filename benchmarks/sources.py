"""Deterministic source files of any size for the benchmarks: an orders table, 12 columns."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl

_CHUNK = 500_000


def orders(rows: int, start: int = 0) -> pl.DataFrame:
    """Rows of the table; the same for the same numbers, whatever the chunk."""
    chance = np.random.default_rng(20_260_101 + start)
    number = np.arange(start, start + rows)
    frame = pl.DataFrame(
        {
            "order_id": number,
            "customer_id": chance.integers(1, 50_000, rows),
            "quantity": chance.integers(1, 20, rows),
            "unit_price": chance.integers(100, 99_999, rows) / 100,
            "discount": chance.integers(0, 30, rows) / 100,
            "status": np.array(["A", "  B", "C ", "D"])[chance.integers(0, 4, rows)],
            "country": np.array(["CA", "FR", "US", "DE", "JP"])[chance.integers(0, 5, rows)],
            "note_kind": chance.integers(0, 10, rows),
            "day": chance.integers(0, 2_000, rows),
            "second": chance.integers(0, 86_400, rows),
        }
    )
    return frame.select(
        pl.format("{}", pl.col("order_id").cast(pl.String).str.zfill(9)).alias("order_id"),
        pl.format("C{}", "customer_id").alias("customer_id"),
        (pl.date(2020, 1, 1) + pl.duration(days="day")).cast(pl.String).alias("order_date"),
        (pl.datetime(2020, 1, 1) + pl.duration(days="day", seconds="second"))
        .dt.to_string("%Y-%m-%dT%H:%M:%S")
        .alias("shipped_at"),
        "quantity",
        "unit_price",
        "discount",
        "status",
        "country",
        pl.format("{}@example.org", "customer_id").alias("email"),
        (pl.col("quantity") % 2 == 0).alias("gift"),
        pl.when(pl.col("note_kind") == 0)
        .then(pl.lit('say "hello", then\ngo'))
        .when(pl.col("note_kind") == 1)
        .then(None)
        .otherwise(pl.format("note {}", "order_id"))
        .alias("note"),
    )


def write(kind: str, rows: int, path: Path) -> None:
    """Write the table as `csv`, `ndjson` or `parquet`, in chunks."""
    if kind == "parquet":
        pl.concat(
            [orders(min(_CHUNK, rows - at), at) for at in range(0, rows, _CHUNK)]
        ).write_parquet(path, compression="zstd")
        return
    with path.open("wb") as file:
        for at in range(0, rows, _CHUNK):
            part = orders(min(_CHUNK, rows - at), at)
            if kind == "csv":
                part.write_csv(file, include_header=at == 0)
            else:
                part.write_ndjson(file)


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
