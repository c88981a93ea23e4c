"""What is told of the origin of columns: exact where it can be, and never wrong."""

from __future__ import annotations

import cProfile
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_series_equal

from jobforge import PROVENANCE
from jobforge.pipeline.column_lineage import needed as needed_module
from jobforge.pipeline.column_lineage.flow import Flow, Origin
from jobforge.pipeline.column_lineage.needed import needed
from jobforge.pipeline.column_lineage.record import Gap
from jobforge.pipeline.column_lineage.trace import traced
from jobforge.pipeline.column_lineage.watch import watched

Change = Callable[[pl.LazyFrame], pl.LazyFrame]
pytestmark = pytest.mark.filterwarnings("ignore::polars.exceptions.PolarsInefficientMapWarning")

ROWS = {"a": [3, 1, 2], "b": [1, 2, None], "c": ["x", "y", "y"], "l": [[1], [2, 3], []]}
OTHER = pl.LazyFrame({"c": ["x", "z"], "r": [1, 2], "a": [5, 6]})


def base() -> pl.LazyFrame:
    """A frame whose own plan has steps too, as the rows of a layer have."""
    frame = pl.LazyFrame(ROWS).with_columns(s=pl.struct("a", "b"))
    return frame.filter(pl.col("a") < 9).cache()


def told(origin: Origin) -> str:
    """An origin in short: `a b:filter !gap`; a transformation is not named."""
    parts = [
        name if influence == "transformation" else f"{name}:{influence}"
        for name, influence in sorted(origin.sources)
    ]
    return " ".join([*parts, *([f"!{origin.gap}"] if origin.gap else [])])


def follow(change: Change, frame: pl.LazyFrame) -> Flow:
    """The flow of a function, watched as a layer watches it."""
    with watched(frame) as watch:
        result = change(frame)
    return traced(result, frame, computed=watch.computed)


def computed(flow: Flow) -> dict[str, str]:
    return {name: told(o) for name, o in flow.columns.items() if o.plain != name}


def double(value: int) -> int:
    return value * 2


EXACT: list[tuple[Change, dict[str, str], str]] = [
    (lambda lf: lf, {}, ""),
    (lambda lf: lf.with_columns(d=pl.col("a") + pl.col("b")), {"d": "a b"}, ""),
    (lambda lf: lf.rename({"a": "x"}).drop("l", "s"), {"x": "a:identity"}, ""),
    (lambda lf: lf.with_columns(a="b", b="a"), {"a": "b:identity", "b": "a:identity"}, ""),
    (lambda lf: lf.cast({"a": pl.Int8}), {"a": "a"}, ""),
    (lambda lf: lf.with_columns(one=pl.lit(1), n=pl.len()), {"one": "", "n": ""}, ""),
    (lambda lf: lf.filter(pl.col("b") > 1).sort("a").head(2), {}, "a:sort b:filter"),
    (lambda lf: lf.unique(["c"], keep="first", maintain_order=True), {}, "c:filter"),
    (lambda lf: lf.drop_nulls("b"), {}, "b:filter"),
    (
        lambda lf: lf.group_by("c").agg(pl.len(), pl.col("a").sum(), m=pl.col("b").sort_by("a")),
        {"len": "", "a": "a:aggregation", "m": "a:sort b:aggregation"},
        "c:group_by",
    ),
    (
        lambda lf: lf.sort("a").group_by_dynamic("a", every="2i").agg(pl.col("b").sum()),
        {"a": "a", "b": "b:aggregation"},
        "a:group_by a:sort",
    ),
    (lambda lf: lf.select(pl.col("a").sum()), {"a": "a:aggregation"}, ""),
    (
        lambda lf: lf.with_columns(t=pl.when(pl.col("a") > 1).then("b").otherwise(0)),
        {"t": "a:conditional b"},
        "",
    ),
    (
        lambda lf: lf.with_columns(
            w=pl.col("a").sum().over("c", order_by="b"),
            f=pl.col("a").filter(pl.col("b") > 0).sum(),
            r=pl.col("b").sum().rolling("a", period="2i"),
        ),
        {
            "w": "a:aggregation b:window c:window",
            "f": "a:aggregation b:filter",
            "r": "a:window b:aggregation",
        },
        "",
    ),
    (lambda lf: lf.with_columns(x=pl.col("l").list.eval(pl.element() + 1)), {"x": "l"}, ""),
    (
        lambda lf: lf.with_columns(
            u=pl.col("b").map_elements(double, return_dtype=pl.Int64),
            m=pl.map_batches(["a", "b"], lambda s: s[0] + s[1], return_dtype=pl.Int64),
            p=pl.struct("a", "c").map_elements(lambda row: row["a"], return_dtype=pl.Int64),
        ),
        {"u": "b", "m": "a b", "p": "a c"},
        "",
    ),
    (
        # What the hidden function needs cannot be told from what the filter needs.
        lambda lf: lf.filter(pl.col("c") == "y").with_columns(
            u=pl.map_batches(["b", "c"], lambda s: s[0], return_dtype=pl.Int64)
        ),
        {"u": "b !expression"},
        "c:filter",
    ),
    (lambda lf: lf.explode("l"), {"l": "l"}, "l:filter"),
    (lambda lf: lf.select("s").unnest("s"), {"a": "s", "b": "s"}, ""),
    (
        lambda lf: lf.select("c", s=pl.struct(pl.col("a").alias("s"), "b")).unnest("s"),
        {"s": "a b", "b": "a b"},  # a struct is one column, made of both
        "",
    ),
    (lambda lf: lf.unpivot(["a", "b"], index="c"), {"variable": "", "value": "a b"}, ""),
    (lambda lf: lf.with_row_index(), {"index": ""}, ""),
    (lambda lf: pl.concat([lf, lf.with_columns(a="b")]), {"a": "a:identity b:identity"}, ""),
    (
        lambda lf: lf.pivot("c", on_columns=["x"], index="a", values="b", aggregate_function="sum"),
        {"x": "b:aggregation c:filter"},
        "a:group_by",
    ),
    (lambda lf: lf.select("c", "a").sql("select c, sum(a) as n from self group by c"), {
        "n": "a:aggregation a:conditional"}, "c:group_by"),
    (
        lambda lf: lf.join(OTHER, on="c", how="left"),
        {"r": "!other_frame", "a_right": "!other_frame"},
        "c:join !other_frame",
    ),
    (
        lambda lf: lf.join(OTHER.select("c"), on="c", how="full", coalesce=True),
        {"c": "c:identity !other_frame"},
        "c:join !other_frame",
    ),
    (
        lambda lf: lf.select("a", "c").join(OTHER, on="c", how="right"),
        {"c": "!other_frame", "r": "!other_frame", "a_right": "!other_frame"},
        "c:join !other_frame",
    ),
    (
        lambda lf: lf.join(OTHER, on="c").select(net=pl.col("b") * pl.col("r")),
        {"net": "b !other_frame"},
        "c:join !other_frame",
    ),
    (
        lambda lf: lf.join(lf.group_by("c").agg(n=pl.col("b").sum()), on="c", how="left"),
        {"n": "b:aggregation"},
        "c:group_by c:join",
    ),
    (lambda lf: lf.cache().with_columns(a=1).cache(), {"a": ""}, ""),
    (lambda lf: lf.select(pl.lit(1).alias("one"), "a"), {"one": ""}, ""),
    (lambda lf: lf.select(pl.col("a").drop_nulls()), {"a": "a"}, "!expression"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "columns", "rows"), EXACT)
def test_what_a_plan_tells(change: Change, columns: dict[str, str], rows: str) -> None:
    frame = base()
    flow = follow(change, frame)
    assert list(flow.columns) == change(frame).collect_schema().names()
    assert (computed(flow), told(flow.rows)) == (columns, rows)


def constant(lf: pl.LazyFrame) -> pl.LazyFrame:
    total = lf.select(pl.col("a").sum()).collect().item()
    return lf.with_columns(share=pl.col("b") / total)


def in_a_thread(lf: pl.LazyFrame) -> pl.LazyFrame:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(lf.collect().height))
    thread.start()
    thread.join()
    return lf.with_columns(n=pl.lit(found[0]))


COMPUTE: list[Change] = [
    constant,
    in_a_thread,
    lambda lf: lf.with_columns(share=pl.lit(pl.collect_all([lf])[0].height)),
    lambda lf: lf.with_columns(share=pl.lit(next(iter(lf.collect_batches())).height)),
    lambda lf: lf.with_columns(n=pl.lit(lf.collect(background=True).fetch_blocking().height)),
    lambda lf: lf.with_columns(n=pl.lit(lf.describe().height)),
]


@pytest.mark.parametrize("change", COMPUTE)
def test_a_constant_of_the_data_is_not_taken_for_one_of_the_code(change: Change) -> None:
    flow = follow(change, base())
    assert {origin.gap for name, origin in flow.columns.items() if name not in ROWS} >= {Gap.PYTHON}
    assert flow.columns["a"].plain == "a"
    assert flow.rows.gap is Gap.PYTHON


def test_tables_that_are_made_on_the_way_are_no_data_of_the_input() -> None:
    def rated(lf: pl.LazyFrame) -> pl.LazyFrame:
        rates = pl.DataFrame({"c": ["x"], "r": [2]}).with_columns(pl.col("r") * 3)
        return lf.with_columns(d=pl.col("a") * rates["r"].sum())

    assert computed(follow(rated, base())) == {"d": "a"}


def test_a_function_that_measures_itself_is_not_disturbed() -> None:
    def measured(lf: pl.LazyFrame) -> pl.LazyFrame:
        profile = cProfile.Profile()
        profile.enable()
        result = lf.with_columns(d=pl.col("a") + 1)
        profile.disable()
        return result

    assert computed(follow(measured, base())) == {"d": "a !python"}


def test_who_measures_the_program_is_not_disturbed() -> None:
    def listen(*_: object) -> None:
        pass

    sys.setprofile(listen)
    try:
        flow = follow(lambda lf: lf.with_columns(d=pl.col("a") + 1), base())
        assert sys.getprofile() is listen
    finally:
        sys.setprofile(None)
    assert computed(flow) == {"d": "a !python"}


@pytest.mark.parametrize(
    ("change", "gap"),
    [
        (lambda lf: lf.map_batches(lambda df: df.reverse()), Gap.PYTHON),
        (lambda lf: lf.group_by("c").map_groups(lambda df: df, schema=None), Gap.PYTHON),
        (lambda lf: lf.collect().lazy(), Gap.PYTHON),
        (lambda _: pl.LazyFrame(ROWS), Gap.OTHER_FRAME),
    ],
)
def test_a_finished_frame_tells_nothing(change: Change, gap: Gap) -> None:
    flow = follow(change, base())
    assert {(origin.gap, origin.sources) for origin in flow.columns.values()} == {
        (gap, frozenset())
    }
    assert flow.rows.gap is gap


def test_a_plan_of_another_form_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobforge.pipeline.column_lineage.plan.KNOWN", 15)
    flow = follow(lambda lf: lf, base())
    assert {origin.gap for origin in flow.columns.values()} == {Gap.PLAN}


def test_what_is_shown_stands_where_the_rest_cannot_be_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(needed_module, "KNOWN", 15)
    change = dict(enumerate(EXACT))[15][0]
    assert computed(follow(change, base())) == dict.fromkeys("ump", "!expression")


WITH_SEVERAL_COLUMNS: list[pl.Expr] = [
    pl.col("n").rolling_sum_by("t", window_size="2d"),
    pl.col("n").ewm_mean_by("t", half_life="1d"),
    pl.col("n").interpolate_by("t"),
    pl.col("n").min_by("k"),
    pl.col("n").top_k_by("k", 2).sum(),
    pl.col("n").clip(pl.col("k"), pl.col("m")),
    pl.col("n").is_between("k", "m"),
    pl.col("n").replace(pl.col("k").implode(), pl.col("m").implode()),
    pl.col("n").replace_strict({1: 2}, default=pl.col("k"), return_dtype=pl.Int64),
    pl.col("n").search_sorted(pl.col("k")).first(),
    pl.col("n").index_of(pl.col("k").first()),
    pl.col("n").repeat_by("k"),
    pl.col("n").fill_null(pl.col("k")),
    pl.col("n") & pl.col("k"),
    pl.col("l").list.get(pl.col("k"), null_on_oob=True),
    pl.col("l").list.gather(pl.col("o"), null_on_oob=True),
    pl.col("l").list.contains(pl.col("k")),
    pl.col("l").list.set_union(pl.col("o")),
    pl.col("l").list.slice(pl.col("k"), pl.col("m")),
    pl.col("s").str.replace("a", pl.col("w")),
    pl.col("s").str.contains(pl.col("w")),
    pl.col("s").str.slice(pl.col("k"), pl.col("m")),
    pl.col("s").str.pad_start(pl.col("k")),
    pl.col("s").str.split(pl.col("w")),
    pl.col("t").dt.offset_by(pl.col("w")),
    pl.col("t").dt.truncate("1d").dt.combine(pl.time(pl.col("k"), pl.col("m"))),
    pl.col("st").struct.with_fields(z=pl.col("n")),
    pl.col("st").struct.field("p"),
    pl.date(pl.col("k"), pl.col("m"), 1),
    pl.datetime_ranges("t", "t2"),
    pl.corr("n", "k"),
    pl.cov("n", "k", ddof=0),
    pl.arg_sort_by("n", "k"),
    pl.format("{} {}", "n", "s"),
    pl.concat_str("s", "w"),
    pl.concat_list("n", "k"),
    pl.concat_arr("n", "k"),
    pl.arctan2("n", "k"),
    pl.any_horizontal(pl.col("n") > 1, pl.col("k") > 1),
    pl.mean_horizontal("n", "k"),
    pl.reduce(lambda a, b: a + b, [pl.col("n"), pl.col("k")]),
    pl.struct("n", "k").rank(),
    pl.col("n").sort_by("k", "m"),
    pl.col("n").quantile(0.5).over("s", "w", order_by=["k", "m"]),
    pl.col("n").rle_id(),
    pl.when(pl.col("k") > 1).then("n").when(pl.col("m") > 1).then("k").otherwise("m"),
]


@pytest.mark.parametrize("expression", WITH_SEVERAL_COLUMNS, ids=str)
def test_every_column_that_an_expression_names_is_listed(expression: pl.Expr) -> None:
    times = pl.datetime_range(pl.date(2026, 1, 1), pl.date(2026, 1, 3), eager=True)
    columns: dict[str, Any] = {
        **{name: [1, 2, 3] for name in "nkm"},
        **{name: ["a", "1d", "c"] for name in "sw"},
        **{name: [[0], [1, 2], [3]] for name in "lo"},
        **dict.fromkeys(("t", "t2"), times),
        "st": [{"p": 1}, {"p": 2}, {"p": 3}],
    }
    frame = pl.LazyFrame(columns).cache()
    origin = follow(lambda lf: lf.with_columns(made=expression), frame).columns["made"]
    assert {name for name, _ in origin.sources} == set(expression.meta.root_names())
    assert origin.gap is None


def test_it_is_not_asked_for_hundreds_of_hidden_expressions() -> None:
    def changed(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(
            pl.col(name).map_elements(double, return_dtype=pl.Int64).alias(name.upper())
            for name in wide.collect_schema()
        )

    wide = pl.LazyFrame({f"c{n}": [1] for n in range(100)}).cache()
    assert set(computed(follow(changed, wide)).values()) == {"!expression"}


def test_an_endless_plan_tells_nothing() -> None:
    def long(lf: pl.LazyFrame) -> pl.LazyFrame:
        for _ in range(3_000):
            lf = lf.with_columns(pl.col("a").shift())
        return lf

    frame = base()
    flow = traced(long(frame), frame)
    assert {origin.gap for origin in flow.columns.values()} <= {Gap.PLAN, None}


AS_WRITTEN = pl.QueryOptFlags.none()  # Polars panics where it optimises some nested caches

# Random pipelines against an oracle: change one column of the input, and see what changes.

X, Y, Z = "x", "y", "z"
Make = Callable[[str, str, str], pl.Expr]


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


def test_provenance_is_a_column_like_others() -> None:
    frame = pl.LazyFrame({"a": [1], "_source_row": [1], "_batch_id": ["x"]}).cache()
    flow = follow(lambda lf: lf.select("a", PROVENANCE), frame)
    assert computed(flow) == {}
