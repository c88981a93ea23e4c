"""Aggregates that name the records they were made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobforge import PipelineConfig, PipelineEngine, SourceRecord
from jobforge.errors import GrainError, InvalidOptionError, RecordNotFoundError
from jobforge.pipeline import lineage
from jobforge.pipeline.models import LayerTransitionLog
from support import files_below

SCHEMA = {"cast": {"n": "Int64"}}


def money(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(gross=pl.col("n") * 2)


def revenue(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.group_by("region", "month").agg(pl.col("gross").sum(), len=pl.len())


def rounded(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(pl.col("gross") // 10).sort("region", "month")


def only_north(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.filter(pl.col("region") == "north").group_by("region").agg(pl.col("n").sum())


def shouted(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(pl.col("region").str.to_uppercase())


def by_initial(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.group_by(initial=pl.col("region").str.head(1)).agg(pl.len().alias("rows"))


def numbered(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.group_by("region").agg(pl.len().alias("rows")).with_columns(region=pl.lit(1))


GRAIN = ["region", "month"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    regions = ["north", "south", ""]
    lines = [f"{regions[n % 3]},{n % 2},{n if n != 5 else 'five'}\n" for n in range(60)]
    path.write_text("region,month,n\n" + "".join(lines))
    return path


def run(
    source: Path, gold: list[Any], grain: list[str], *, fused: bool = True
) -> tuple[PipelineEngine, LayerTransitionLog]:
    engine = PipelineEngine(PipelineConfig(source.parent / "data", fused=fused))
    result = engine.run_full_pipeline(
        source, "t", bronze_schema=SCHEMA, gold_transforms=gold, grain=grain
    )
    return engine, result["logs"][-1]


def groups(engine: PipelineEngine, log: LayerTransitionLog) -> pl.DataFrame:
    assert log.groups_file is not None
    return pl.read_parquet(engine.config.data_root / log.groups_file)


@pytest.mark.parametrize("fused", [True, False])
def test_each_group_names_its_records(source: Path, *, fused: bool) -> None:
    engine, log = run(source, [money, revenue, rounded], GRAIN, fused=fused)
    assert log.grain == ("region", "month")
    assert log.notes == ()
    found = groups(engine, log)
    wanted = [
        (["north", "south", None][n % 3], str(n % 2), n + 1, "t.csv", log.batch_id)
        for n in range(60)
        if n != 5
    ]
    assert sorted(found.rows(), key=lambda row: row[2]) == wanted
    assert found.columns == ["region", "month", "_source_row", "_source_file", "_batch_id"]
    assert engine.verify().sound


def test_a_promote_by_hand_does_the_same(source: Path) -> None:
    engine = PipelineEngine(PipelineConfig(source.parent / "data"))
    staged = engine.ingest(source, "t")
    silver = engine.promote_to_silver(
        engine.promote_to_bronze(staged["staged_path"], SCHEMA)["bronze_path"]
    )
    log = engine.promote_to_gold(silver["silver_path"], [money, revenue], grain=GRAIN)["log"]
    assert groups(engine, log).height == 59


def test_a_group_that_the_function_leaves_out_is_still_known(source: Path) -> None:
    engine, log = run(source, [only_north], ["region"])
    assert log.row_count_out == 1
    assert set(groups(engine, log)["region"]) == {"north", "south", None}


def test_rows_that_keep_their_identity_need_no_groups(source: Path) -> None:
    _, log = run(source, [money], ["n"])
    assert log.grain == ("n",)
    assert log.groups_file is None


@pytest.mark.parametrize(
    ("gold", "grain", "said"),
    [
        ([money, revenue], ["region"], "keys of the grain region are those of several rows"),
        ([money, revenue], ["region", "year"], "the gold table has no column 'year'"),
        ([by_initial], ["initial"], "gets have no column 'initial'"),
        ([numbered], ["region"], "is String before 'numbered', and Int32 after"),
        ([money, revenue, shouted], GRAIN, "that no record has"),
        ([money], ["month"], "keys of the grain month are those of several rows"),
    ],
)
def test_a_grain_that_does_not_hold_is_refused(
    source: Path, gold: list[Any], grain: list[str], said: str
) -> None:
    with pytest.raises(GrainError, match=said) as caught:
        run(source, gold, grain)
    assert caught.value.place["table"] == "t"
    assert caught.value.hint
    root = source.parent / "data"
    assert not [name for name in files_below(root) if name.startswith(("gold", "catalog/groups"))]
    assert PipelineEngine(PipelineConfig(root)).verify().sound


@pytest.mark.parametrize("grain", ["region", [1], ["a", "a"], ["_source_row"], {"a"}])
def test_what_is_no_grain_is_refused(source: Path, grain: Any) -> None:
    with pytest.raises(InvalidOptionError, match="grain is"):
        run(source, [money, revenue], grain)
    assert not (source.parent / "data").exists()


def test_an_erased_record_is_in_no_group(source: Path) -> None:
    engine, log = run(source, [money, revenue], GRAIN)
    engine.erase("t", [SourceRecord(log.batch_id, 30)], why="asked for")
    left = [
        pl.read_parquet(path)["_source_row"].to_list()
        for path in engine.config.catalog_groups_path().rglob("*.parquet")
    ]
    assert len(left) == 1
    assert 30 not in left[0]
    assert len(left[0]) == 58
    assert engine.verify().sound
    with pytest.raises(RecordNotFoundError):
        engine.erase("t", [SourceRecord(log.batch_id, 30)], why="again")
    assert lineage.known(engine.config, log.batch_id).transitions[-1].groups_file
