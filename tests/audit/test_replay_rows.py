"""How rows that differ are counted, paired and shown."""

from __future__ import annotations

from datetime import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobforge import PipelineEngine
from jobforge.pipeline.audit.replay import replay
from jobforge.pipeline.audit.replay_rows import Different, differing
from replay_support import ORDERS, by_kind, layers, orders, rewritten


def found_in(one: pl.DataFrame, other: pl.DataFrame) -> Different:
    return differing(one.lazy(), other.lazy(), show=True, added=lambda _: 0)


def test_rows_of_a_grain_are_paired_by_it(engine: PipelineEngine, tmp_path: Path) -> None:
    ran = engine.run_full_pipeline(
        orders(tmp_path), "orders", "sales", ORDERS, [], [by_kind], grain=["kind"]
    )
    frame = pl.read_parquet(ran["gold_path"]).sort("kind")
    first = frame.row(0, named=True)
    moved = frame.with_columns(
        orders=pl.when(pl.col("kind") == first["kind"])
        .then(pl.col("orders") + 1)
        .otherwise("orders")
    )
    rewritten(engine.config, ran["batch_id"], "gold", ran["gold_path"], moved)
    gold = layers(replay(engine.config, ran["batch_id"]))["gold"]
    assert gold.reasons == ("1 rows differ in orders",)
    (told,) = gold.compared[0].first
    assert (told.column, told.row) == ("orders", "both")
    assert (told.recorded, told.replayed) == (str(first["orders"] + 1), str(first["orders"]))


def test_no_more_rows_differ_than_there_are() -> None:
    one = pl.DataFrame({"k": range(500), "v": [1] * 500})
    other = one.with_columns(v=pl.when(pl.col("k") < 260).then(2).otherwise("v"))
    assert found_in(one, other).rows == 260
    assert found_in(one, other.head(100)).rows == 500


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (pl.Datetime("ns"), (1_700_000_000_000_000_001, 1_700_000_000_000_000_002)),
        (pl.Duration("ns"), (2**53, 2**53 + 1)),
        (pl.Time, (time(1), time(1, microsecond=1))),
        (pl.Float64, (0.0, -0.0)),
        (pl.Float64, (1.0, 1 + 2**-52)),
        (pl.Float32, (0.5, 0.5 + 2**-24)),
        (pl.List(pl.Float64), ([0.0], [-0.0])),
        (pl.Enum(["a", "b"]), ("a", "b")),
        (pl.Binary, (b"a", b"b")),
        (pl.String, ("None", None)),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_values_of_other_bits_are_shown_as_other_values(
    dtype: Any, values: tuple[object, object], *, nested: bool
) -> None:
    one, other = (pl.DataFrame({"v": pl.Series([value], dtype=dtype)}) for value in values)
    if nested:
        one, other = (f.select(v=pl.struct("v").implode(), v2=pl.lit(1)) for f in (one, other))
    one, other = (
        frame.with_columns(_source_file=pl.lit("t.csv"), _source_row=1) for frame in (one, other)
    )
    found = found_in(one, other)
    assert (found.rows, found.columns) == (1, ("v",))
    (told,) = found.first
    assert told.recorded != told.replayed


def test_one_nan_is_told_from_another() -> None:
    nans = pl.Series([0x7FF8_0000_0000_0000, 0x7FF8_0000_0000_0001], dtype=pl.UInt64)
    frame = pl.DataFrame({"v": nans})
    one, other = (
        frame[at : at + 1].select(
            pl.col("v").reinterpret(dtype=pl.Float64()), _source_file=pl.lit("t"), _source_row=1
        )
        for at in (0, 1)
    )
    found = found_in(one, other)
    assert found.columns == ("v",)
    assert found.first[0].recorded == f"NaN of bits {0x7FF8_0000_0000_0000}"
