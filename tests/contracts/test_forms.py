"""Contracts in their forms: proposed from data, written, read back, compared."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from jobforge import Column, Contract, PipelineEngine
from jobforge.contracts.compare import compare_columns, compare_contracts
from jobforge.contracts.contract import RESERVED
from jobforge.contracts.files import read_contract
from jobforge.contracts.json_schema import from_json_schema
from jobforge.contracts.odcs import from_odcs
from jobforge.errors import InvalidSchemaError, SourceError
from support import NOC, SHARED, needs_noc, write_csv

ODCS = SHARED / "odcs" / "odcs-json-schema-latest.json"
needs_odcs = pytest.mark.skipif(not ODCS.is_file(), reason=f"no ODCS schema at {ODCS}")

WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
NUMBERS: dict[str, Any] = {
    "Int64": st.integers(-(2**63), 2**63 - 1),
    "UInt8": st.integers(0, 255),
    "Float64": st.floats(allow_nan=False, allow_infinity=False),
    "Decimal(12, 2)": st.decimals(-(10**9), 10**9, places=2, allow_nan=False),
    "Decimal(38, 10)": st.decimals(-(10**20), 10**20, places=10, allow_nan=False),
    "Date": st.dates(),
    "Datetime('us')": st.datetimes(),
    "Time": st.times(),
}


@st.composite
def columns(draw: st.DrawFn) -> Column:
    kind = draw(st.sampled_from([*NUMBERS, "String", "Boolean", "Enum(['a', 'b'])", None]))
    options: dict[str, Any] = {
        "source": draw(st.one_of(st.none(), WORDS.map(lambda word: f"src {word}"))),
        "unique": draw(st.booleans()),
        "pii": draw(st.sampled_from([None, "name", "email"])),
        "description": draw(st.one_of(st.none(), WORDS)),
    }
    key = draw(st.booleans())
    options |= {"key": True, "nullable": False} if key else {"nullable": draw(st.booleans())}
    if kind in NUMBERS:
        ge, le = sorted(draw(st.tuples(NUMBERS[kind], NUMBERS[kind])))
        options |= {"ge": ge} if draw(st.booleans()) else {}
        options |= {"le": le} if draw(st.booleans()) else {}
        if draw(st.booleans()):
            options["allowed"] = draw(st.lists(NUMBERS[kind], min_size=1, max_size=3))
    if kind == "Date" and draw(st.booleans()):
        options["format"] = "%d/%m/%Y"
    if kind in ("Int64", "Float64", "Decimal(12, 2)") and draw(st.booleans()):
        options |= {"decimal": ",", "thousands": "."}
    if kind == "String":
        options["pattern"] = draw(st.sampled_from([None, "^[0-9]{5}$", "é|\\."]))
        options["length"] = draw(st.sampled_from([None, 5, (1, None), (None, 9), (2, 4)]))
    if kind == "Boolean" and draw(st.booleans()):
        options |= {"true_values": ["yes", "oui"], "false_values": ["no", "non"]}
    if kind is not None:
        options["null_values"] = draw(st.sampled_from([(), ("N/A",), ("", "-")]))
    return Column(kind, **options)


@st.composite
def contracts(draw: st.DrawFn) -> Contract:
    own = WORDS.filter(lambda word: word not in RESERVED)
    names = draw(st.lists(own, min_size=1, max_size=4, unique=True))
    made = {name: draw(columns()) for name in names}
    sources = [column.source or name for name, column in made.items()]
    if len(set(sources)) < len(sources):
        made = {name: Column("String") for name in names}
    return Contract(
        made,
        version=draw(st.sampled_from(["1.0.0", "2", "2026-11"])),
        owner=draw(st.one_of(st.none(), WORDS)),
        description=draw(st.one_of(st.none(), WORDS)),
        extra_columns=draw(st.sampled_from(["keep", "drop", "fail"])),
        null_values=draw(st.sampled_from([(), ("N/A", "")])),
        on_cast_failure=draw(st.sampled_from(["quarantine", "fail"])),
        on_check_failure=draw(st.sampled_from(["quarantine", "warn", "fail"])),
        max_rejects=draw(st.sampled_from([None, 0, 5, 0.0, 0.01, 1.0])),
    )


@given(contracts())
def test_every_form_comes_back_as_it_was(contract: Contract) -> None:
    assert Contract.from_dict(json.loads(json.dumps(contract.as_dict()))) == contract
    document = yaml.safe_load(contract.to_odcs("t", "d"))
    if ODCS.is_file():
        jsonschema.validate(document, _official())
    back = from_odcs(document)
    assert (back.contract, back.left_out) == (contract, ())
    schema = json.loads(json.dumps(contract.to_json_schema("t")))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert from_json_schema(schema).contract == contract
    scope: dict[str, Any] = {}
    exec(contract.to_python(), scope)  # noqa: S102 - it is what the text is for
    assert scope["contract"] == contract
    assert scope["contract"].sha256 == contract.sha256


_OFFICIAL: dict[str, Any] = {}


def _official() -> dict[str, Any]:
    if not _OFFICIAL:
        _OFFICIAL.update(json.loads(ODCS.read_text(encoding="utf-8")))
    return _OFFICIAL


def test_files_of_every_form_are_read(tmp_path: Path) -> None:
    contract = Contract({"id": Column("Int64", source="ID", nullable=False, key=True, ge=1)})
    texts = {
        "odcs.yaml": contract.to_odcs("t"),
        "row.schema.json": json.dumps(contract.to_json_schema("t")),
        "whole.json": json.dumps(contract.as_dict()),
    }
    for name, text in texts.items():
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        assert Contract.read(path) == contract
    short = tmp_path / "short.yaml"
    short.write_text("rename: {ID: id}\ncast: {id: Int64}\n", encoding="utf-8")
    assert Contract.read(short) == Contract({"id": Column("Int64", source="ID")})


FOREIGN = """
apiVersion: v3.0.2
kind: DataContract
id: 53581432-6c55-4ba2-a65f-72344a91553a
version: 1.1.0
status: active
schema:
  - name: orders
    properties:
      - {name: id, logicalType: integer, physicalType: BIGINT, primaryKey: true, required: true}
      - name: day
        logicalType: date
        logicalTypeOptions: {minimum: "2024-01-01", format: yyyy-MM-dd}
      - {name: price, logicalType: number, physicalType: "decimal(12, 2)"}
      - {name: tags, logicalType: array, items: {logicalType: string}}
      - name: state
        logicalType: string
        logicalTypeOptions: {maxLength: 2}
        quality:
          - {type: library, metric: invalidValues, arguments: {validValues: [A, B]}, mustBe: 0}
          - {type: sql, query: "select 1", name: odd}
  - name: other
    properties: [{name: x, logicalType: string}]
"""


def test_a_contract_of_somebody_else_is_read_and_says_what_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(FOREIGN, encoding="utf-8")
    with pytest.raises(InvalidSchemaError, match="describes 2 tables") as hit:
        read_contract(path)
    assert hit.value.place["contract"] == str(path)
    found = read_contract(path, "orders")
    assert found.contract.columns == {
        "id": Column("Int64", nullable=False, key=True).checked("id"),
        "day": Column("Date", ge=date(2024, 1, 1)).checked("day"),
        "price": Column("Decimal(12, 2)").checked("price"),
        "tags": Column().checked("tags"),
        "state": Column("String", length=(None, 2), allowed=["A", "B"]).checked("state"),
    }
    assert found.left_out == (
        "id: type BIGINT, taken for Int64",
        "day: format",
        "tags: type array",
        "state: quality rule odd",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: DataContract\nversion: 1\n", "ODCS without apiVersion"),
        ("apiVersion: v2.2.2\nkind: DataContract\n", "ODCS v2.2.2"),
        ("apiVersion: v3.1.0\nkind: DataContract\n", "describes no table"),
        ("apiVersion: v3.1.0\nschema: 5\n", "no ODCS document"),
        ("cast: {a: Int64}\ncast: {b: Int64}\n", "stands there twice"),
        (
            "{apiVersion: v3.1.0, schema: [{name: t, properties: [{name: a, requird: true}]}]}",
            "a: the standard has no 'requird'",
        ),
        (
            "{apiVersion: v3.1.0, schema: [{name: t, properties: [{name: a, customProperties: "  # noqa: ISC004 - one text
            "[{property: jobforgePI, value: name}]}]}]}",
            "jobforge has no 'jobforgePI'",
        ),
        ("a: [1,\n", "is no YAML"),
        ("[1, 2]", "holds no contract"),
        ("", "holds no contract"),
        ("columns: 5", "no dict by column name"),
        ("columns: {a: {type: Int64, colour: red}}", "has no 'colour'"),
        ('{"$schema": "x", "type": "array"}', "no object with properties"),
        ("!!python/object:os.system {}", "is no YAML"),
    ],
)
def test_a_file_that_is_no_contract_is_refused_with_its_name(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidSchemaError, match=said) as hit:
        Contract.read(path)
    assert "c.yaml" in str(hit.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSchemaError, match=r"there is no contract .*nothing\.yaml"):
        Contract.read(tmp_path / "nothing.yaml")


# ---- proposed -----------------------------------------------------------------------------


def infer(values: list[str | None], **more: Any) -> Column:
    frame = pl.DataFrame({"v": values}, schema={"v": pl.String})
    return Contract.infer(frame, **more).columns["v"]


@pytest.mark.parametrize(
    ("values", "column"),
    [
        (["1", "2", "2"], Column("Int64", nullable=False, ge=1, le=2)),
        (["1", "2"], Column("Int64", nullable=False, key=True, ge=1, le=2)),
        (["1", None, "1"], Column("Int64", ge=1, le=1)),
        (["1", "N/A", "1"], Column("Int64", ge=1, le=1, null_values=["N/A"])),
        (["1.5", "2", "2"], Column("Decimal(12, 1)", nullable=False, ge="1.5", le="2.0")),
        (["1e5", "2", "2"], Column("Float64", nullable=False, ge=2.0, le=100000.0)),
        (["00", "0", "0"], Column("String", nullable=False)),
        (["00010.00", "1.5", "1.5"], Column("String", nullable=False)),
        (["true", "False", "true"], Column("Boolean", nullable=False)),
        (["2024-02-29", "2024-03-01", "2024-03-01"], Column("Date", nullable=False)),
        (["31/12/2024"] * 2, Column("Date", format="%d/%m/%Y", nullable=False)),
        (["12/31/2024"] * 2, Column("Date", format="%m/%d/%Y", nullable=False)),
        (["01/02/2024"] * 2, Column("String", nullable=False)),
        (["02/02/2024"] * 2, Column("Date", format="%d/%m/%Y", nullable=False)),
        (["8,238,800", "5"] * 2, Column("Int64", thousands=",", ge=5, le=8238800, nullable=False)),
        (["1,234"] * 2, Column("String", nullable=False)),
        (
            ["1.234,5", "7"] * 2,
            Column(
                "Decimal(12, 1)", decimal=",", thousands=".", ge="7", le="1234.5", nullable=False
            ),
        ),
        (["2024-01-01 10:00:00"] * 2, Column("Datetime('us')", nullable=False)),
        (["2024-01-01T10:00:00Z"] * 2, Column("Datetime('us', 'UTC')", nullable=False)),
        (["10:00"] * 2, Column("Time", nullable=False)),
        (["A", "B"] * 5, Column("String", allowed=["A", "B"], nullable=False)),
        (["A", "N/A"] * 5, Column("String", allowed=["A"], null_values=["N/A"])),
        ([" 1", "2"] * 2, Column("String", nullable=False)),
        ([None, None], Column("String")),
        ([], Column("String")),
    ],
)
def test_what_is_proposed_is_what_all_values_are(values: list[str | None], column: Column) -> None:
    assert infer(values) == column.checked("v")


def test_ranges_are_proposed_unless_they_are_not_wanted() -> None:
    assert infer(["1", "5", "5"], ranges=False) == Column("Int64", nullable=False).checked("v")


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.integers().map(str),
            st.decimals(allow_nan=False, allow_infinity=False, places=2).map(str),
            st.dates().map(str),
            st.sampled_from(["N/A", "1,234", "1.234,5", "007", "x", " 1", "true", "", "-"]),
        ),
        max_size=12,
    )
)
def test_every_row_passes_the_contract_that_was_proposed_from_it(values: list[str | None]) -> None:
    from jobforge.contracts.casts import exact_cast
    from jobforge.contracts.checks import row_checks, unique_checks

    frame = pl.DataFrame({"v": values}, schema={"v": pl.String})
    contract = Contract.infer(frame)
    column = contract.columns["v"]
    value, failed = exact_cast("v", pl.String(), column, contract.words_of("v"))
    assert not frame.select(failed).to_series().any()
    cast = frame.select(value.alias("v"))
    rules = [
        *row_checks(contract, ["v"], cast.schema),
        *unique_checks(contract, ["v"], None),
    ]
    for rule in rules:
        assert not cast.select(rule.failed).to_series().any(), rule.name


@needs_noc
@pytest.mark.parametrize("path", sorted(NOC.glob("*.csv")), ids=lambda path: path.stem)
def test_published_files_pass_what_is_proposed_from_them(
    engine: PipelineEngine, path: Path
) -> None:
    contract = Contract.infer(path)
    assert all("_" not in name[:1] for name in contract.columns)
    result = engine.run_full_pipeline(path, "t", bronze_schema=contract)
    for log in result["logs"]:
        assert (log.status, log.row_count_in) == ("success", log.row_count_out)
    kinds = {name: str(column.dtype) for name, column in contract.columns.items()}
    code = next(name for name in kinds if "code" in name)
    assert kinds[code] == "String"
    if "2033" in kinds:
        assert kinds["2033"] in ("Int64", "Decimal(precision=12, scale=1)")
        assert contract.columns["2033"].null_values == ("N/A",)


def test_a_source_that_cannot_be_read_is_refused_as_ever(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        Contract.infer(tmp_path / "nothing.csv")


def test_names_are_made_plain_where_that_leaves_them_different(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", [["Unit Price", " Année ", "a b", "a-b", "ok"], ["1"] * 5])
    contract = Contract.infer(path)
    assert {name: column.source for name, column in contract.columns.items()} == {
        "unit_price": "Unit Price",
        "annee": " Année ",
        "a b": None,
        "a-b": None,
        "ok": None,
    }


# ---- compared -----------------------------------------------------------------------------


def test_what_changed_between_batches_is_said_column_by_column() -> None:
    before = {"id": "String", "unit_price": "String", "n": "Int64", "gone": "String"}
    after = {"id": "String", "Unit Price": "String", "n": "String", "other": "Date"}
    assert [str(change) for change in compare_columns(before, after)] == [
        "'unit_price' is missing (was String); perhaps renamed: 'Unit Price'",
        "'gone' is missing (was String)",
        "new 'Unit Price' (String); perhaps renamed: 'unit_price'",
        "new 'other' (Date)",
        "'n': Int64 -> String",
    ]
    assert compare_columns(before, before) == []
    (moved,) = compare_columns({"a": "x", "b": "x"}, {"b": "x", "a": "x"})
    assert str(moved) == "the columns stand in another order"


def test_what_changed_between_contracts_says_what_breaks() -> None:
    before = Contract(
        {"id": Column("Int64"), "price": Column("Float64", ge=0), "order_day": Column("Date")}
    )
    after = Contract(
        {
            "id": Column("Int64", nullable=False, description="number"),
            "price": Column("Decimal(12, 2)"),
            "order_date": Column("Date"),
        },
        version="2.0.0",
        extra_columns="fail",
    )
    changes = compare_contracts(before, after)
    assert [(str(change), change.breaking) for change in changes] == [
        ("the contract: version '1.0.0' -> version '2.0.0'", False),
        ("the contract: extra_columns not declared -> extra_columns 'fail'", True),
        ("'order_day' is missing (was Date); perhaps renamed: 'order_date'", True),
        ("new 'order_date' (Date); perhaps renamed: 'order_day'", False),
        ("'id': nullable not declared -> nullable False", True),
        ("'id': description not declared -> description 'number'", False),
        ("'price': type 'Float64' -> type 'Decimal(12, 2)'", True),
        ("'price': ge 0.0 -> ge not declared", True),
    ]


@given(contracts())
def test_a_contract_does_not_differ_from_itself(contract: Contract) -> None:
    assert compare_contracts(contract, contract) == []


# ---- drift between batches ----------------------------------------------------------------


def test_each_change_of_columns_or_contract_makes_a_schema_version(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    def run(header: list[str], contract: Contract | None = None) -> list[str]:
        path = write_csv(tmp_path / "t.csv", [header, ["1"] * len(header)])
        result = engine.run_full_pipeline(path, "t", bronze_schema=contract)
        return [note.text for note in result["logs"][1].notes if note.topic == "schema"]

    assert run(["id", "price"]) == []
    assert run(["id", "price"]) == []
    (note,) = run(["id", "Price", "day"])
    assert "'price' is missing (was String); perhaps renamed: 'Price'" in note
    assert "new 'day' (String)" in note
    run(["id", "Price", "day"], Contract({"id": Column("Int64")}))
    versions = engine.schema_history("t")
    assert [(v.number, list(v.columns), v.contract is not None) for v in versions] == [
        (1, ["id", "price"], False),
        (2, ["id", "Price", "day"], False),
        (3, ["id", "Price", "day"], True),
    ]
    assert [str(change) for change in versions[2].changes] == ["new 'id' (Int64)"]
    assert versions[0].recorded_at < versions[1].recorded_at


def test_bounds_of_every_type_mean_what_they_say() -> None:
    column = Column("Datetime('us', 'UTC')", ge="2024-01-01T00:00:00+00:00").checked("a")
    assert isinstance(column.ge, datetime)
    assert Column("Decimal(12, 2)", ge=1).checked("a").ge == Decimal(1)
