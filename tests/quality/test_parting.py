"""A frame parted by rules: the same rows from every engine, in their order."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobforge import deduplicate, expect, keep, references
from jobforge.quality.declared import DeclaredStep
from jobforge.quality.parting import Parting, part
from jobforge.quality.quarantine import REASONS, STEP, gathered
from jobforge.quality.rules import Rule, RuleKind

CELL = st.one_of(st.none(), st.integers(-2, 2))
STEPS: list[DeclaredStep] = [
    expect("positive", pl.col("a") > 0),
    keep("small", pl.col("b") < 2),
    deduplicate("a"),
    deduplicate("a", "b", keep="last", nulls_equal=True),
    deduplicate("a", keep="latest", order_by=["b", "n"]),
    references("a", pl.DataFrame({"a": [1, 2]}), null="fail"),
]


def frames(parting: Parting) -> list[pl.LazyFrame]:
    found = [parting.kept, parting.tally]
    found += [frame for frame in (parting.rejects, parting.filtered) if frame is not None]
    return found


@given(st.lists(st.tuples(CELL, CELL), max_size=30), st.sampled_from(STEPS))
def test_streaming_and_in_memory_say_the_same(
    rows: list[tuple[int | None, int | None]], step: DeclaredStep
) -> None:
    frame = pl.DataFrame(rows, schema={"a": pl.Int64, "b": pl.Int64}, orient="row")
    frame = frame.with_row_index("n")
    parting = step.part(frame.lazy())
    streamed = pl.collect_all(frames(parting), engine="streaming")
    for lazy, other in zip(frames(parting), streamed, strict=True):
        assert lazy.collect(engine="in-memory").equals(other)
    kept, left = streamed[0], streamed[2]
    assert sorted([*kept["n"], *left["n"]]) == list(range(len(rows)))
    assert kept["n"].is_sorted()
    assert left["n"].is_sorted()


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_million_rows_keep_their_order(step: DeclaredStep) -> None:
    number = pl.int_range(1_000_000, eager=True)
    frame = pl.DataFrame({"n": number, "a": (number * 7919) % 5000 - 5, "b": number % 3})
    parting = step.part(frame.lazy())
    streamed = pl.collect_all(frames(parting), engine="streaming")
    kept, left = streamed[0], streamed[2]
    assert kept["n"].is_sorted()
    assert left["n"].is_sorted()
    assert kept.height + left.height == frame.height


ODD = ["*", "^x$", "", " ", "__failed_0", "__place", "_step2", "a.b", 'quo"te']


def test_columns_of_any_name_are_judged() -> None:
    frame = pl.DataFrame({name: [1, None] for name in ODD})
    rules = [
        Rule(
            f"r{at}",
            RuleKind.CHECK,
            pl.nth(at).is_null(),
            "is null",
            (name,),
            "contract",
        )
        for at, name in enumerate(ODD)
    ]
    parting = part(frame.lazy(), rules)
    kept, tally, rejects = pl.collect_all(frames(parting), engine="streaming")
    assert kept.columns == ODD
    assert kept.rows() == [(1,) * len(ODD)]
    assert [count.failed for count in parting.counts(tally)] == [1] * len(ODD)
    (row,) = rejects.to_dicts()
    assert [reason["column"] for reason in row[REASONS]] == ODD
    assert row[STEP] == "contract"


def test_values_of_every_type_have_a_text_or_none() -> None:
    frame = pl.DataFrame(
        {
            "l": [[1]],
            "s": [{"x": 1}],
            "b": [b"\xff"],
            "c": pl.Series(["k"], dtype=pl.Categorical),
            "e": pl.Series(["k"], dtype=pl.Enum(["k"])),
            "d": pl.Series(["1.50"]).str.to_decimal(scale=2),
            "f": [float("nan")],
            "z": [None],
        }
    )
    rules = [
        Rule(name, RuleKind.CHECK, pl.lit(value=True), "is wrong", (name,), "contract")
        for name in frame.columns
    ]
    both = Rule("both", RuleKind.CHECK, pl.lit(value=True), "is wrong", ("c", "z"), "contract")
    rejects = part(frame.lazy(), [*rules, both]).rejects
    assert rejects is not None
    (row,) = rejects.collect().to_dicts()
    assert [reason["value"] for reason in row[REASONS]] == [
        None,
        None,
        None,
        "k",
        "k",
        "1.50",
        "NaN",
        None,
        "c=k, z=null",
    ]


def test_frames_of_other_shapes_are_gathered_without_a_change() -> None:
    first = pl.LazyFrame({"a": [1], "b": ["x"]})
    second = pl.LazyFrame({"a": ["1"], "a#2": [5], "c": [True]})
    third = pl.LazyFrame({"a": [2], "c": [False]})
    found = gathered([first, second, third]).collect()
    assert found.schema["a"] == pl.Int64()
    assert found["a"].to_list() == [1, None, 2]
    texts = [name for name in found.columns if found.schema[name] == pl.String() and name != "b"]
    assert found[texts[0]].to_list() == [None, "1", None]
    assert sorted(v for v in found.select(pl.col(pl.Int64)).row(1) if v is not None) == [5]
