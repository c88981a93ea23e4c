"""Corners of quarantine, replay and accounts that were once wrong, each as a test."""

from __future__ import annotations

import csv
import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobforge import Column, Contract, PipelineConfig, PipelineEngine, SourceRecord, expect
from jobforge.contracts.files import read_contract
from jobforge.errors import (
    CastRejectedError,
    ExpectationError,
    InvalidOptionError,
    InvalidSchemaError,
    JobforgeError,
    RecordNotFoundError,
    ReservedColumnError,
    SchemaMismatchError,
    SourceNotFoundError,
    TableNotFoundError,
    TransformError,
    UnknownColumnError,
)
from jobforge.pipeline import lineage
from support import files_below, write_csv

ROWS = [["id", "amount"], ["1", "10"], ["2", "x"], ["3", "30"], ["4", "y"]]
NUMBERS = Contract({"id": Column("Int64"), "amount": Column("Int64")})


class Bench:
    """A batch with two rejects, and the means to correct them."""

    def __init__(self, folder: Path, contract: Contract = NUMBERS, **more: Any) -> None:
        self.folder = folder
        self.engine = more.pop("engine", None) or PipelineEngine(PipelineConfig(folder / "root"))
        self.source = write_csv(folder / "s.csv", ROWS)
        run = self.engine.run_full_pipeline(self.source, "t", bronze_schema=contract, **more)
        self.batch = run["batch_id"]
        self.run = run
        self._files = 0

    def corrected(self, batch: str | None = None, **amounts: str) -> Path:
        """The export with other amounts, by record number (`r2="20"`); only those rows."""
        self._files += 1
        raw = self.folder / f"export{self._files}.csv"
        self.engine.export_rejects(batch or self.batch, raw, personal=True)
        with raw.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        kept = [{**r, "amount": amounts[f"r{r['_rejected_row']}"]} for r in rows
                if f"r{r['_rejected_row']}" in amounts]  # fmt: skip
        return self.write([list(kept[0]), *(list(row.values()) for row in kept)])

    def write(self, rows: list[list[str]]) -> Path:
        self._files += 1
        return write_csv(self.folder / f"corrected{self._files}.csv", rows)

    def values(self, layer: str = "silver") -> list[tuple[Any, ...]]:
        return sorted(self.engine.read("t", layer).select("id", "amount").collect().rows())

    def states(self, batch: str | None = None) -> dict[str, dict[str, int]]:
        account = self.engine.account(batch or self.batch)
        return {
            str(layer.layer): {str(state): n for state, n in layer.rejects.items()}
            for layer in account.layers
            if layer.rejects
        }


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def fails(_: pl.LazyFrame) -> pl.LazyFrame:
    raise RuntimeError("no")


def replay_elsewhere(root: Path, path: Path, batch: str) -> str:
    try:
        PipelineEngine(PipelineConfig(root)).replay_rejects(path, batch)
    except JobforgeError as error:
        return type(error).__name__
    return "done"


def test_two_who_replay_at_once_bring_a_record_in_once(bench: Bench) -> None:
    path = bench.corrected(r2="20", r4="40")
    root = bench.engine.config.data_root
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        outcomes = pool.starmap(replay_elsewhere, [(root, path, bench.batch)] * 3)
    assert outcomes.count("done") == 1
    assert set(outcomes) <= {"done", "PublishConflictError", "RecordNotFoundError"}
    assert bench.values() == [(1, 10), (2, 20), (3, 30), (4, 40)]
    assert not [p for p in bench.engine.config.running_path().iterdir() if "replay" in p.name]


def test_an_erased_correction_does_not_open_the_others(bench: Bench) -> None:
    made = bench.engine.replay_rejects(bench.corrected(r2="20", r4="40"), bench.batch)
    bench.engine.erase("t", [SourceRecord(made["batch_id"], 1)], "asked for")
    assert bench.states() == {"bronze": {"cured": 1, "open": 1}}
    with pytest.raises(RecordNotFoundError):
        bench.engine.replay_rejects(
            bench.write([["id", "amount", "_rejected_batch", "_rejected_file", "_rejected_row"],
                         ["4", "40", bench.batch, "s.csv", "4"]]),
            bench.batch,
        )  # fmt: skip
    assert bench.values() == [(1, 10), (3, 30), (4, 40)]


def test_a_later_attempt_that_failed_opens_nothing(bench: Bench) -> None:
    path = bench.corrected(r2="20", r4="40")
    made = bench.engine.replay_rejects(path, bench.batch)
    with pytest.raises(TransformError):
        bench.engine.promote_to_silver(
            made["paths"]["bronze"],  # type: ignore[index] # StrEnum
            [fails],
            load="append",
        )
    assert bench.states() == {"bronze": {"cured": 2}}
    with pytest.raises(RecordNotFoundError):
        bench.engine.replay_rejects(path, bench.batch)


def test_what_a_rollback_took_away_can_be_brought_in_again(bench: Bench) -> None:
    path = bench.corrected(r2="20", r4="40")
    bench.engine.replay_rejects(path, bench.batch)
    for layer in ("bronze", "silver", "gold"):
        bench.engine.rollback("t", layer, 1)
    assert bench.values() == [(1, 10), (3, 30)]
    bench.engine.replay_rejects(path, bench.batch)
    assert bench.values() == [(1, 10), (2, 20), (3, 30), (4, 40)]
    with pytest.raises(RecordNotFoundError):
        bench.engine.replay_rejects(path, bench.batch)


def test_an_erased_reject_leaves_the_others_in_reach(bench: Bench) -> None:
    bench.engine.erase("t", [SourceRecord(bench.batch, 2)], "asked for")
    assert bench.states() == {"bronze": {"open": 1}}
    assert [entry.open for entry in bench.engine.rejects()] == [1]
    assert bench.engine.reject_rows(bench.batch)["record"].to_list() == [4]
    bench.engine.replay_rejects(bench.corrected(r4="40"), bench.batch)
    assert bench.values() == [(1, 10), (3, 30), (4, 40)]


def test_an_erased_row_of_the_table_leaves_rejects_in_reach(bench: Bench) -> None:
    bench.engine.erase("t", [SourceRecord(bench.batch, 1)], "asked for")
    bench.engine.replay_rejects(bench.corrected(r2="20"), bench.batch)
    assert bench.values() == [(2, 20), (3, 30)]


def test_a_reject_file_that_is_gone_is_a_line_of_the_list(bench: Bench, tmp_path: Path) -> None:
    bench.engine.run_full_pipeline(bench.source, "other", bronze_schema=NUMBERS)
    entry = bench.engine.rejects("t")[0]
    (bench.engine.config.data_root / entry.file).unlink()
    gone, fine = bench.engine.rejects()
    assert "is not there" in str(gone.damaged)
    assert fine.open == 2
    with pytest.raises(JobforgeError, match="is not there"):
        bench.engine.export_rejects(bench.batch, tmp_path / "x.csv")


def test_rejects_are_those_of_the_rows_that_stand(bench: Bench) -> None:
    loose = bench.engine.promote_to_bronze(bench.run["staged_path"], {"cast": {"id": "Int64"}})
    assert loose["log"].row_count_out == 4
    assert bench.states() == {"bronze": {"open": 2}}
    assert [line.rows for line in bench.engine.account(bench.batch).layers[1].lines] == [2]
    again = bench.engine.promote_to_bronze(bench.run["staged_path"], NUMBERS)
    bench.engine.promote_to_silver(again["bronze_path"])
    assert bench.states() == {"bronze": {"open": 2}}


def test_a_failed_attempt_does_not_hide_what_stands(bench: Bench) -> None:
    with pytest.raises(TransformError):
        bench.engine.promote_to_silver(bench.run["bronze_path"], [fails])
    account = bench.engine.account(bench.batch)
    assert [(layer.rows_in, layer.rows_out) for layer in account.layers] == [
        (4, 4),
        (4, 2),
        (2, 2),
        (2, 2),
    ]


HELPERS = ["_rejected_batch", "_rejected_file", "_rejected_row"]


def test_a_replay_that_would_be_stopped_writes_nothing(bench: Bench, tmp_path: Path) -> None:
    root = bench.engine.config.data_root
    before = files_below(root)
    key = [bench.batch, "s.csv", "2"]
    with pytest.raises(UnknownColumnError, match="no column 'id'"):
        bench.engine.replay_rejects(bench.write([["amount", *HELPERS], ["20", *key]]), bench.batch)
    with pytest.raises(UnknownColumnError, match="a column 'more'"):
        bench.engine.replay_rejects(
            bench.write([["id", "amount", "more", *HELPERS], ["2", "20", "x", *key]]), bench.batch
        )
    with pytest.raises(CastRejectedError) as hit:
        bench.engine.replay_rejects(bench.corrected(r2="z"), bench.batch)
    assert "quarantine" not in str(hit.value)
    strict = Contract({"id": Column("Int64"), "amount": Column("Int64", le=100)},
                      on_check_failure="fail")  # fmt: skip
    with pytest.raises(ExpectationError):
        bench.engine.replay_rejects(bench.corrected(r2="400"), bench.batch, strict)
    with pytest.raises(SchemaMismatchError):
        bench.engine.replay_rejects(
            bench.corrected(r2="20"), bench.batch, {"cast": {"id": "Int64", "amount": "Float64"}}
        )
    with pytest.raises(SourceNotFoundError):
        bench.engine.replay_rejects(tmp_path / "nothing.csv", bench.batch)
    assert files_below(root) == before
    assert bench.engine.account(bench.batch).cured_by == ()


def test_columns_may_come_in_another_order(bench: Bench) -> None:
    path = bench.write([["amount", *HELPERS, "id"], ["20", bench.batch, "s.csv", "2", "2"]])
    bench.engine.replay_rejects(path, bench.batch)
    assert bench.values() == [(1, 10), (2, 20), (3, 30)]


def test_a_waiver_does_not_grow(bench: Bench) -> None:
    made = bench.engine.replay_rejects(bench.corrected(r2="20"), bench.batch)
    (waiver,) = bench.engine.waive_rejects(bench.batch, by="J. Roy", why="a test row")
    assert (waiver.rows, len(waiver.besides)) == (1, 1)
    bench.engine.erase("t", [SourceRecord(made["batch_id"], 1)], "asked for")
    assert bench.states() == {"bronze": {"open": 1, "waived": 1}}


def test_rejects_of_corrections_are_corrected_in_turn(bench: Bench) -> None:
    made = bench.engine.replay_rejects(bench.corrected(r2="20", r4="z"), bench.batch)
    second = made["batch_id"]
    assert bench.states(second) == {"bronze": {"open": 1}}
    bench.engine.replay_rejects(bench.corrected(second, r2="40"), second)
    assert bench.values() == [(1, 10), (2, 20), (3, 30), (4, 40)]
    assert bench.states() == {"bronze": {"cured": 2}}
    assert bench.states(second) == {"bronze": {"cured": 1}}


def test_a_record_is_cured_for_whoever_waits_for_it(bench: Bench) -> None:
    first = bench.corrected(r2="20", r4="z")
    second = bench.engine.replay_rejects(first, bench.batch)["batch_id"]
    bench.engine.replay_rejects(bench.corrected(r4="40"), bench.batch)
    assert bench.states() == {"bronze": {"cured": 2}}
    assert bench.states(second) == {"bronze": {"cured": 1}}


@pytest.mark.parametrize(
    "change",
    [
        {"_rejected_row": 2.5},
        {"_rejected_row": [2]},
        {"_rejected_row": {"a": 2}},
        {"_rejected_row": None},
        {"_rejected_batch": 5},
        {"_rejected_file": 5},
        {"_rejected_file": None},
    ],
)
def test_what_names_no_record_is_refused(bench: Bench, change: dict[str, Any]) -> None:
    row = {"id": "2", "amount": "20", "_rejected_batch": bench.batch,
           "_rejected_file": "s.csv", "_rejected_row": 2}  # fmt: skip
    path = bench.folder / "c.json"
    path.write_text(json.dumps([{**row, **change}]), encoding="utf-8")
    before = files_below(bench.engine.config.data_root)
    with pytest.raises((RecordNotFoundError, InvalidOptionError)):
        bench.engine.replay_rejects(path, bench.batch)
    assert files_below(bench.engine.config.data_root) == before
    path.write_text(json.dumps([row]), encoding="utf-8")
    bench.engine.replay_rejects(path, bench.batch)


def test_an_export_is_no_source(bench: Bench) -> None:
    path = bench.corrected(r2="20")
    with pytest.raises(ReservedColumnError, match="quarantine replay"):
        bench.engine.ingest(path, "t")


def test_names_that_cross_over_do_not_unmask(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "p.csv", [["name", "nm"], ["111", "A"], ["SECRET", "B"]])
    crossed = Contract(
        {"name": Column(source="nm"), "ssn": Column("Int64", source="name", pii="id")}
    )
    engine = PipelineEngine(PipelineConfig(tmp_path / "root"))
    batch = engine.run_full_pipeline(path, "t", bronze_schema=crossed)["batch_id"]
    assert engine.reject_rows(batch)["value"].to_list() == ["[masked]"]
    engine.export_rejects(batch, tmp_path / "x.csv")
    assert "SECRET" not in (tmp_path / "x.csv").read_text(encoding="utf-8")


def test_a_replay_unmasks_nothing(tmp_path: Path) -> None:
    source = tmp_path / "p.parquet"
    pl.DataFrame({"id": ["x"], "ssn": ["1"], "phone": [5]}).write_parquet(source)
    contract = Contract({"id": Column("Int64"), "ssn": Column("String", pii="id")})
    engine = PipelineEngine(PipelineConfig(tmp_path / "root"))
    rows = pl.DataFrame({"id": ["1", "x"], "ssn": ["1", "2"], "phone": [5, 6]})
    rows.write_parquet(source)
    batch = engine.run_full_pipeline(source, "t", bronze_schema=contract)["batch_id"]
    path = write_csv(
        tmp_path / "c.csv",
        [["id", "ssn", "phone", *HELPERS], ["2", "2", "SECRET", batch, "p.parquet", "2"]],
    )
    with pytest.raises(JobforgeError) as hit:
        engine.replay_rejects(path, batch)
    assert "SECRET" not in str(hit.value)
    path = write_csv(
        tmp_path / "c.csv",
        [["id", "ssn", "phone", *HELPERS], ["2", "2", "7", batch, "p.parquet", "2"]],
    )
    engine.replay_rejects(path, batch)
    assert engine.read("t").collect().schema["phone"] == pl.Int64
    # That they came as text is no change of the source.
    assert len(engine.schema_history("t")) == 1


def test_what_a_function_copied_is_masked_in_the_layers_after_it_too(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "p.csv", [["name", "note"], ["Ann Roy", "x"], ["B", "y"]])
    engine = PipelineEngine(PipelineConfig(tmp_path / "root"))
    contract = Contract({"name": Column("String", pii="name"), "note": Column("String")})

    def copies(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(note="name")

    short = expect("short", pl.col("note").str.len_chars() < 3)

    def shown(source: Path, *steps: Any) -> list[str]:
        run = engine.run_full_pipeline(
            source, "t", bronze_schema=contract, silver_transforms=steps, gold_transforms=[short]
        )
        return engine.reject_rows(run["batch_id"], "gold")["value"].to_list()

    assert shown(path, copies) == ["[masked]"]
    long = write_csv(tmp_path / "q.csv", [["name", "note"], ["A", "long"], ["B", "y"]])
    assert shown(long) == ["long"]


def test_a_withheld_text_is_in_no_traceback(tmp_path: Path) -> None:
    import traceback

    path = write_csv(tmp_path / "p.csv", [["name"], ["Ann Roy"]])
    engine = PipelineEngine(PipelineConfig(tmp_path / "root"))
    contract = Contract({"name": Column("String", pii="name")})

    def late(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(pl.col("name").cast(pl.Int64))

    def early(lf: pl.LazyFrame) -> pl.LazyFrame:
        raise ValueError(lf.collect()["name"][0])

    for step in (late, early):
        with pytest.raises(TransformError) as hit:
            engine.run_full_pipeline(path, "t", bronze_schema=contract, silver_transforms=[step])
        assert "Ann Roy" not in "".join(traceback.format_exception(hit.value))


def test_rows_do_not_go_into_an_aggregated_gold(tmp_path: Path) -> None:
    def total(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.select(pl.sum("amount"))

    bench = Bench(tmp_path, gold_transforms=[total])
    path = bench.corrected(r2="20")
    with pytest.raises(InvalidOptionError, match="aggregated"):
        bench.engine.replay_rejects(path, bench.batch, gold_transforms=[total])
    bench.engine.replay_rejects(path, bench.batch, to="silver")
    assert bench.values() == [(1, 10), (2, 20), (3, 30)]
    assert bench.engine.read("t").collect()["amount"].to_list() == [40]


def compacted(engine: PipelineEngine, folder: Path, **more: Any) -> None:
    """The file that the first batch brought into gold goes."""
    path = write_csv(folder / "next.csv", [["id", "amount"], ["9", "90"]])
    engine.run_full_pipeline(path, "t", bronze_schema=NUMBERS, load="append", **more)
    engine.compact("t")
    engine.clean(keep_versions=1)


def unhashed(folder: Path) -> Bench:
    """A batch of whose rows the log says nothing."""
    engine = PipelineEngine(PipelineConfig(folder / "root", content_hashes=False))
    return Bench(folder, engine=engine)


@pytest.mark.parametrize("make", [Bench, unhashed])
def test_corrections_go_into_a_table_that_was_compacted_and_cleaned(
    tmp_path: Path, make: Callable[[Path], Bench]
) -> None:
    bench = make(tmp_path)
    compacted(bench.engine, tmp_path)
    bench.engine.replay_rejects(bench.corrected(r2="20"), bench.batch)
    assert bench.values("gold") == [(1, 10), (2, 20), (3, 30), (9, 90)]


@pytest.mark.parametrize("grain", [[], ["id"]])
def test_an_aggregated_gold_is_known_after_its_file_was_cleaned(
    tmp_path: Path, grain: list[str]
) -> None:
    def total(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.group_by("id").agg(pl.sum("amount"))

    bench = Bench(tmp_path, gold_transforms=[total], grain=grain)
    compacted(bench.engine, tmp_path, gold_transforms=[total], grain=grain)
    with pytest.raises(InvalidOptionError, match="aggregated"):
        bench.engine.replay_rejects(bench.corrected(r2="20"), bench.batch, gold_transforms=[total])


def test_a_batch_that_is_no_longer_in_gold_is_told_what_to_do(tmp_path: Path) -> None:
    bench = unhashed(tmp_path)
    path = write_csv(tmp_path / "next.csv", [["id", "amount"], ["9", "90"]])
    staged = bench.engine.ingest(path, "t")["staged_path"]
    bronze = bench.engine.promote_to_bronze(staged, NUMBERS, load="append")["bronze_path"]
    silver = bench.engine.promote_to_silver(bronze, load="append")["silver_path"]
    bench.engine.promote_to_gold(silver)
    bench.engine.clean(keep_versions=1)
    fixed = bench.corrected(r2="20")
    with pytest.raises(InvalidOptionError, match="no longer in gold") as hit:
        bench.engine.replay_rejects(fixed, bench.batch)
    assert "to='silver'" in hit.value.hint
    bench.engine.replay_rejects(fixed, bench.batch, to="silver")


def test_corrections_do_not_stand_alone(tmp_path: Path) -> None:
    engine = PipelineEngine(PipelineConfig(tmp_path / "root"))
    stop = expect("none", pl.col("amount") > 1000, on_fail="fail")
    with pytest.raises(ExpectationError) as hit:
        engine.run_full_pipeline(
            write_csv(tmp_path / "s.csv", ROWS), "t", bronze_schema=NUMBERS,
            silver_transforms=[stop],
        )  # fmt: skip
    batch = str(hit.value.place["batch"])
    engine.export_rejects(batch, tmp_path / "x.csv")
    with pytest.raises(InvalidOptionError, match="has not reached silver"):
        engine.replay_rejects(tmp_path / "x.csv", batch, silver_transforms=[])


def test_a_value_that_looks_like_a_mask_is_one_in_personal_columns_only(tmp_path: Path) -> None:
    rows = [["id", "note", "amount"], ["1", "[masked]", "x"], ["2", "b", "5"]]
    engine = PipelineEngine(PipelineConfig(tmp_path / "root"))
    contract = Contract({"id": Column("String", pii="id"), "amount": Column("Int64")})
    batch = engine.run_full_pipeline(
        write_csv(tmp_path / "s.csv", rows), "t", bronze_schema=contract
    )["batch_id"]
    head = ["id", "note", "amount", *HELPERS]
    key = [batch, "s.csv", "1"]
    path = write_csv(tmp_path / "c.csv", [head, ["[masked]", "[masked]", "1", *key]])
    with pytest.raises(InvalidOptionError, match="masked values"):
        engine.replay_rejects(path, batch)
    engine.replay_rejects(
        write_csv(tmp_path / "c.csv", [head, ["1", "[masked]", "1", *key]]), batch
    )


@pytest.mark.parametrize("wrong", [None, 5, ["x.csv"]])
def test_what_is_no_path_or_name_is_refused(bench: Bench, wrong: Any) -> None:
    engine = bench.engine
    with pytest.raises(InvalidOptionError):
        engine.replay_rejects(wrong, bench.batch)
    with pytest.raises(InvalidOptionError):
        engine.export_rejects(bench.batch, wrong)
    with pytest.raises(InvalidSchemaError):
        Contract.read(wrong)
    with pytest.raises(InvalidOptionError):
        engine.export_rejects(bench.batch, "a\0b")
    with pytest.raises(InvalidOptionError):
        engine.export_rejects(bench.batch, "x" * 300)
    if wrong is not None:
        for ask in (engine.rejects, engine.rule_history, engine.schema_history):
            with pytest.raises(TableNotFoundError):
                ask(wrong)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{apiVersion: v3.1.0, kind: Foo, schema: []}", "of the kind 'Foo'"),
        (
            "{apiVersion: v3.1.0, schema: [{name: t, properties: [{name: a}, {name: a}]}]}",
            "'a' twice",
        ),
    ],
)
def test_contracts_that_contradict_themselves_are_refused(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidSchemaError, match=said):
        read_contract(path)


def test_what_of_a_json_schema_is_not_judged_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"a": {"type": "integer", "multipleOf": 2}},
        "required": ["a", "b"],
        "patternProperties": {"^x": {}},
        "additionalProperties": {"type": "string"},
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    assert read_contract(path).left_out == (
        "patternProperties",
        "required: b",
        "additionalProperties",
        "a: multipleOf",
    )


def test_records_name_the_batches_that_are_there(bench: Bench) -> None:
    made = bench.engine.replay_rejects(bench.corrected(r2="20"), bench.batch)
    record = lineage.load(bench.engine.config, made["batch_id"])
    assert record is not None
    assert record.cures == bench.batch
    assert bench.engine.account(bench.batch).cured_by == (made["batch_id"],)
