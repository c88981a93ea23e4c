"""Traces that a property does not reach: other formats, sources that moved, wrong questions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xlsxwriter

from jobforge import (
    Column,
    Contract,
    PipelineConfig,
    PipelineEngine,
    SourceRecord,
    expect,
    normalise_whitespace,
    null_words,
    trim,
)
from jobforge.errors import (
    InvalidOptionError,
    JobforgeError,
    RecordNotFoundError,
    TableNotFoundError,
    UnknownColumnError,
)
from jobforge.pipeline import lineage
from jobforge.pipeline.audit.traced import RecordTrace, RowTrace
from support import NOC, needs_noc

SCHEMA = {"rename": {"Order ID": "id"}, "cast": {"n": "Int64"}}


def shout(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(pl.col("region").str.to_uppercase(), double=pl.col("n") * 2)


def totals(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.group_by("region").agg(pl.col("n").sum())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "t.csv"
    path.parent.mkdir()
    path.write_text('Order ID,region,n\n1," north\n",5\n2,south,x\n3,south,7\n4,south,-8\n')
    return path


@pytest.fixture
def engine(tmp_path: Path) -> PipelineEngine:
    return PipelineEngine(PipelineConfig(tmp_path / "data"))


def run(engine: PipelineEngine, source: Path, **more: Any) -> str:
    wanted: dict[str, Any] = {
        "bronze_schema": SCHEMA,
        "silver_transforms": [trim("region"), expect("positive", pl.col("n") > 0)],
        "gold_transforms": [shout],
    }
    return engine.run_full_pipeline(source, "t", **(wanted | more))["batch_id"]


def only(
    engine: PipelineEngine, where: str = "id = '1'", **more: Any
) -> tuple[RowTrace, RecordTrace]:
    (row,) = engine.trace("t", where, **more).rows
    (record,) = row.traces
    return row, record


def test_every_layer_says_what_changed_and_by_what(engine: PipelineEngine, source: Path) -> None:
    batch = run(engine, source)
    row, record = only(engine)
    assert row.reach == "record"
    gold, (silver, bronze, staged) = row.row, record.layers
    assert [(c.column, c.before, c.after, c.steps) for c in gold.changes] == [
        ("region", {"region": "north"}, "NORTH", ("shout",)),
        ("double", {"n": 5}, 10, ("shout",)),
    ]
    assert [(c.column, c.before, c.after, c.steps) for c in silver.changes] == [
        ("region", {"region": " north\n"}, "north", ("trim",))
    ]
    assert [(c.column, c.before, c.after, c.steps) for c in bronze.changes] == [
        ("n", {"n": "5"}, 5, ("cast",))
    ]
    assert staged.changes == ()
    assert silver.rules == ("positive",)
    assert bronze.rules == ("cast:n",)
    assert bronze.contract is not None
    assert {layer.batch_id for layer in (gold, silver, bronze, staged)} == {batch}
    assert gold.transforms[0].code_sha256
    place = record.source
    assert (place.first_line, place.last_line, place.offset) == (2, 3, 18)
    assert place.raw == '1," north\n",5'
    assert place.state == "original"
    assert place.verified == "sha256"


def no_word(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(pl.col("region").str.replace("north", "N"))


def test_of_several_steps_each_says_what_it_did(engine: PipelineEngine, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('Order ID,region,n\n1," a  b ",5\n2,- ,5\n3,"far  north",5\n4,plain,5\n')
    steps = [trim("region"), null_words(["-"], "region"), normalise_whitespace(), no_word]
    run(engine, path, silver_transforms=steps, gold_transforms=[])
    found = {
        row.traces[0].name.source_row: [
            [(one.step, one.after) for one in change.each]
            for change in row.traces[0].layers[0].changes
        ]
        for row in engine.trace("t", "n = 5", layer="gold").rows
    }
    assert found == {
        1: [[("trim", "a  b"), ("normalise_whitespace", "a b")]],
        2: [[("trim", "-"), ("null_words", None)]],
        3: [[("normalise_whitespace", "far north"), ("no_word", "far N")]],
        4: [],
    }
    run(engine, path, silver_transforms=[no_word, trim("region")], gold_transforms=[])
    (row,) = engine.trace("t", "id = '1'").rows
    (change,) = row.traces[0].layers[0].changes
    assert change.steps == ("no_word", "trim")  # a function is not run to tell
    assert change.each == ()


def net_from_gross(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(net=pl.col("gross"))


def swapped(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(net=pl.col("gross"), gross=pl.col("net"))


def copied(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(total=pl.col("gross"))


def renamed(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.rename({"net": "total"})


@pytest.mark.parametrize(
    ("step", "row", "told"),
    [
        (net_from_gross, "9,100", [("net", {"net": "9", "gross": "100"}, "100")]),
        (net_from_gross, "9,9", []),
        (net_from_gross, ",100", [("net", {"net": None, "gross": "100"}, "100")]),
        (
            swapped,
            "9,100",
            [
                ("net", {"net": "9", "gross": "100"}, "100"),
                ("gross", {"gross": "100", "net": "9"}, "9"),
            ],
        ),
        (copied, "9,100", []),
        (renamed, "9,100", []),
    ],
)
def test_a_cell_that_takes_the_place_of_another_is_a_change(
    engine: PipelineEngine, tmp_path: Path, step: Any, row: str, told: list[Any]
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"id,net,gross\n1,{row}\n")
    run(engine, path, bronze_schema=None, silver_transforms=[step], gold_transforms=[])
    _, record = only(engine)
    silver = record.layers[0]
    assert [(c.column, c.before, c.after) for c in silver.changes] == told
    assert {c.steps for c in silver.changes} <= {(step.__name__,)}


def test_an_aggregate_says_its_records(engine: PipelineEngine, source: Path) -> None:
    run(engine, source, gold_transforms=[totals], grain=["region"], silver_transforms=[])
    (row,) = engine.trace("t", key={"region": "south"}, records=1).rows
    assert (row.reach, row.records, row.files) == ("group", 2, ("t.csv",))
    assert row.key == {"region": "south"}
    assert [trace.name.source_row for trace in row.traces] == [3]
    assert len(engine.trace("t", key={"region": "south"}, records=None).rows[0].traces) == 2


def test_an_aggregate_without_a_grain_is_followed_to_its_batch(
    engine: PipelineEngine, source: Path
) -> None:
    run(engine, source, gold_transforms=[totals])
    row = engine.trace("t", row=1).rows[0]
    assert (row.reach, row.traces, row.records) == ("batch", (), None)
    assert row.files == ("t.csv",)
    assert "no grain was declared" in row.why
    (found,) = engine.impact("t.csv", 2).records
    assert found.layers[-1].fate == "unknown"


def test_a_table_without_row_numbers_says_so(tmp_path: Path, source: Path) -> None:
    engine = PipelineEngine(PipelineConfig(tmp_path / "data", row_numbers=False))
    run(engine, source)
    row = engine.trace("t", "id = '1'").rows[0]
    assert row.reach == "batch"
    assert row.why == "the batch was ingested without row numbers"


@pytest.mark.parametrize("kept", [False, True])
def test_a_source_that_moved_is_answered_from_what_is_kept(
    tmp_path: Path, source: Path, *, kept: bool
) -> None:
    engine = PipelineEngine(PipelineConfig(tmp_path / "data", keep_source=kept))
    run(engine, source)
    source.unlink()
    _, record = only(engine)
    place = record.source
    if kept:
        assert (place.state, place.raw) == ("archived", '1," north\n",5')
        return
    assert (place.state, place.raw, place.first_line) == ("missing", None, None)
    assert place.rebuilt == {"Order ID": "1", "region": " north\n", "n": "5"}
    assert "there is no file" in place.why
    (found,) = engine.impact("t.csv", record=2).records
    assert found.layers[-1].by == ("cast:n",)
    with pytest.raises(RecordNotFoundError, match="there is no file"):
        engine.impact("t.csv", 2)


def test_a_source_with_other_bytes_is_not_looked_into(engine: PipelineEngine, source: Path) -> None:
    run(engine, source)
    source.write_text(source.read_text().replace("north", "NORTH"))
    _, record = only(engine)
    assert (record.source.state, record.source.raw) == ("changed", None)
    assert record.source.rebuilt is not None
    assert "not those that were read" in record.source.why


def test_a_sheet_and_its_cells_are_told(engine: PipelineEngine, tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("Orders")
        for at, cells in enumerate([["Order ID", "region", "n"], ["1", "a", "5"], ["2", "b", "6"]]):
            sheet.write_row(at, 0, cells)
    run(engine, path)
    _, record = only(engine, "id = '2'")
    place = record.source
    assert (place.sheet, place.row, place.cells) == ("Orders", 3, "A3:C3")
    (found,) = engine.impact("t.xlsx", 3).records
    assert found.name.source_row == 2


def test_a_byte_offset_is_told_of_ndjson(engine: PipelineEngine, tmp_path: Path) -> None:
    path = tmp_path / "t.ndjson"
    lines = [json.dumps({"Order ID": str(n), "region": "é", "n": str(n)}) for n in (1, 2, 3)]
    path.write_text("\n".join(lines) + "\n")
    run(engine, path)
    _, record = only(engine, "id = '3'")
    assert record.source.offset == len("\n".join(lines[:2]).encode()) + 1
    assert record.source.first_line == 3
    assert record.source.raw == lines[2]


def test_a_later_batch_takes_the_place_of_a_record(engine: PipelineEngine, source: Path) -> None:
    first = run(engine, source)
    second = run(engine, source)
    old, new = engine.impact("t.csv", 2).records
    assert (old.name.batch_id, new.name.batch_id) == (first, second)
    for fate in old.layers[1:]:
        assert fate.current is False
        assert fate.replaced_by == f"version 2, replace by batch {second}"
    assert all(fate.current for fate in new.layers)
    engine.rollback("t", "gold", 1)
    old, new = engine.impact("t.csv", 2).records
    assert old.layers[-1].current
    assert not new.layers[-1].current
    assert "rollback" in str(new.layers[-1].replaced_by)
    row, _ = only(engine)
    assert row.row.batch_id == first


def test_a_trace_goes_through_compaction_and_clean(engine: PipelineEngine, source: Path) -> None:
    run(engine, source)
    run(engine, source, load="append")
    engine.compact("t")
    engine.clean(keep_versions=1)
    found = engine.trace("t", "id = '1'")
    assert found.matched == 2
    for row in found.rows:
        assert row.traces[0].source.raw == '1," north\n",5'
    assert [r.layers[-1].current for r in engine.impact("t.csv", 2).records] == [True, True]


def test_an_erased_record_is_found_nowhere(engine: PipelineEngine, source: Path) -> None:
    batch = run(engine, source)
    engine.erase("t", [SourceRecord(batch, 1)], why="asked for")
    with pytest.raises(RecordNotFoundError):
        engine.trace("t", "id = '1'")
    row, record = only(engine, "id = '3'")
    assert record.layers[0].values is not None
    assert row.row.batch_id == batch


def test_a_corrected_reject_is_followed_to_the_batch_that_brought_it(
    engine: PipelineEngine, source: Path, tmp_path: Path
) -> None:
    batch = run(engine, source, gold_transforms=[])
    fixed = tmp_path / "fixed.csv"
    engine.export_rejects(batch, fixed)
    fixed.write_text(fixed.read_text().replace(",x,", ",6,").replace(",-8,", ",8,"))
    steps = [trim("region"), expect("positive", pl.col("n") > 0)]
    cure = engine.replay_rejects(fixed, batch, silver_transforms=steps)["batch_id"]
    (found,) = engine.impact("t.csv", record=2, batch_id=batch).records
    assert found.cured_by == (cure,)
    assert found.layers[-1].state == "cured"


def test_personal_values_are_shown_on_request_alone(engine: PipelineEngine, source: Path) -> None:
    contract = Contract(
        columns={
            "id": Column(source="Order ID"),
            "region": Column(pii="name"),
            "n": Column(pl.Int64()),
        }
    )
    run(engine, source, bronze_schema=contract)
    told = engine.trace("t", "id = '1'").model_dump_json()
    assert "north" not in told.lower()
    assert "[masked]" in told
    assert "north" not in engine.impact("t.csv", 2).model_dump_json().lower()
    assert "NORTH" in engine.trace("t", "id = '1'", personal=True).model_dump_json()


@pytest.mark.parametrize(
    ("question", "error", "said"),
    [
        ({"where": "id = '99'"}, RecordNotFoundError, "has no row with id = '99'"),
        ({"where": "id ="}, InvalidOptionError, "is no SQL condition"),
        ({"where": "1 in (select 1)"}, InvalidOptionError, "is no SQL condition"),
        ({"where": "idd = 1"}, UnknownColumnError, "'idd'"),
        ({"where": "n = 'north'"}, InvalidOptionError, "does not fit the columns"),
        ({"where": "n + 1"}, InvalidOptionError, "it gives Int64"),
        ({"where": " "}, InvalidOptionError, "where is"),
        ({"key": {"gone": 1}}, UnknownColumnError, "'gone'"),
        ({"key": {"n": "north"}}, InvalidOptionError, "is no value of 'n'"),
        ({"key": {}}, InvalidOptionError, "key is"),
        ({"row": 0}, InvalidOptionError, "row is 0"),
        ({"row": 99}, RecordNotFoundError, "has no row 99"),
        ({}, InvalidOptionError, "say which rows"),
        ({"where": "n = 5", "row": 1}, InvalidOptionError, "say which rows"),
        ({"row": 1, "rows": 0}, InvalidOptionError, "rows is 0"),
    ],
)
def test_wrong_questions_are_refused(
    engine: PipelineEngine,
    source: Path,
    question: dict[str, Any],
    error: type[JobforgeError],
    said: str,
) -> None:
    run(engine, source)
    with pytest.raises(error, match=said) as caught:
        engine.trace("t", **question)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("question", "error", "said"),
    [
        ({"file": "other.csv", "line": 1}, RecordNotFoundError, "no batch read a file"),
        ({"file": "t.csv", "line": 1}, RecordNotFoundError, "has no record on line 1"),
        ({"file": "t.csv", "line": 99}, RecordNotFoundError, "has no record on line 99"),
        ({"file": "t.csv", "record": 99}, RecordNotFoundError, "it has 4 records"),
        ({"file": "t.csv", "line": 0}, InvalidOptionError, "line is 0"),
        ({"file": "t.csv"}, InvalidOptionError, "say which record"),
        ({"file": "t.csv", "line": 1, "record": 1}, InvalidOptionError, "say which record"),
        ({"file": "t.csv", "line": 2, "batch_id": "0" * 36}, JobforgeError, "batch"),
    ],
)
def test_wrong_places_are_refused(
    engine: PipelineEngine,
    source: Path,
    question: dict[str, Any],
    error: type[JobforgeError],
    said: str,
) -> None:
    run(engine, source)
    with pytest.raises(error, match=said) as caught:
        engine.impact(**question)
    assert caught.value.hint


def test_a_missing_table_and_a_missing_record_are_named(
    engine: PipelineEngine, source: Path
) -> None:
    batch = run(engine, source)
    with pytest.raises(TableNotFoundError):
        engine.trace("u", row=1)
    (engine.config.catalog_lineage_path() / f"{batch}.json").unlink()
    with pytest.raises(TableNotFoundError, match=batch):
        engine.trace("t", row=1)
    assert any(batch in finding.subject for finding in engine.verify().findings)


def test_a_damaged_file_is_named(engine: PipelineEngine, source: Path) -> None:
    run(engine, source)
    path = next(engine.config.silver_path().rglob("*.parquet"))
    path.write_bytes(b"PAR1" + path.read_bytes()[4:-8] + b"00000000")
    with pytest.raises(JobforgeError, match=path.name):
        engine.trace("t", row=1)
    shutil.copy(source, path)
    with pytest.raises(JobforgeError, match=path.name):
        engine.impact("t.csv", 2)


@needs_noc
def test_real_files_are_traced_to_their_lines(engine: PipelineEngine) -> None:
    path = max(NOC.glob("*.csv"), key=lambda file: file.stat().st_size)
    staged = engine.ingest(path, "noc")
    engine.promote_to_bronze(staged["staged_path"])
    rows = staged["log"].row_count_out or 0
    options = lineage.known(engine.config, staged["batch_id"]).sources[0].options or {}
    text = path.read_bytes().decode(str(options["encoding"]))
    for number in (1, rows // 2, rows):
        (found,) = engine.trace("noc", row=number).rows
        (record,) = found.traces
        assert record.name.source_row == number
        assert record.source.raw is not None
        assert record.source.raw in text
        (back,) = engine.impact(path.name, record.source.first_line).records
        assert back.name.source_row == number
