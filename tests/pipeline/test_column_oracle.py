"""Random pipelines against an oracle: change one column of the input, and see what changes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_series_equal

from jobforge.pipeline.column_lineage.flow import Flow
from jobforge.pipeline.column_lineage.needed import needed
from jobforge.pipeline.column_lineage.record import Gap
from jobforge.pipeline.column_lineage.trace import traced
from support import follow

Change = Callable[[pl.LazyFrame], pl.LazyFrame]
pytestmark = pytest.mark.filterwarnings("ignore::polars.exceptions.PolarsInefficientMapWarning")

AS_WRITTEN = pl.QueryOptFlags.none()  # Polars panics where it optimises some nested caches


Make = Callable[[str, str, str], pl.Expr]


def double(value: int) -> int:
    return value * 2


def _first(columns: Any) -> Any:
    return columns[0] + columns[1].fill_null(0)


EXPRESSIONS: list[Make] = [
    lambda x, y, _: pl.col(x) + pl.col(y),
    lambda x, y, z: pl.when(pl.col(x) > 1).then(pl.col(y)).otherwise(pl.col(z)),
    lambda x, *_: pl.col(x).sum(),
    lambda x, y, _: pl.col(x).sum().over(y),
    lambda x, y, z: pl.col(x).first().over(y, order_by=z),
    lambda x, *_: pl.col(x).shift(),
    lambda x, *_: pl.col(x).fill_null(strategy="forward"),
    lambda x, y, _: pl.col(x).sort_by(y, maintain_order=True),
    lambda x, y, _: pl.col(x).sort_by(y, maintain_order=True).first(),
    lambda x, y, _: pl.col(x).filter(pl.col(y) > 1).sum(),
    lambda x, *_: pl.col(x).map_elements(double, return_dtype=pl.Int64),
    lambda x, y, _: pl.map_batches([x, y], _first, return_dtype=pl.Int64),
    lambda x, *_: pl.col(x).cum_sum(),
    lambda x, *_: pl.col(x).rank("dense").cast(pl.Int64),
    lambda *_: pl.lit(7, dtype=pl.Int64),
    lambda *_: pl.len().cast(pl.Int64),
    lambda x, y, _: pl.col(x).is_in(pl.col(y).implode()).cast(pl.Int64),
    pl.max_horizontal,
    lambda x, y, _: pl.coalesce(x, y),
    lambda x, *_: pl.col(x).is_first_distinct().cast(pl.Int64),
    lambda x, y, _: pl.concat_list(x, y).list.eval(pl.element() * 2).list.sum(),
    lambda x, y, _: pl.struct(pl.col(x).alias("l"), pl.col(y).alias("r")).struct.field("r"),
    lambda x, y, _: pl.struct(pl.col(x), pl.col(y).alias("r")).hash(1).reinterpret(signed=True),
    lambda x, *_: pl.col(x).rolling_sum(2),
    lambda x, *_: pl.fold(0, lambda left, right: left + right, [pl.col(x)]).cast(pl.Int64),
    lambda x, y, _: pl.col(x).replace_strict({1: 5}, default=pl.col(y), return_dtype=pl.Int64),
    lambda x, y, _: pl.col(x).gather(pl.col(y).arg_max()).first(),
]


def _constant_of_the_data(lf: pl.LazyFrame, x: str, y: str, _: str) -> pl.LazyFrame:
    number = lf.select(pl.col(x).sum()).collect().item()
    return lf.with_columns(made=pl.col(y) + number)


def _pivoted(lf: pl.LazyFrame, x: str, y: str, z: str) -> pl.LazyFrame:
    if len({x, y, z}) < len("xyz"):
        return lf
    wide = lf.pivot(x, on_columns=[0, 1], index=y, values=z, aggregate_function="sum")
    return wide.sort(pl.all(), maintain_order=True)


FRAMES: list[Callable[[pl.LazyFrame, str, str, str], pl.LazyFrame]] = [
    lambda lf, x, y, _: lf.with_columns(**{x: pl.col(y), y: pl.col(x)}),
    lambda lf, x, *_: lf.rename({x: "renamed"}) if "renamed" not in _names(lf) else lf,
    lambda lf, x, y, _: lf.select(pl.col(*dict.fromkeys((y, x)))),
    lambda lf, x, *_: lf.drop(x) if len(_names(lf)) > 1 else lf,
    lambda lf, x, *_: lf.filter(pl.col(x) > 1),
    lambda lf, x, y, _: lf.sort(x, y, maintain_order=True),
    lambda lf, *_: lf.head(3),
    lambda lf, *_: lf.tail(2),
    lambda lf, *_: lf.reverse(),
    lambda lf, x, *_: lf.unique([x], keep="first", maintain_order=True),
    lambda lf, x, y, z: lf.group_by(x, maintain_order=True).agg(
        made=pl.col(y).sum(), more=pl.col(z).max()
    ),
    lambda lf, x, y, _: lf.group_by(x, maintain_order=True).agg(
        made=pl.col(y).sort_by(pl.col(y)).first(), more=pl.len().cast(pl.Int64)
    ),
    lambda lf, x, y, _: lf.join(
        lf.group_by(x, maintain_order=True).agg(joined=pl.col(y).sum()),
        on=x, how="left", maintain_order="left_right",
    ) if "joined" not in _names(lf) else lf,
    lambda lf, x, *_: lf.join(
        pl.LazyFrame({"k": [0, 1, 2], "dim": [5, 6, 7]}),
        left_on=x, right_on="k", how="full", coalesce=True, maintain_order="left_right",
    ) if "dim" not in _names(lf) else lf,
    lambda lf, x, *_: lf.join(
        lf.select(pl.col(x) + 1), on=x, how="semi", maintain_order="left"
    ),
    lambda lf, x, y, _: pl.concat([lf, lf.with_columns(pl.col(x).alias(y))]),
    lambda lf, x, y, _: lf.rename({x: "long"} if "value" in _names(lf) else {}).unpivot(
        "long" if "value" in _names(lf) else list(dict.fromkeys((x, y)))
    ).select("value"),
    lambda lf, *_: lf.with_row_index("n").with_columns(pl.col("n").cast(pl.Int64))
    if "n" not in _names(lf) else lf,
    lambda lf, x, y, _: lf.with_columns(pl.concat_list(x, y).alias(x)).explode(x),
    lambda lf, *_: lf.drop_nulls(),
    lambda lf, *_: lf.map_batches(lambda df: df.reverse()),
    lambda lf, *_: lf.collect().lazy(),
    lambda lf, *_: lf.gather_every(2),
    lambda lf, x, y, _: lf.select(
        pl.col(x).drop_nulls().sum(), pl.lit(1, dtype=pl.Int64).alias("one")
    )
    if x != "one" else lf.select(y),
    lambda lf, *_: lf.cache(),
    _constant_of_the_data,
    _pivoted,
]  # fmt: skip


def _names(lf: pl.LazyFrame) -> list[str]:
    return lf.collect_schema().names()


def _applied(lf: pl.LazyFrame, steps: list[tuple[int, int, int, int]]) -> pl.LazyFrame:
    """The steps, each with columns of its frame: an expression into a new column, or another."""
    for what, *places in steps:
        names = _names(lf)
        x, y, z = (names[place % len(names)] for place in places)
        if what < len(EXPRESSIONS):
            made = EXPRESSIONS[what](x, y, z)
            changed = lf.with_columns(made.alias(names[what % len(names)] if what % 3 else "made"))
        else:
            changed = FRAMES[what - len(EXPRESSIONS)](lf, x, y, z)
        with suppress(pl.exceptions.PolarsError):  # a name that is there already
            _names(changed)
            lf = changed
    return lf


step = st.tuples(
    st.integers(0, len(EXPRESSIONS) + len(FRAMES) - 1), *[st.integers(0, 5) for _ in range(3)]
)
cell = st.integers(0, 3) | st.none()
rows = st.lists(st.tuples(cell, cell, cell, cell), min_size=1, max_size=6)


def _frame(values: list[Any]) -> pl.DataFrame:
    return pl.DataFrame(values, schema=dict.fromkeys("abcd", pl.Int64), orient="row")


def _check(
    change: Change,
    flow: Flow,
    data: pl.DataFrame,
    column: str,
    others: list[Any],
    *,
    ordered: bool = True,
) -> None:
    """Give a column other values: what does not have it among its sources must stay."""
    was = change(data.lazy()).collect(optimizations=AS_WRITTEN)
    other = data.with_columns(pl.Series(column, others, dtype=pl.Int64))
    now = change(other.lazy()).collect(optimizations=AS_WRITTEN)
    assert list(flow.columns) == was.columns
    if flow.rows.gap or column in {name for name, _ in flow.rows.sources}:
        return
    for name, origin in flow.columns.items():
        if origin.gap is None and column not in {source for source, _ in origin.sources}:
            assert_series_equal(was[name], now[name], check_order=ordered)


@given(steps=st.lists(step, min_size=1, max_size=5), values=rows, others=st.data())
def test_what_is_not_listed_changes_nothing(
    steps: list[tuple[int, int, int, int]], values: list[Any], others: st.DataObject
) -> None:
    def change(lf: pl.LazyFrame) -> pl.LazyFrame:
        return _applied(lf, steps)

    data = _frame(values)
    flow = follow(change, data.lazy().cache())
    for column in data.columns:
        drawn = others.draw(st.lists(cell, min_size=data.height, max_size=data.height))
        _check(change, flow, data, column, drawn)


def _renamed(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.select(k="a", v="b", w="c")


JOINS: list[Change] = [
    lambda lf: lf.join(_renamed(lf), left_on="a", right_on="k", how="right"),
    lambda lf: lf.join(_renamed(lf), left_on="a", right_on="k", how="full", coalesce=True),
    lambda lf: lf.join(_renamed(lf), left_on="a", right_on="k", how="full"),
    lambda lf: lf.join(_renamed(lf), left_on=pl.col("a") + 1, right_on="k", how="left"),
    lambda lf: lf.join(_renamed(lf), left_on=["a", "b"], right_on=["k", "v"], how="anti"),
    lambda lf: lf.join(lf, on="b", how="inner", suffix="_other"),
    lambda lf: lf.join(lf, on="b", how="right", coalesce=False),
    lambda lf: lf.join(lf.select("a", "d"), on="a", how="left", coalesce=False),
    lambda lf: lf.join(lf.select("c"), how="cross"),
    lambda lf: lf.join_where(_renamed(lf), pl.col("a") > pl.col("k"), pl.col("c") == pl.col("w")),
    lambda lf: lf.sort("a").join_asof(_renamed(lf).sort("k"), left_on="a", right_on="k"),
    lambda lf: lf.sort("a").join_asof(
        _renamed(lf).sort("k"), left_on="a", right_on="k", by_left="b", by_right="v"
    ),
    lambda lf: lf.update(lf.select("a", b="c"), on="a"),
    lambda lf: pl.concat([lf.select("a"), lf.select(z="b")], how="horizontal"),
    lambda lf: pl.concat([lf.select("a", "b"), lf.select("b", "c")], how="diagonal"),
    lambda lf: lf.sort("a").merge_sorted(lf.with_columns(b="c").sort("a"), "a"),
    lambda lf: lf.sort("a").group_by_dynamic("a", every="2i", include_boundaries=True).agg("b"),
    lambda lf: lf.sort("a").group_by_dynamic("a", every="1i", group_by="c").agg(pl.sum("b")),
    lambda lf: lf.sort("a").rolling("a", period="2i").agg(pl.col("b").sum(), pl.col("c").first()),
    lambda lf: lf.group_by(pl.col("a") % 2, maintain_order=True).agg(pl.col("b").sum()),
    lambda lf: lf.top_k(2, by=["a", "b"]),
    lambda lf: lf.select(pl.all().top_k(2)),
    lambda lf: lf.select(pl.col("a").unique(maintain_order=True).len(), pl.lit(1).alias("one")),
    lambda lf: lf.select("a", s=pl.struct("b", "c")).unnest("s", separator="."),
    lambda lf: lf.null_count(),
    lambda lf: lf.remove(pl.col("a") > pl.col("b")),
    lambda lf: lf.sql("select a, sum(b) over (partition by c) as s from self where d > 0"),
]


@pytest.mark.parametrize("change", JOINS)
@pytest.mark.filterwarnings("ignore:.*unstable")
def test_frames_that_come_together(change: Change) -> None:
    data = _frame([(1, 2, 3, 0), (0, 3, 1, 2), (2, 2, 0, 1), (3, 0, 2, 1)])
    flow = follow(change, data.lazy().cache())
    assert not flow.gaps - {Gap.EXPRESSION}
    for column in data.columns:
        for others in ([3, 1, 0, 2], [0, 0, 1, 1], [2, 3, 2, 3]):
            _check(change, flow, data, column, others, ordered=False)  # joins give any order


@given(steps=st.lists(step, min_size=1, max_size=4))
def test_what_polars_asks_for_is_listed(steps: list[tuple[int, int, int, int]]) -> None:
    """No column is needed that is not listed."""
    frame = _frame([(1, 2, 3, 0), (0, None, 1, 2)]).lazy().cache()
    result = _applied(frame, steps)
    flow = traced(result, frame)
    for_rows = {name for name, _ in flow.rows.sources}
    if flow.gaps:
        return
    # Polars reads more than it needs of some frames: what it reads more for a column counts.
    plain = [name for name, origin in flow.columns.items() if origin.plain]
    others = needed(plain, result, frame) if plain else set(frame.collect_schema())
    for name, origin in flow.columns.items():
        listed = {source for source, _ in origin.sources} | for_rows
        assert needed([*plain, *({name} - set(plain))], result, frame) - others <= listed
