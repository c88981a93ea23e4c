"""Whether sides made the same rows: a number for each layer, whatever the order of its rows."""

from __future__ import annotations

import json
import sys

import job
import polars as pl

_BRONZE = dict.fromkeys(job.NAMES.values(), pl.String()) | {
    "order_id": pl.Int64(),
    "order_date": pl.Date(),
    "shipped_at": pl.Datetime("us"),
    "quantity": pl.Int32(),
    "unit_price": pl.Float64(),
    "discount": pl.Float64(),
}
_GOLD = {"gross": pl.Float64(), "order_month": pl.Date(), "net": pl.Float64()}
SCHEMAS: dict[str, dict[str, pl.DataType]] = {
    "staged": dict.fromkeys(job.NAMES.values(), pl.String()),
    "bronze": _BRONZE,
    "silver": _BRONZE,
    "gold": _BRONZE | _GOLD,
}


def digest(layer: str, path: str) -> str:
    """The sum of the rows' hashes, without provenance, whatever the names staged has."""
    frame = pl.scan_parquet(path).rename(job.NAMES, strict=False)
    columns = [pl.col(name).cast(dtype) for name, dtype in SCHEMAS[layer].items()]
    # In 32 bits, so that the sum of ten million hashes does not overflow.
    number = (pl.struct(columns).hash(seed=1) % 2**32).sum()
    return str(frame.select(number).collect(engine="streaming").item())


if __name__ == "__main__":
    asked = (argument.split("=", 1) for argument in sys.argv[1:])
    print(json.dumps({layer: digest(layer, path) for layer, path in asked}))
