"""What a plan proves of columns and rows, and that nothing more is claimed."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobforge.pipeline.unchanged import unchanged

Change = Callable[[pl.LazyFrame], pl.LazyFrame]
ALL = {"a": "a", "b": "b", "c": "c"}

UNDERSTOOD: list[tuple[Change, dict[str, str]]] = [
    (lambda lf: lf, ALL),
    (lambda lf: lf.with_columns(d=pl.col("a") + 1), ALL),
    (lambda lf: lf.with_columns(pl.col("c").str.strip_chars()), {"a": "a", "b": "b"}),
    (lambda lf: lf.with_columns(b=pl.col("a")), {"a": "a", "b": "a", "c": "c"}),
    (lambda lf: lf.rename({"a": "x"}).drop("b"), {"x": "a", "c": "c"}),
    (lambda lf: lf.with_columns(a="b", b="a"), {"a": "b", "b": "a", "c": "c"}),
    (lambda lf: lf.select("c", pl.col("a").alias("z"), n=pl.lit(1)), {"c": "c", "z": "a"}),
    (lambda lf: lf.cast({"a": pl.Int8}), {"b": "b", "c": "c"}),
    (lambda lf: lf.with_columns(pl.col("a").cum_sum().over("c")), {"b": "b", "c": "c"}),
    (lambda lf: lf.with_columns(pl.all().shift()), {}),
    (
        lambda lf: lf.with_columns(pl.col("a").map_elements(lambda v: v, return_dtype=pl.Int64)),
        {"b": "b", "c": "c"},
    ),
    (lambda lf: lf.cache().with_columns(d=1).cache(), ALL),
]

OTHER_ROWS: list[Change] = [
    lambda lf: lf.filter(pl.col("a") > 1),
    lambda lf: lf.sort("a"),
    lambda lf: lf.head(2),
    lambda lf: lf.reverse(),
    lambda lf: lf.unique(maintain_order=True),
    lambda lf: lf.group_by("c").agg(pl.len()),
    lambda lf: pl.concat([lf, lf]),
    lambda lf: lf.join(lf, on="a", how="left"),
    lambda lf: lf.join(pl.LazyFrame({"a": [1, 1]}), on="a", how="left"),
    lambda lf: lf.with_row_index(),
    lambda lf: lf.map_batches(lambda df: df.reverse()),
    lambda lf: lf.select(pl.all().sort_by("a")),
    lambda lf: lf.select(pl.col("a").sum()),
    lambda lf: lf.select(pl.lit(1).alias("a")),
    lambda lf: lf.explode("a") if lf.collect_schema()["a"].is_nested() else lf.head(1),
    lambda lf: lf.collect().lazy(),
    lambda _: pl.LazyFrame({"a": [3, 1, 2], "b": [1, 2, 3], "c": ["x", "y", "z"]}),
]


def base() -> pl.LazyFrame:
    """A frame whose own plan has steps too, as the rows of a layer have."""
    frame = pl.LazyFrame({"a": [3, 1, 2, 9], "b": [1, 2, None, 9], "c": [" x", "y", "y", "9"]})
    return frame.filter(pl.col("a") < 9).with_columns(pl.col("a") * 1).cache()


@pytest.mark.filterwarnings("ignore::polars.exceptions.PolarsInefficientMapWarning")
@pytest.mark.parametrize(("change", "kept"), UNDERSTOOD)
def test_a_column_that_a_plan_passes_on_is_known(change: Change, kept: dict[str, str]) -> None:
    frame = base()
    changed = change(frame)
    assert unchanged(changed, frame) == kept
    was, now = frame.collect(), changed.collect()
    for new, old in kept.items():
        assert now[new].to_list() == was[old].to_list()


@pytest.mark.parametrize("change", OTHER_ROWS)
def test_nothing_is_claimed_of_other_rows(change: Change) -> None:
    frame = base()
    assert unchanged(change(frame), frame) == {}


STEPS: dict[str, Change] = {
    "derive": lambda lf: lf.with_columns(d=pl.col("a").cast(pl.Int64, strict=False)),
    "swap": lambda lf: lf.with_columns(a="b", b="a"),
    "drop": lambda lf: lf.drop("d", strict=False),
    "reverse": lambda lf: lf.reverse(),
    "sort": lambda lf: lf.sort("b", maintain_order=True),
    "filter": lambda lf: lf.filter(pl.col("b").is_not_null()),
    "select": lambda lf: lf.select("b", "a", "c"),
    "shift": lambda lf: lf.with_columns(pl.col("c").shift()),
    "cache": lambda lf: lf.cache(),
    "double": lambda lf: pl.concat([lf, lf]),
}


@given(
    steps=st.lists(st.sampled_from(list(STEPS)), max_size=6),
    values=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2) | st.none()), max_size=6),
)
def test_every_claim_is_true(steps: list[str], values: list[tuple[int, int | None]]) -> None:
    frame = pl.LazyFrame(
        {"a": [a for a, _ in values], "b": [b for _, b in values], "c": list(range(len(values)))},
        schema={"a": pl.Int64, "b": pl.Int64, "c": pl.Int64},
    ).cache()
    changed = frame
    for step in steps:
        changed = STEPS[step](changed)
    # Polars panics where a plan ends in a cache above others; a layer never ends so.
    was, now = frame.collect(), changed.select(pl.all(), end=0).collect()
    for new, old in unchanged(changed, frame).items():
        assert now[new].to_list() == was[old].to_list()


def test_a_plan_of_another_form_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = base()
    assert unchanged(frame, frame) == ALL
    monkeypatch.setattr("jobforge.pipeline.unchanged._KNOWN", 15)
    assert unchanged(frame, frame) == {}
