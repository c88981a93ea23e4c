"""What rows hold: the same in any order, another with any other bit."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing.parametric import dataframes

from jobforge import PipelineConfig, PipelineEngine, deduplicate, expect, trim
from jobforge.pipeline import lineage
from jobforge.pipeline.content import contents_of


def numbered(frame: pl.DataFrame) -> pl.LazyFrame:
    """The frame as a layer has it: with record numbers and a file."""
    return frame.lazy().with_columns(
        _source_row=pl.int_range(1, pl.len() + 1, dtype=pl.Int64), _source_file=pl.lit("a.csv")
    )


FRAMES = dataframes(
    min_size=1,
    max_size=8,
    max_cols=4,
    allow_null=True,
    allowed_dtypes=[
        pl.Int64, pl.UInt8, pl.Float32, pl.Float64, pl.String, pl.Binary, pl.Date, pl.Boolean,
        pl.Datetime("us"), pl.Decimal(12, 2), pl.Categorical, pl.List(pl.Float64),
        pl.Struct({"x": pl.Float64, "y": pl.String}), pl.Array(pl.Float32, 2),
    ],
)  # fmt: skip


@given(FRAMES, st.randoms(use_true_random=False), st.booleans())
def test_order_does_not_matter(frame: pl.DataFrame, random: Any, by_record: bool) -> None:  # noqa: FBT001
    rows = numbered(frame).collect()
    order = list(range(rows.height))
    random.shuffle(order)
    told = contents_of(rows.lazy(), by_record=by_record)
    assert contents_of(rows[order].lazy(), by_record=by_record) == told
    assert told.rows == frame.height
    other = rows.lazy().with_columns(_batch_id=pl.lit("b"), _layer=pl.lit("gold"))
    assert contents_of(other, by_record=by_record) == told


@given(FRAMES, st.data(), st.booleans())
def test_cells_that_change_places_are_another_content(
    frame: pl.DataFrame,
    data: st.DataObject,
    by_record: bool,  # noqa: FBT001
) -> None:
    if not frame.width:
        return
    rows = numbered(frame).collect()
    name = data.draw(st.sampled_from(frame.columns))
    last_first = pl.int_range(pl.len() - 1, -1, -1)  # `reverse` forgets what null lists are of
    turned = rows.with_columns(pl.col(name).gather(last_first))
    told = contents_of(rows.lazy(), by_record=by_record)
    other = contents_of(turned.lazy(), by_record=by_record)
    same = list(map(bits, rows[name].to_list())) == list(map(bits, turned[name].to_list()))
    assert (told == other) == same
    if by_record:
        assert {at for at in told.columns if told.columns[at] != other.columns[at]} == (
            set() if same else {name}
        )


def bits(value: Any) -> Any:
    """A value by its bits."""
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, (list, tuple)):
        return [bits(item) for item in value]
    if isinstance(value, pl.Series):
        return [bits(item) for item in value.to_list()]
    if isinstance(value, dict):
        return {key: bits(item) for key, item in value.items()}
    return value


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0.0, -0.0),
        (1.0, 1.0 + 2**-52),
        (float("nan"), struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000001))[0]),
        ([0.0], [-0.0]),
        ({"x": 0.0}, {"x": -0.0}),
        ("a", "a "),
        (None, 0),
        (None, ""),
    ],
)
def test_a_bit_is_another_content(one: object, other: object) -> None:
    rows = pl.DataFrame({"v": [one, other]}, strict=False)
    assert contents_of(numbered(rows[:1]), by_record=True) != contents_of(
        numbered(rows[1:]), by_record=True
    )


def test_other_types_are_another_content() -> None:
    small = numbered(pl.DataFrame({"v": [1]}, schema={"v": pl.Int32}))
    assert contents_of(small, by_record=True) != contents_of(
        numbered(pl.DataFrame({"v": [1]})), by_record=True
    )


def total(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.group_by("kind").agg(pl.col("n").sum())


def doubled(frame: pl.LazyFrame) -> pl.LazyFrame:
    return pl.concat([frame, frame])


@pytest.mark.parametrize("gold", [[], [total], [doubled]])
@pytest.mark.parametrize("fused", [True, False])
def test_every_log_says_what_its_file_holds(
    tmp_path: Path, gold: list[Any], *, fused: bool
) -> None:
    source = tmp_path / "t.csv"
    lines = "".join(f"{n % 40},{' abc'[n % 4]} ,{n if n != 9 else 'nine'}\n" for n in range(50))
    lines *= 400
    source.write_text("id,kind,n\n" + lines)
    engine = PipelineEngine(PipelineConfig(tmp_path / "data", fused=fused))
    silver: list[Any] = [trim("kind"), expect("some", pl.col("n") > 3), deduplicate("id")]
    result = engine.run_full_pipeline(
        source, "t", bronze_schema={"cast": {"id": "Int64", "n": "Int64"}},
        silver_transforms=silver, gold_transforms=gold,
    )  # fmt: skip
    logs = lineage.known(engine.config, result["batch_id"]).transitions
    assert len(logs) == 4
    for log in logs:
        assert log.contents is not None
        assert log.target_file is not None
        frame = pl.scan_parquet(tmp_path / "data" / log.target_file)
        assert log.contents == contents_of(frame, by_record=log.contents.key == "record")
        assert log.contents.rows == log.row_count_out
    assert logs[-1].contents is not None
    assert logs[-1].contents.key == ("row" if gold else "record")


def test_it_can_be_left_out(tmp_path: Path) -> None:
    source = tmp_path / "t.csv"
    source.write_text("id\n1\n")
    engine = PipelineEngine(PipelineConfig(tmp_path / "data", content_hashes=False))
    result = engine.run_full_pipeline(source, "t")
    logs = lineage.known(engine.config, result["batch_id"]).transitions
    assert [log.contents for log in logs] == [None] * 4
