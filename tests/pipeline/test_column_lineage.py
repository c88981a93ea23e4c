"""What is told of the origin of columns: exact where it can be, and never wrong."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl
import pytest

from jobforge import PROVENANCE
from jobforge.pipeline.column_lineage import needed as needed_module
from jobforge.pipeline.column_lineage.flow import Flow, Origin
from jobforge.pipeline.column_lineage.record import Gap
from jobforge.pipeline.column_lineage.trace import traced
from support import follow

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


def test_a_column_that_the_data_choose_is_not_known() -> None:
    def chosen(lf: pl.LazyFrame) -> pl.LazyFrame:
        most = lf.select(pl.col("b").max()).collect().item()
        return lf.with_columns(d=pl.col("a") if most > 1 else pl.col("c"))

    assert computed(follow(chosen, base())) == {"d": "a:identity !python"}


def test_work_for_a_pool_of_threads_is_seen() -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()  # its thread is there by now

        def pooled(lf: pl.LazyFrame) -> pl.LazyFrame:
            most = pool.submit(lf.select(pl.col("b").max()).collect).result().item()
            return lf.with_columns(d=pl.lit(most))

        assert computed(follow(pooled, base())) == {"d": "!python"}


def test_a_function_that_measures_itself_is_not_disturbed() -> None:
    def measured(lf: pl.LazyFrame) -> pl.LazyFrame:
        sys.setprofile(lambda *_: None)
        result = lf.with_columns(d=pl.col("a") + 1)
        sys.setprofile(None)
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


def test_provenance_is_a_column_like_others() -> None:
    frame = pl.LazyFrame({"a": [1], "_source_row": [1], "_batch_id": ["x"]}).cache()
    flow = follow(lambda lf: lf.select("a", PROVENANCE), frame)
    assert computed(flow) == {}
