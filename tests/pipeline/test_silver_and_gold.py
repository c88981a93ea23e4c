"""What functions may and may not do to rows, and how their errors name them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobforge import PipelineEngine
from jobforge.errors import (
    InvalidTransformError,
    JobforgeError,
    ProvenanceLostError,
    RowIdentityError,
    TransformError,
)
from jobforge.pipeline import lineage
from jobforge.pipeline.models import TransitionStatus
from support import data, debris, files_below, write_csv

Transform = Callable[[pl.LazyFrame], Any]
ROWS = [["k", "v"], ["a", "1"], ["a", "2"], ["b", "3"], ["c", "4"]]


@pytest.fixture
def bronze(engine: PipelineEngine, tmp_path: Path) -> Path:
    staged = engine.ingest(write_csv(tmp_path / "t.csv", ROWS), "t")
    return engine.promote_to_bronze(staged["staged_path"], {"cast": {"v": "Int64"}})["bronze_path"]


@pytest.fixture
def silver(engine: PipelineEngine, bronze: Path) -> Path:
    return engine.promote_to_silver(bronze)["silver_path"]


def raises(_: pl.LazyFrame) -> pl.LazyFrame:
    raise RuntimeError("no luck today")


def nothing(_: pl.LazyFrame) -> None:
    return None


def asks_for_more(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.with_columns(pl.col("vv") * 2)


def fails_late(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.with_columns(pl.col("k").cast(pl.Int64))


def boom(_: pl.DataFrame) -> pl.DataFrame:
    raise ZeroDivisionError("inside a batch")


def fails_inside(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.map_batches(boom, schema=None)


def harmless(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf


FAILING: list[tuple[Transform, str]] = [
    (raises, "RuntimeError: no luck today"),
    (nothing, "returned nothing, not a frame"),
    (lambda lf: lf.collect_schema(), "returned a Schema"),
    (asks_for_more, "no column 'vv'"),
    (fails_late, "fails_late"),
    (fails_inside, "fails_inside"),
]


@pytest.mark.parametrize("layer", ["silver", "gold"])
@pytest.mark.parametrize(("function", "said"), FAILING)
def test_a_failing_function_is_named_and_nothing_is_visible(
    engine: PipelineEngine, bronze: Path, layer: str, function: Transform, said: str
) -> None:
    promote: Any = engine.promote_to_silver
    source = bronze
    if layer == "gold":
        source = engine.promote_to_silver(bronze)["silver_path"]
        promote = engine.promote_to_gold
    before = files_below(engine.config.layer_path(layer))
    with pytest.raises(TransformError) as caught:
        promote(source, [harmless, function, harmless])
    error = caught.value
    assert said in str(error)
    assert error.place["layer"] == layer
    assert error.place["table"] == "t"
    assert error.place["step"] == getattr(function, "__name__", "")
    assert files_below(engine.config.layer_path(layer)) == before
    assert not debris(engine.config.data_root)
    (record,) = lineage.all_records(engine.config)
    log = record.transitions[-1]
    assert (log.status, log.target_layer) == (TransitionStatus.FAILED, layer)
    assert log.errors[0].place["step"] == error.place["step"]
    # What was there stays, and the batch goes on from it.
    promote(source, [harmless])


def test_a_missing_column_hints_at_the_nearest(engine: PipelineEngine, bronze: Path) -> None:
    with pytest.raises(TransformError, match="did you mean 'v'"):
        engine.promote_to_silver(bronze, [asks_for_more])


@pytest.mark.parametrize(
    ("transforms", "said"),
    [
        (harmless, "is a function, not a list"),
        ("harmless", "is a str, not a list"),
        ([harmless, 5], "transform 2 is a int"),
        ([None], "transform 1 is a NoneType"),
    ],
)
def test_what_is_no_list_of_functions_is_refused_before_anything_is_read(
    engine: PipelineEngine, tmp_path: Path, transforms: Any, said: str
) -> None:
    source = write_csv(tmp_path / "t.csv", ROWS)
    with pytest.raises(InvalidTransformError, match=said):
        engine.run_full_pipeline(source, "t", silver_transforms=transforms)
    with pytest.raises(InvalidTransformError, match=said):
        engine.run_full_pipeline(source, "t", gold_transforms=transforms)
    assert not engine.config.data_root.exists()


MIXING: list[Transform] = [
    lambda lf: pl.concat([lf, lf]),
    lambda lf: lf.with_columns(_source_row=pl.lit(1)),
    lambda lf: lf.with_columns(pl.col("_source_row") + 1),
    lambda lf: lf.with_columns(_source_row=None),
    lambda lf: lf.join(lf.select("k", other="v"), on="k", maintain_order="left"),
    lambda lf: lf.with_columns(pl.lit([1, 2]).alias("l")).explode("l"),
]


@pytest.mark.parametrize("mix", MIXING)
def test_silver_takes_no_invented_or_repeated_rows(
    engine: PipelineEngine, bronze: Path, mix: Transform
) -> None:
    with pytest.raises(RowIdentityError) as caught:
        engine.promote_to_silver(bronze, [harmless, mix, harmless])
    assert caught.value.place["step"] == "<lambda>"
    assert files_below(engine.config.silver_path()) == []


def test_silver_refuses_a_step_that_loses_identity(engine: PipelineEngine, bronze: Path) -> None:
    for lose in (lambda lf: lf.select("k"), lambda lf: lf.group_by("k").len()):
        with pytest.raises(ProvenanceLostError, match=r"jobforge\.PROVENANCE"):
            engine.promote_to_silver(bronze, [lose])


def test_provenance_is_put_right_and_noted(engine: PipelineEngine, bronze: Path) -> None:
    def forge(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(_batch_id=pl.lit("forged"), _layer=pl.lit("gold")).drop(
            "_source_file"
        )

    def shuffle_columns(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.select(pl.all().reverse()).select("_layer", pl.exclude("_layer"))

    result = engine.promote_to_silver(bronze, [forge, shuffle_columns])
    frame = pl.read_parquet(result["silver_path"])
    assert frame["_batch_id"].unique().to_list() == [result["batch_id"]]
    assert frame["_source_file"].unique().to_list() == ["t.csv"]
    assert frame["_layer"].unique().to_list() == ["silver"]
    assert frame.columns[-5:] == [
        "_source_row",
        "_source_file",
        "_ingested_at",
        "_batch_id",
        "_layer",
    ]
    notes = [note.text for note in result["log"].notes]
    assert notes == [
        "forge dropped _source_file: restored",
        "forge changed provenance of 4 rows: restored",
    ]


def test_rows_left_out_are_counted_by_step(engine: PipelineEngine, bronze: Path) -> None:
    def big(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.filter(pl.col("v") > 1)

    def first(lf: pl.LazyFrame, key: str) -> pl.LazyFrame:
        return lf.unique(subset=key, keep="first", maintain_order=True)

    def none_of(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.filter(pl.col("k") != "zzz")

    result = engine.promote_to_silver(bronze, [big, none_of, partial(first, key="k"), big])
    account = result["log"].account
    assert account is not None
    assert account.dropped == {"big": 1}
    assert (account.rows_in, account.rows_out) == (4, 3)
    names = [step.name for step in result["log"].transforms_applied]
    assert names == ["big", "none_of", "first", "big#2"]
    assert all(step.code_sha256 for step in result["log"].transforms_applied)


def test_every_row_left_out_leaves_an_empty_table(engine: PipelineEngine, bronze: Path) -> None:
    result = engine.promote_to_silver(bronze, [lambda lf: lf.head(0)])
    assert data(result["silver_path"]).height == 0
    assert result["log"].account is not None
    assert result["log"].account.dropped == {"<lambda>": 4}


def test_gold_counts_what_was_left_out_and_what_was_made(
    engine: PipelineEngine, silver: Path
) -> None:
    def without_c(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.filter(pl.col("k") != "c")

    def twice(lf: pl.LazyFrame) -> pl.LazyFrame:
        return pl.concat([lf, lf])

    result = engine.promote_to_gold(silver, [without_c, twice])
    account = result["log"].account
    assert account is not None
    assert account.dropped == {"without_c": 1}
    assert account.generated == {"twice": 3}
    assert account.rows_out == 6
    assert set(pl.read_parquet(result["gold_path"])["_source_row"]) == {1, 2, 3}


def test_gold_goes_on_when_identity_is_lost_and_says_so(
    engine: PipelineEngine, silver: Path
) -> None:
    def known(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.filter(pl.col("k") != "c")

    def by_key(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.group_by("k").agg(pl.col("v").sum()).sort("k")

    def share(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(share=pl.col("v") / pl.col("v").sum())

    result = engine.promote_to_gold(silver, [known, by_key, share])
    frame = pl.read_parquet(result["gold_path"])
    assert frame.select("k", "v", "share").rows() == [("a", 3, 0.5), ("b", 3, 0.5)]
    assert frame.columns[-4:] == ["_source_file", "_ingested_at", "_batch_id", "_layer"]
    assert frame["_source_file"].to_list() == ["t.csv"] * 2
    assert frame["_batch_id"].to_list() == [result["batch_id"]] * 2
    account = result["log"].account
    assert account is not None
    assert (account.dropped, account.aggregated, account.generated) == (
        {"known": 1},
        3,
        {"by_key": 2},
    )
    (note,) = result["log"].notes
    assert note.text.startswith("by_key lost the source records")


def test_row_numbers_that_come_back_are_not_believed(engine: PipelineEngine, silver: Path) -> None:
    def lose(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.select("k", "v")

    def invent(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_row_index("_source_row").with_columns(_batch_id=pl.lit("x"))

    frame = pl.read_parquet(engine.promote_to_gold(silver, [lose, invent])["gold_path"])
    assert "_source_row" not in frame.columns
    assert frame["_batch_id"].unique().to_list() != ["x"]


def test_a_function_that_raises_an_error_of_ours_keeps_it(
    engine: PipelineEngine, bronze: Path
) -> None:
    def refuse(_: pl.LazyFrame) -> pl.LazyFrame:
        raise JobforgeError("not today")

    with pytest.raises(JobforgeError, match="not today"):
        engine.promote_to_silver(bronze, [refuse])


def test_an_interrupt_is_recorded_and_passes_through(engine: PipelineEngine, bronze: Path) -> None:
    def interrupt(_: pl.LazyFrame) -> pl.LazyFrame:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.promote_to_silver(bronze, [interrupt])
    (record,) = lineage.all_records(engine.config)
    assert record.transitions[-1].status is TransitionStatus.FAILED
    assert record.transitions[-1].errors[0].kind == "KeyboardInterrupt"
    assert not debris(engine.config.data_root)


def test_the_step_that_fails_is_named_after_one_that_uses_its_rows_twice(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    """Polars panics on the plan of the first one alone, which is no fault of it."""

    def twice(frame: pl.LazyFrame) -> pl.LazyFrame:
        return pl.concat([frame.select("a"), frame.select("a")])

    def late(frame: pl.LazyFrame) -> pl.LazyFrame:
        return frame.with_columns(pl.col("a").str.to_date("%Y-%m-%d"))

    (tmp_path / "in.csv").write_text("a,b\n1,x\n2,y\n")
    with pytest.raises(TransformError, match="'late' failed"):
        engine.run_full_pipeline(tmp_path / "in.csv", "t", gold_transforms=[twice, late])
    done = engine.run_full_pipeline(tmp_path / "in.csv", "t", gold_transforms=[twice])
    assert done["logs"][3].row_count_out == 4
