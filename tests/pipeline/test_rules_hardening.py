"""Corners of rules and contracts that were once wrong, each as a test."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars import selectors as cs

from jobforge import (
    Column,
    Contract,
    PipelineConfig,
    PipelineEngine,
    deduplicate,
    expect,
    keep,
    references,
)
from jobforge.errors import (
    InvalidRuleError,
    InvalidSchemaError,
    RejectLimitError,
    SchemaMismatchError,
    UnknownColumnError,
)
from jobforge.pipeline.results import SilverResult
from support import data

Steps = Sequence[Any]


class Bench:
    def __init__(self, folder: Path) -> None:
        self.engine = PipelineEngine(PipelineConfig(folder / "root"))
        self.source = folder / "t.parquet"

    def silver(
        self,
        frame: pl.DataFrame,
        steps: Steps = (),
        contract: Contract | None = None,
        load: str = "replace",
    ) -> SilverResult:
        frame.write_parquet(self.source)
        staged = self.engine.ingest(self.source, "t")
        bronze = self.engine.promote_to_bronze(staged["staged_path"], contract, load=load)
        return self.engine.promote_to_silver(bronze["bronze_path"], list(steps), load=load)

    def edges(self, result: SilverResult) -> pl.DataFrame:
        return pl.read_parquet(self.engine.config.data_root / str(result["log"].edges_file))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def half(lf: pl.LazyFrame) -> pl.LazyFrame:
    """Other rows each time it is computed."""
    return lf.filter(pl.int_range(pl.len()).shuffle() < 500)


def test_edges_are_true_of_a_function_that_changes_from_run_to_run(bench: Bench) -> None:
    result = bench.silver(pl.DataFrame({"a": range(1000)}), [half])
    there = set(pl.read_parquet(result["silver_path"])["_source_row"])
    gone = set(bench.edges(result)["_source_row"])
    assert len(there) == 500
    assert gone == set(range(1, 1001)) - there


def test_edges_name_the_function_that_dropped_a_record(bench: Bench) -> None:
    def no_small(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.filter(pl.col("a") > 2)

    def no_large(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.filter(pl.col("a") < 6)

    steps = [no_small, expect("not 4", pl.col("a") != 4), no_large, keep("odd", pl.col("a") != 5)]
    result = bench.silver(pl.DataFrame({"a": range(1, 8)}), steps)
    assert data(result["silver_path"])["a"].to_list() == [3]
    assert bench.edges(result).select("_source_row", "step", "outcome").rows() == [
        (1, "no_small", "dropped"),
        (2, "no_small", "dropped"),
        (5, "odd", "filtered"),
        (6, "no_large", "dropped"),
        (7, "no_large", "dropped"),
    ]


def test_a_record_with_a_row_in_gold_has_no_edge(bench: Bench) -> None:
    def twice(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(k=pl.lit([1, 2])).explode("k")

    silver = bench.silver(pl.DataFrame({"a": [1, 2]}))["silver_path"]
    steps: list[Any] = [twice, keep("some", (pl.col("k") == 1) & (pl.col("a") == 1))]
    log = bench.engine.promote_to_gold(silver, steps)["log"]
    assert log.account is not None
    assert log.account.filtered == {"some": 3}
    edges = pl.read_parquet(bench.engine.config.data_root / str(log.edges_file))
    assert edges["_source_row"].to_list() == [2]


def test_a_contract_may_be_wide(bench: Bench) -> None:
    names = [f"c{n}" for n in range(1500)]
    contract = Contract({name: Column("Int64", ge=0, le=5, nullable=False) for name in names})
    frame = pl.DataFrame({name: ["1", "9"] for name in names})
    result = bench.silver(frame, (), contract)
    assert result["log"].row_count_out == 1
    assert len(result["log"].rules) == 4500


@pytest.mark.parametrize("load", ["replace", "append"])
def test_a_key_may_have_several_columns(bench: Bench, load: str) -> None:
    key = {"nullable": False, "key": True}
    contract = Contract(
        {"i": Column("Int64", **key), "j": Column("String", **key)}  # type: ignore[arg-type] # as above
    )
    frame = pl.DataFrame({"i": ["1", "1", "2", "2"], "j": ["a", "b", "a", "a"]})
    first = bench.silver(frame, (), contract, load)
    assert data(first["silver_path"]).rows() == [(1, "a"), (1, "b")]
    more = pl.DataFrame({"i": ["1", "3"], "j": ["b", "a"]})
    second = bench.silver(more, (), contract, load)
    rows = [(3, "a")] if load == "append" else [(1, "b"), (3, "a")]
    assert data(second["silver_path"]).rows() == rows


@pytest.mark.parametrize("texts", [["1", "+1", "2"], ["1,000,000", "1000000", "2"]])
def test_numbers_that_are_written_differently_are_no_key(texts: list[str]) -> None:
    assert not Contract.infer(pl.DataFrame({"x": texts})).columns["x"].key


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf")])
def test_no_range_is_proposed_of_what_is_no_number(odd: float) -> None:
    column = Contract.infer(pl.DataFrame({"x": [1.0, odd, 2.0]})).columns["x"]
    assert (column.ge, column.le) == (None, None)


def test_nan_is_in_no_range(bench: Bench) -> None:
    frame = pl.DataFrame({"x": [1.0, float("nan"), None]})
    contract = Contract({"x": Column("Float64", ge=0.0)})
    assert data(bench.silver(frame, (), contract)["silver_path"])["x"].to_list() == [1.0, None]


A = pl.col("a")
REFUSED: list[pl.Expr] = [
    pl.col("d").str.to_date(strict=False).is_not_null(),
    pl.col("d").str.to_datetime(strict=False).is_not_null(),
    A.is_in(pl.col("b")),
    pl.col("b") != pl.col("b").str.join(","),
    A.bitwise_or() != A,
    A.arg_true() > 1,
    A.map_elements(lambda v: v, return_dtype=pl.Int64) > A.shift(1),
    A.map_batches(lambda s: s.is_unique(), return_dtype=pl.Boolean),
    pl.lit(pl.Series([1, 2])) < A,
    pl.int_range(0, 4) < A,
    A.append(A) > 1,
    cs.numeric() > 0,
    pl.col("^a$") > 0,
    pl.all() > 0,
    pl.all_horizontal(cs.string().is_null(), A > 0),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("condition", REFUSED, ids=str)
def test_what_may_look_beyond_its_row_is_refused(condition: pl.Expr) -> None:
    with pytest.raises(InvalidRuleError):
        expect("r", condition)


@pytest.mark.parametrize(
    "condition",
    [
        pl.col("d").str.to_date("%Y", strict=False).is_not_null(),
        pl.col("l").list.contains(A),
        pl.col("l").list.eval(pl.element().sum()).list.first() > 1,
        pl.struct("a", "b").is_in(pl.Series([{"a": 1, "b": 2}]).implode()),
        cs.by_name("*") > 0,
        pl.when(A > 1).then(pl.col("b")).otherwise(pl.lit(1)) > 0,
        pl.concat_str("a", "b").str.len_chars() > 1,
        A.replace_strict({1: True}, default=False),
        pl.col("t") > pl.duration(days=2),
    ],
    ids=str,
)
def test_what_stays_within_its_row_is_allowed(condition: pl.Expr) -> None:
    assert expect("r", condition).name == "r"


def test_a_share_is_what_is_written() -> None:
    frame = pl.DataFrame({"a": [0] * 29 + [1] * 71})
    expect("r", A > 0, on_fail="fail", tolerance=0.29)(frame)


def test_a_rule_of_a_user_does_not_hide_a_failed_check(bench: Bench) -> None:
    contract = Contract({"a": Column("Int64", nullable=False)}, max_rejects=0)
    frame = pl.DataFrame({"a": ["1", None, "3"]})
    steps = [expect("x", A > 0, on_fail="warn"), expect("y", A > 0, tolerance=5, null="pass")]
    with pytest.raises(RejectLimitError, match="1 of 3"):
        bench.silver(frame, steps, contract)


def test_a_rule_sees_what_a_filter_left(bench: Bench) -> None:
    steps = [
        keep("numbers", pl.col("s").str.contains(r"^\d+$")),
        expect("large", pl.col("s").cast(pl.Int64) > 5),
    ]
    frame = pl.DataFrame({"s": ["1", "x", "9"]})
    assert data(bench.silver(frame, steps)["silver_path"])["s"].to_list() == ["9"]


def test_a_column_that_comes_back_is_judged_again(bench: Bench) -> None:
    def away(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.drop("a")

    def back(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(a=pl.col("b") * 10)

    contract = Contract({"a": Column("Int64", le=10), "b": Column("Int64")})
    frame = pl.DataFrame({"a": ["1", "99", "3"], "b": ["1", "1", "5"]})
    result = bench.silver(frame, [away, back], contract)
    assert data(result["silver_path"])["a"].to_list() == [10]
    assert [(r.rule, r.failed) for r in result["log"].rules] == [("le:a", 1), ("le:a#2", 1)]
    more = bench.silver(frame, [away, back, away, back], contract)["log"]
    assert [r.rule for r in more.rules] == ["le:a", "le:a#2", "le:a#3"]


def test_columns_of_odd_names_have_expectations(bench: Bench) -> None:
    frame = pl.DataFrame({"*": [1, -1], "^x$": [1, 1]})
    both = pl.all_horizontal(cs.by_name("*", "^x$") > 0)
    steps = [expect("r", cs.by_name("*") > 0), expect("both", both)]
    log = bench.silver(frame, steps)["log"]
    assert [r.columns for r in log.rules] == [("*",), ("*", "^x$")]
    assert log.row_count_out == 1


def test_durations_are_judged(bench: Bench) -> None:
    frame = pl.DataFrame({"d": [dt.timedelta(days=1), dt.timedelta(days=3)] * 2})
    steps = [expect("long", pl.col("d") > pl.duration(days=2)), deduplicate("d")]
    log = bench.silver(frame, steps)["log"]
    rows = bench.engine.reject_rows(log.batch_id)
    assert rows["value"].to_list() == ["P1D", "P1D", "P3D"]


def test_an_append_of_another_key_type_is_refused_by_name(bench: Bench) -> None:
    key = Column("Int64", nullable=False, key=True)
    bench.silver(pl.DataFrame({"id": ["1"]}), (), Contract({"id": key}))
    text = Column("String", nullable=False, key=True)
    with pytest.raises(SchemaMismatchError, match="id is String, not Int64"):
        bench.silver(pl.DataFrame({"id": ["x"]}), (), Contract({"id": text}), "append")


def test_columns_called_as_helpers_are_cast(bench: Bench) -> None:
    names = ["__cast_0", "__cast_a", "a", "a_", "__failed_0"]
    contract = Contract({name: Column("Int64", ge=1) for name in names})
    result = bench.silver(pl.DataFrame({name: ["1", "0"] for name in names}), (), contract)
    assert data(result["silver_path"]).rows() == [(1,) * 5]


BOUNDS: list[tuple[str, Any]] = [
    ("Datetime('us')", dt.datetime(2024, 1, 1, tzinfo=UTC)),
    ("Datetime('us', 'UTC')", dt.datetime(2024, 1, 1)),
    ("Decimal(5, 2)", "NaN"),
    ("Decimal(5, 2)", "sNaN"),
    ("Decimal(5, 2)", "Infinity"),
    ("Decimal(5, 2)", "1e400"),
    ("Int64", 10**5000),
    ("Int64", float("nan")),
]


@pytest.mark.parametrize(("dtype", "bound"), BOUNDS, ids=range(len(BOUNDS)))
def test_bounds_that_mean_no_value_are_refused(dtype: str, bound: Any) -> None:
    with pytest.raises(InvalidSchemaError, match="ge is"):
        Contract({"a": Column(dtype, ge=bound)})


def test_a_narrow_float_has_decimal_bounds(bench: Bench) -> None:
    contract = Contract({"a": Column("Float32", ge=0.1, le=0.3)})
    frame = pl.DataFrame({"a": ["0.1", "0.3", "0.31"]})
    result = bench.silver(frame, (), contract)
    assert result["log"].row_count_out == 2
    assert Contract.from_dict(contract.as_dict()) == contract


MALFORMED: list[Callable[[], object]] = [
    lambda: Contract({"a": Column("String", pattern="\ud800")}),
    lambda: Contract({"a": Column("String", description="\ud800")}),
    lambda: Contract({"a": Column("String")}, owner="\ud800"),
    lambda: Contract({"\ud800": Column("String")}),
    lambda: Contract({"a": Column("String", length=[True, None])}),
    lambda: Contract({"a": Column(source="_source_row")}),
    lambda: Contract.from_dict([]),  # type: ignore[arg-type] # on purpose
]


@pytest.mark.parametrize("make", MALFORMED)
def test_what_is_no_contract_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidSchemaError):
        make()


def test_infinity_has_a_python_form() -> None:
    contract = Contract({"a": Column("Float64", ge=float("-inf"), allowed=[float("inf")])})
    scope: dict[str, Any] = {}
    exec(contract.to_python(), scope)  # noqa: S102 - it is what the text is for
    assert scope["contract"] == contract


def test_provenance_is_no_part_of_a_proposal(bench: Bench) -> None:
    silver = bench.silver(pl.DataFrame({"a": [1]}))["silver_path"]
    assert list(Contract.infer(pl.scan_parquet(silver)).columns) == ["a"]


def test_plain_frames_get_errors_of_ours() -> None:
    frame = pl.DataFrame({"aa": [1, 2], "s": ["x", "1"]})
    keys = pl.DataFrame({"zz": [1]})
    for step in (
        expect("r", pl.col("ab") > 1),
        keep("r", pl.col("ab") > 1),
        deduplicate("ab"),
        deduplicate("aa", keep="latest", order_by="ab"),
        references("ab", keys, "zz"),
    ):
        with pytest.raises(UnknownColumnError, match="did you mean 'aa'"):
            step(frame)
    with pytest.raises(InvalidRuleError, match="cannot be judged"):
        expect("r", pl.col("s").cast(pl.Int64) > 1)(frame)
    with pytest.raises(InvalidRuleError, match="cannot be judged"):
        expect("r", pl.col("s") > 1)(frame)
