"""Contracts: what bronze casts by them, and what silver judges."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobforge import Column, Contract, PipelineConfig, PipelineEngine, deduplicate, trim
from jobforge.errors import (
    CastRejectedError,
    ExpectationError,
    InvalidSchemaError,
    PublishConflictError,
    RejectLimitError,
    SchemaMismatchError,
    UnknownColumnError,
)
from jobforge.pipeline import lineage
from jobforge.pipeline.models import TransitionStatus
from support import data, files_below, write_csv

ROWS = [
    ["Order ID", "Unit Price", "State", "Note"],
    ["1", "1.234,50", "A", "x"],
    ["2", "5", "B", ""],
    ["2", "0,5", "C", "y"],
    ["3", "n/a", "a", "z"],
    ["4", "12,345", "A", "too long"],
]


def contract(**more: Any) -> Contract:
    return Contract(
        {
            "order_id": Column(pl.Int64, source="Order ID", nullable=False, key=True),
            "price": Column(
                pl.Decimal(12, 2),
                source="Unit Price",
                decimal=",",
                thousands=".",
                null_values=["n/a"],
                ge="0.50",
            ),
            "state": Column(pl.String, source="State", allowed=["A", "B", "C"]),
            "Note": Column(pl.String, length=(None, 5), pii="free text"),
        },
        version="2.1.0",
        **more,
    )


@pytest.fixture
def staged(engine: PipelineEngine, tmp_path: Path) -> Path:
    return engine.ingest(write_csv(tmp_path / "orders.csv", ROWS), "orders")["staged_path"]


def rejects(engine: PipelineEngine, file: str | None) -> list[tuple[int, list[str]]]:
    frame = pl.read_parquet(engine.config.data_root / str(file))
    return [
        (row["_source_row"], [reason["rule"] for reason in row["_reasons"]])
        for row in frame.to_dicts()
    ]


def test_bronze_casts_and_silver_judges(engine: PipelineEngine, staged: Path) -> None:
    bronze = engine.promote_to_bronze(staged, contract())
    assert data(bronze["bronze_path"]).rows() == [
        (1, Decimal("1234.50"), "A", "x"),
        (2, Decimal("5.00"), "B", None),
        (2, Decimal("0.50"), "C", "y"),
        (3, None, "a", "z"),
    ]
    log = bronze["log"]
    assert rejects(engine, log.quarantine_file) == [(5, ["cast:price"])]
    assert log.contract is not None
    assert (log.contract.version, log.contract.sha256) == ("2.1.0", contract().sha256)
    silver = engine.promote_to_silver(bronze["bronze_path"])
    assert data(silver["silver_path"])["order_id"].to_list() == [1]
    log = silver["log"]
    assert rejects(engine, log.quarantine_file) == [
        (4, ["allowed:state"]),
        (2, ["key:order_id"]),
        (3, ["key:order_id"]),
    ]
    assert {rule.rule: (rule.judged, rule.failed) for rule in log.rules} == {
        "not_null:order_id": (4, 0),
        "ge:price": (4, 0),
        "allowed:state": (4, 1),
        "length:Note": (4, 0),
        "key:order_id": (3, 2),
    }
    assert log.account is not None
    assert log.account.quarantined == {"key:order_id": 2, "allowed:state": 1}


def test_cleaning_comes_before_judging(engine: PipelineEngine, tmp_path: Path) -> None:
    rows = [["id", "code"], ["1", " 00010 "], ["1", "00011"], ["2", "TEER_0"]]
    staged = engine.ingest(write_csv(tmp_path / "c.csv", rows), "c")["staged_path"]
    declared = Contract(
        {
            "id": Column("Int64", nullable=False, unique=True),
            "code": Column("String", pattern="^[0-9]{5}$"),
        }
    )
    bronze = engine.promote_to_bronze(staged, declared)["bronze_path"]
    steps: list[Any] = [trim("code"), deduplicate("id")]
    result = engine.promote_to_silver(bronze, steps)
    assert data(result["silver_path"]).rows() == [(1, "00010")]
    account = result["log"].account
    assert account is not None
    assert account.quarantined == {"pattern:code": 1}
    assert account.deduplicated == {"deduplicate:id": 1}


def without_code(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.drop("code")


def as_number(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.with_columns(pl.col("code").str.len_chars().alias("code"))


@pytest.mark.parametrize("step", [without_code, as_number])
def test_a_column_is_judged_before_a_step_takes_it_away(
    engine: PipelineEngine, tmp_path: Path, step: Any
) -> None:
    rows = [["id", "code"], ["1", "00010"], ["2", "x"], ["3", "00011"]]
    staged = engine.ingest(write_csv(tmp_path / "c.csv", rows), "c")["staged_path"]
    declared = Contract(
        {
            "id": Column("Int64", nullable=False, ge=2),
            "code": Column("String", pattern="^[0-9]{5}$", unique=True),
        }
    )
    bronze = engine.promote_to_bronze(staged, declared)["bronze_path"]
    result = engine.promote_to_silver(bronze, [step])
    assert data(result["silver_path"])["id"].to_list() == [3]
    assert [rule.rule for rule in result["log"].rules] == [
        "pattern:code",
        "unique:code",
        "not_null:id",
        "ge:id",
    ]


def test_limits_stop_a_batch_that_is_mostly_bad(engine: PipelineEngine, staged: Path) -> None:
    with pytest.raises(RejectLimitError, match=r"1 of 5 rows \(20\.00%\)") as hit:
        engine.promote_to_bronze(staged, contract(max_rejects=0.1))
    assert pl.read_parquet(str(hit.value.place["quarantine"])).height == 1
    assert not list(engine.config.bronze_path().rglob("*.parquet"))
    (record,) = lineage.all_records(engine.config)
    log = record.transitions[-1]
    assert (log.status, log.row_count_out) == (TransitionStatus.FAILED, 0)
    assert log.quarantine_file is not None
    bronze = engine.promote_to_bronze(staged, contract(max_rejects=1))["bronze_path"]
    with pytest.raises(RejectLimitError, match="3 of 4 rows"):
        engine.promote_to_silver(bronze)


def test_a_cast_failure_may_stop_the_batch(engine: PipelineEngine, staged: Path) -> None:
    with pytest.raises(CastRejectedError, match="on_cast_failure is 'fail'"):
        engine.promote_to_bronze(staged, contract(on_cast_failure="fail"))
    assert not list(engine.config.bronze_path().rglob("*.parquet"))


@pytest.mark.parametrize(("way", "left"), [("warn", 4), ("fail", None)])
def test_what_a_failed_check_does_is_declared(
    engine: PipelineEngine, staged: Path, way: str, left: int | None
) -> None:
    bronze = engine.promote_to_bronze(staged, contract(on_check_failure=way))["bronze_path"]
    if left is None:
        with pytest.raises(ExpectationError, match="fail 'allowed:state'"):
            engine.promote_to_silver(bronze)
        return
    log = engine.promote_to_silver(bronze)["log"]
    assert log.row_count_out == left
    assert [note.text for note in log.notes] == [
        "1 of 4 rows fail allowed:state; they stay",
        "2 of 4 rows fail key:order_id; they stay",
    ]


def test_columns_that_the_contract_does_not_name(engine: PipelineEngine, staged: Path) -> None:
    few = {"id": Column("String", source="Order ID")}
    kept = engine.promote_to_bronze(staged, Contract(few))
    assert data(kept["bronze_path"]).columns == ["id", "Unit Price", "State", "Note"]
    dropped = engine.promote_to_bronze(staged, Contract(few, extra_columns="drop"))
    assert data(dropped["bronze_path"]).columns == ["id"]
    assert "'Unit Price', 'State', 'Note'" in dropped["log"].notes[0].text
    with pytest.raises(SchemaMismatchError, match="'Unit Price', 'State', 'Note'"):
        engine.promote_to_bronze(staged, Contract(few, extra_columns="fail"))


def test_missing_columns_are_all_named_with_the_nearest(
    engine: PipelineEngine, staged: Path
) -> None:
    declared = Contract(
        {
            "id": Column("Int64", source="OrderID"),
            "price": Column("String", source="Unit Prise"),
        }
    )
    with pytest.raises(UnknownColumnError) as hit:
        engine.promote_to_bronze(staged, declared)
    assert "'OrderID', 'Unit Prise'" in hit.value.message
    assert "'OrderID': did you mean 'Order ID'" in hit.value.hint
    assert "'Unit Prise': did you mean 'Unit Price'" in hit.value.hint


def test_a_key_is_unique_in_the_whole_table(engine: PipelineEngine, tmp_path: Path) -> None:
    declared = Contract({"id": Column("Int64", nullable=False, key=True), "v": Column("Int64")})

    def bronze(name: str, ids: list[int]) -> Path:
        rows = [["id", "v"], *([str(n), "0"] for n in ids)]
        staged = engine.ingest(write_csv(tmp_path / name, rows), "t")["staged_path"]
        return engine.promote_to_bronze(staged, declared, load="append")["bronze_path"]

    first = bronze("a.csv", [1, 2])
    assert engine.promote_to_silver(first, load="append")["log"].row_count_out == 2
    second = engine.promote_to_silver(bronze("b.csv", [2, 3]), load="append")["log"]
    assert second.account is not None
    assert second.account.quarantined == {"key:id": 1}
    # A batch that is promoted again does not stand in its own way.
    again = engine.promote_to_silver(first, load="append")["log"]
    assert again.row_count_out == 2
    assert sorted(engine.read("t", "silver").collect()["id"]) == [1, 2, 3]
    # And one that replaces the table has to do with its own rows only.
    assert engine.promote_to_silver(bronze("c.csv", [3, 4]))["log"].row_count_out == 2


def test_a_key_that_came_meanwhile_is_seen(engine: PipelineEngine, tmp_path: Path) -> None:
    declared = Contract({"id": Column("Int64", nullable=False, key=True)})
    paths = []
    for name in ("a.csv", "b.csv"):
        staged = engine.ingest(write_csv(tmp_path / name, [["id"], ["1"]]), "t")["staged_path"]
        paths.append(engine.promote_to_bronze(staged, declared, load="append")["bronze_path"])
    other = PipelineEngine(engine.config)

    def meanwhile(lf: pl.LazyFrame) -> pl.LazyFrame:
        if not list(engine.config.silver_path().rglob("*.parquet")):
            other.promote_to_silver(paths[1], load="append")
        return lf

    def late(frame: pl.DataFrame) -> pl.DataFrame:
        meanwhile(frame.lazy())
        return frame

    with pytest.raises(PublishConflictError):
        engine.promote_to_silver(
            paths[0], [lambda lf: lf.map_batches(late, schema=None)], load="append"
        )
    assert engine.read("t", "silver").collect().height == 1


# ---- what is no contract ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"a": Column("Integer")}, "no type"),
        ({"a": Column("Int64", key=True)}, "may not be null"),
        ({"a": Column("Int64", source="x"), "b": Column("Date", source="x")}, "both come from"),
        ({"a": Column("Int64"), "b": Column("Date", source="a")}, "both come from"),
        ({"_layer": Column("Int64")}, "provenance"),
        ({"_reasons": Column("Int64")}, "provenance"),
        ({"": Column("Int64")}, "no name"),
        ({"a": "Int64"}, "not a Column"),
        ({"a": Column("Int64", format="%Y")}, "takes no format"),
        ({"a": Column("Date", ge="2024-13-01")}, "ge is"),
        ({"a": Column("Int8", ge=1000)}, "ge is 1000"),
        ({"a": Column("Int64", ge=True)}, "ge is True"),
        ({"a": Column("Int64", ge=5, le=4)}, "at least 5 and at most 4"),
        ({"a": Column("String", ge="x")}, "ge: String takes none"),
        ({"a": Column("Int64", pattern="x")}, "takes no pattern"),
        ({"a": Column("String", pattern="(")}, "no regular expression"),
        ({"a": Column("String", length=-1)}, "length is -1"),
        ({"a": Column("String", length=(3, 2))}, "length is"),
        ({"a": Column("String", allowed=[])}, "allowed is"),
        ({"a": Column("Int64", allowed=["x"])}, "allowed is 'x'"),
        ({"a": Column(allowed=["x"])}, "without a type"),
        ({"a": Column("Int64", thousands="1")}, "thousands is '1'"),
        ({"a": Column("Int64", thousands=".")}, "are both"),
        ({"a": Column("Date", decimal=",")}, "takes no decimal"),
        ({"a": Column("Boolean", true_values=["y"])}, "go together"),
        ({"a": Column("Boolean", true_values=["y"], false_values=["y"])}, "two meanings"),
        ({"a": Column("Int64", null_values=5)}, "null_values is 5"),
        ({"a": Column("Int64", nullable=cast("bool", "no"))}, "nullable is 'no'"),
        ([], "no dict"),
    ],
)
def test_a_contract_that_cannot_work_is_refused_when_declared(columns: Any, said: str) -> None:
    with pytest.raises(InvalidSchemaError, match=said):
        Contract(columns)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"extra_columns": "ignore"}, "extra_columns is 'ignore'"),
        ({"on_cast_failure": "drop"}, "on_cast_failure"),
        ({"max_rejects": 1.5}, "max_rejects is 1.5"),
        ({"max_rejects": True}, "max_rejects is True"),
        ({"version": ""}, "version is ''"),
        ({"null_values": 5}, "null_values"),
    ],
)
def test_options_of_a_contract_have_a_meaning(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidSchemaError, match=said):
        Contract({"a": Column("Int64")}, **options)


def test_a_refused_contract_touches_nothing(engine: PipelineEngine) -> None:
    with pytest.raises(InvalidSchemaError):
        engine.run_full_pipeline("nothing.csv", "t", bronze_schema={"columns": {"a": {"typ": 1}}})
    assert not engine.config.data_root.exists()
    assert files_below(engine.config.data_root.parent) == []


# ---- by a judge in plain Python -----------------------------------------------------------

TEXT = st.one_of(st.none(), st.text(alphabet="ab1é ", max_size=4))
NUMBER = st.one_of(st.none(), st.integers(-4, 4))
CHECKS = st.fixed_dictionaries(
    {
        "nullable": st.booleans(),
        "unique": st.booleans(),
        "ge": st.one_of(st.none(), st.integers(-3, 0)),
        "le": st.one_of(st.none(), st.integers(1, 3)),
        "allowed": st.one_of(st.none(), st.lists(st.integers(-2, 3), min_size=1, max_size=4)),
        "t_nullable": st.booleans(),
        "pattern": st.sampled_from([None, "^a", "b$", "[0-9]", "é"]),
        "length": st.sampled_from([None, (1, 2), (None, 3), (2, None)]),
        "t_unique": st.booleans(),
    }
)


def failures(n: int | None, t: str | None, c: dict[str, Any]) -> list[str]:
    import re

    found = []
    if n is None:
        found += [] if c["nullable"] else ["not_null:n"]
    else:
        found += ["ge:n"] if c["ge"] is not None and n < c["ge"] else []
        found += ["le:n"] if c["le"] is not None and n > c["le"] else []
        found += ["allowed:n"] if c["allowed"] is not None and n not in c["allowed"] else []
    if t is None:
        return found + ([] if c["t_nullable"] else ["not_null:t"])
    if c["pattern"] is not None and not re.search(c["pattern"], t):
        found.append("pattern:t")
    if c["length"] is not None:
        least, most = c["length"]
        if not (least or 0) <= len(t) <= (99 if most is None else most):
            found.append("length:t")
    return found


@given(st.lists(st.tuples(NUMBER, TEXT), max_size=20), CHECKS)
def test_checks_judge_as_plain_python_does(
    rows: list[tuple[int | None, str | None]], c: dict[str, Any]
) -> None:
    declared = Contract(
        {
            "n": Column(
                "Int64",
                nullable=c["nullable"],
                unique=c["unique"],
                ge=c["ge"],
                le=c["le"],
                allowed=c["allowed"],
            ),
            "t": Column(
                "String",
                nullable=c["t_nullable"],
                unique=c["t_unique"],
                pattern=c["pattern"],
                length=c["length"],
            ),
        }
    )
    assert Contract.from_dict(declared.as_dict()) == declared
    wanted = {number: failures(*row, c) for number, row in enumerate(rows, start=1)}
    rest = [number for number, reasons in wanted.items() if not reasons]
    for number in rest:
        own = rows[number - 1]
        for at, name in ((0, "n"), (1, "t")):
            same = [m for m in rest if rows[m - 1][at] == own[at]]
            if c["unique" if name == "n" else "t_unique"] and own[at] is not None and same[1:]:
                wanted[number] = [*wanted[number], f"unique:{name}"]
    with tempfile.TemporaryDirectory() as folder:
        engine = PipelineEngine(PipelineConfig(Path(folder) / "root"))
        source = Path(folder) / "t.parquet"
        pl.DataFrame(rows, schema={"n": pl.Int64, "t": pl.String}, orient="row").write_parquet(
            source
        )
        staged = engine.ingest(source, "t")["staged_path"]
        bronze = engine.promote_to_bronze(staged, declared)
        log = engine.promote_to_silver(bronze["bronze_path"])["log"]
        found = dict(rejects(engine, log.quarantine_file)) if log.quarantine_file else {}
        assert found == {number: reasons for number, reasons in wanted.items() if reasons}
        assert log.row_count_out == len(rows) - len(found)
