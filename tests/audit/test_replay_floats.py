"""How far sums of floats may be off, and which columns are sums."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from jobforge import PipelineEngine
from jobforge.pipeline.audit.replay import replay
from jobforge.pipeline.audit.replay_rows import differing
from replay_support import DIFFERS, IDENTICAL, NOT_PROVABLE, ORDERS, layers, orders, rewritten


def totalled(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(total=pl.col("weight").sum())


def weighed(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.collect().group_by("kind").agg(pl.col("weight").sum()).lazy()


@pytest.mark.parametrize(
    ("dtype", "most"), [(pl.Float64, 2.0**-40), (pl.Float32, 2.0**-11), (pl.Float16, 2.0**-7)]
)
def test_many_rows_do_not_make_a_change_of_percents_the_last_bits(
    dtype: type[pl.DataType], most: float
) -> None:
    recorded = pl.DataFrame({"v": [1.0]}, schema={"v": dtype})
    for factor, nearly in ((1 + most, True), (1 - 2 * most, False), (1.05, False)):
        replayed = pl.DataFrame({"v": [factor]}, schema={"v": dtype})
        found = differing(
            recorded.lazy(), replayed.lazy(), show=True, added=lambda _: 10_000_000_000
        )
        assert found.last_bits is nearly, factor
    # Few floats are off by few bits.
    replayed = pl.DataFrame({"v": [1 + most]}, schema={"v": dtype})
    assert not differing(recorded.lazy(), replayed.lazy(), show=True, added=lambda _: 3).last_bits


@pytest.mark.parametrize(("name", "verdict"), [("total", NOT_PROVABLE), ("weight", DIFFERS)])
def test_last_bits_excuse_sums_and_no_other_column(
    engine: PipelineEngine, tmp_path: Path, name: str, verdict: object
) -> None:
    ran = engine.run_full_pipeline(orders(tmp_path), "orders", "sales", ORDERS, [], [totalled])
    assert replay(engine.config, ran["batch_id"]).verdict is IDENTICAL
    frame = pl.read_parquet(ran["gold_path"])
    moved = frame.with_columns(pl.col(name) * (1 + 3e-16))
    assert not moved[name].equals(frame[name])
    rewritten(engine.config, ran["batch_id"], "gold", ran["gold_path"], moved)
    gold = layers(replay(engine.config, ran["batch_id"]))["gold"]
    assert gold.verdict is verdict
    assert gold.compared[0].columns == (name,)


def test_a_column_of_unknown_origin_may_be_a_sum(engine: PipelineEngine, tmp_path: Path) -> None:
    ran = engine.run_full_pipeline(orders(tmp_path), "orders", "sales", ORDERS, [], [weighed])
    moved = pl.read_parquet(ran["gold_path"]).with_columns(pl.col("weight") * (1 + 3e-16))
    rewritten(engine.config, ran["batch_id"], "gold", ran["gold_path"], moved)
    assert layers(replay(engine.config, ran["batch_id"]))["gold"].verdict is NOT_PROVABLE
