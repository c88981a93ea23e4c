"""What is told of a run, against the official schemas and against the records."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from jsonschema import ValidationError

import openlineage_schemas
from jobforge import (
    Column,
    Contract,
    PipelineConfig,
    PipelineEngine,
    SourceRecord,
    deduplicate,
    expect,
    keep,
    references,
)
from jobforge.errors import CastRejectedError, JobforgeError, StorageError, TransformError
from jobforge.openlineage import OpenLineageConfig
from jobforge.pipeline import catalog, lineage, recovery
from jobforge.pipeline.emission import runs
from jobforge.pipeline.models import LayerTransitionLog, TransitionStatus
from jobforge.storage.debris import mark
from openlineage_schemas import events_of, needs_schemas
from support import debris, files_below, write_csv

pytestmark = needs_schemas
Event = dict[str, Any]
CASTS = {"rename": {"Code": "code"}, "cast": {"Pay": "Int64"}}


@pytest.fixture
def config(tmp_path: Path) -> PipelineConfig:
    return PipelineConfig(tmp_path / "root", openlineage=OpenLineageConfig())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rows = [["Code", "Pay"], ["a", "1"], ["b", "x"], ["c", "3"], ["c", "4"], ["d", ""]]
    return write_csv(tmp_path / "in.csv", rows)


def told(config: PipelineConfig, batch: str | None = None) -> list[Event]:
    """The events of a batch, or of the only one."""
    folder = config.catalog_openlineage_path()
    (path,) = [folder / f"{batch}.jsonl"] if batch else folder.iterdir()
    return events_of(path)


def states(events: list[Event], ending: str) -> list[str]:
    """What a job of that name's ending went through."""
    return [e["eventType"] for e in events if e["job"]["name"].endswith(ending)]


def last(events: list[Event], ending: str) -> Event:
    return [e for e in events if e["job"]["name"].endswith(ending)][-1]


def trimmed(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.with_columns(pl.col("code").str.strip_chars())


@pytest.mark.parametrize("fused", [True, False])
def test_a_run_is_told_as_its_records_have_it(
    config: PipelineConfig, source: Path, *, fused: bool
) -> None:
    config = PipelineConfig(config.data_root, fused=fused, openlineage=config.openlineage)
    steps: list[Any] = [trimmed, deduplicate("code")]
    result = PipelineEngine(config).run_full_pipeline(source, "t", "d", CASTS, steps)
    events = told(config)
    for layer, log in zip(("staged", "bronze", "silver", "gold"), result["logs"], strict=True):
        of_layer = [e for e in events if e["job"]["name"] == f"d/t/{layer}"]
        assert [e["eventType"] for e in of_layer] == ["START", "RUNNING", "COMPLETE"]
        assert {e["run"]["runId"] for e in of_layer} == {log.transition_id}
        assert log.completed_at is not None
        times = [log.started_at.isoformat(), log.completed_at.isoformat()]
        assert [of_layer[0]["eventTime"], of_layer[2]["eventTime"]] == times
        assert times[0] <= of_layer[1]["eventTime"] <= times[1]
        parent = of_layer[0]["run"]["facets"]["parent"]
        assert parent["run"] == {"runId": result["batch_id"]}
        assert parent["job"] == {"namespace": "jobforge", "name": "d/t"}
        engine = of_layer[0]["run"]["facets"]["processing_engine"]
        assert engine["version"] == pl.__version__
        assert engine["openlineageAdapterVersion"] == log.jobforge_version
        written = of_layer[2]["outputs"][0]
        assert log.target_file is not None
        file = config.data_root / log.target_file
        assert written["name"] == str(file.parent.absolute())
        figures = written["outputFacets"]["outputStatistics"]
        assert (figures["rowCount"], figures["size"]) == (log.row_count_out, file.stat().st_size)
        version = str(log.table_version) if log.table_version is not None else result["batch_id"]
        assert written["facets"]["version"]["datasetVersion"] == version
        names = [f["name"] for f in written["facets"]["schema"]["fields"]]
        assert names == list(pl.read_parquet_schema(file))
        assert [e["outputs"][0]["outputFacets"] for e in of_layer[:2]] == [{}, {}]
    assert len(events) == 12
    assert debris(config.data_root) == []


def test_each_layer_reads_what_the_one_before_wrote(config: PipelineConfig, source: Path) -> None:
    engine = PipelineEngine(config)
    engine.run_full_pipeline(source, "t", "d", CASTS, [trimmed])
    ends = [e for e in told(config) if e["eventType"] == "COMPLETE"]
    for before, after in pairwise(ends):
        wrote, (read,) = before["outputs"][0], after["inputs"]
        assert (wrote["namespace"], wrote["name"]) == (read["namespace"], read["name"])
        for facet in ("version", "schema", "datasetType"):
            assert wrote["facets"][facet] == read["facets"][facet]
        rows = read["inputFacets"]["dataQualityMetrics"]["rowCount"]
        assert rows == wrote["outputFacets"]["outputStatistics"]["rowCount"]
    (read,) = ends[0]["inputs"]
    assert (read["namespace"], read["name"]) == ("file", str(source))
    metrics = read["inputFacets"]["dataQualityMetrics"]
    assert (metrics["rowCount"], metrics["bytes"]) == (5, source.stat().st_size)
    assert "storage" not in ends[0]["outputs"][0]["facets"]  # staged is a folder of files
    assert ends[1]["outputs"][0]["facets"]["storage"]["storageLayer"] == "delta"


def swapped(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.rename({"code": "Pay", "Pay": "code"})


def test_a_column_behind_a_function_is_none_of_the_input(
    config: PipelineConfig, source: Path
) -> None:
    steps: list[Any] = [
        expect("before", pl.col("Pay") > 0, on_fail="warn"),
        swapped,
        expect("after", pl.col("Pay") == "no", on_fail="warn"),
    ]
    PipelineEngine(config).run_full_pipeline(source, "t", "d", CASTS, steps)
    (read,) = last(told(config), "silver")["inputs"]
    found = read["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert {one["name"]: one.get("column") for one in found} == {"before": "Pay", "after": None}


def test_what_is_known_of_columns_is_told(config: PipelineConfig, source: Path) -> None:
    PipelineEngine(config).run_full_pipeline(source, "t", "d", CASTS, [trimmed])
    events = told(config)
    facet = last(events, "bronze")["outputs"][0]["facets"]["columnLineage"]
    columns = facet["fields"]
    staged = str((config.data_root / "staged/d/t").absolute())
    assert {
        name: [(f["name"], f["field"]) for f in found["inputFields"]]
        for name, found in columns.items()
        if not name.startswith("_")
    } == {"code": [(staged, "Code")], "Pay": [(staged, "Pay")]}
    (pay,) = columns["Pay"]["inputFields"]
    (chooses,) = facet["dataset"]  # a cast that fails decides whether a row stays
    assert [
        (found["field"], [(t["type"], t["subtype"]) for t in found["transformations"]])
        for found in (pay, chooses)
    ] == [("Pay", [("DIRECT", "TRANSFORMATION")]), ("Pay", [("INDIRECT", "FILTER")])]
    silver = last(events, "silver")["outputs"][0]["facets"]["columnLineage"]["fields"]
    assert silver["Pay"]["inputFields"][0]["transformations"][0]["subtype"] == "IDENTITY"
    nulls = last(events, "silver")["inputs"][0]["inputFacets"]["dataQualityMetrics"]
    assert nulls["columnMetrics"]["Pay"]["nullCount"] == 1
    assert nulls["columnMetrics"]["code"]["nullCount"] == 0
    code = last(events, "silver")["job"]["facets"]["sourceCode"]
    (record,) = lineage.all_records(config)
    log = record.transitions[2]
    assert code["language"] == "PYTHON"
    assert f"trimmed = {log.transforms_applied[0].qualified_name}" in code["sourceCode"]
    assert str(log.transforms_applied[0].code_sha256) in code["sourceCode"]
    assert "sourceCode" not in last(events, "bronze")["job"]["facets"]


def test_each_rule_is_an_assertion_on_the_input(config: PipelineConfig, source: Path) -> None:
    rules = [
        expect("paid", pl.col("Pay").is_not_null(), on_fail="warn"),
        expect("little", pl.col("Pay") < 4, on_fail="fail", tolerance=0.5, null="pass"),
        keep("not_a", pl.col("code") != "a"),
        deduplicate("code"),
    ]
    engine = PipelineEngine(config)
    result = engine.run_full_pipeline(source, "t", "d", CASTS, rules)
    events = told(config)
    (cast,) = last(events, "bronze")["inputs"][0]["inputFacets"]["dataQualityAssertions"][
        "assertions"
    ]
    assert (cast["assertion"], cast["name"], cast["column"]) == ("cast", "cast:Pay", "Pay")
    assert (cast["success"], cast["actual"], cast["severity"]) == (False, "1", "warn")
    found = last(events, "silver")["inputs"][0]["inputFacets"]["dataQualityAssertions"]
    said = {a["name"]: a for a in found["assertions"]}
    counts = {c.rule: c for c in result["logs"][2].rules if c.kind != "keep"}
    assert list(said) == list(counts)
    for name, count in counts.items():
        assert said[name]["actual"] == str(count.failed)
        assert said[name]["params"]["judged"] == count.judged
    assert [said[name]["success"] for name in ("paid", "little")] == [False, True]
    assert said["little"]["severity"] == "error"
    assert said["little"]["expected"] == "at most 0.5 of the rows"
    assert said["deduplicate:code"]["success"] is False


def test_rows_that_left_are_an_output(config: PipelineConfig, source: Path) -> None:
    PipelineEngine(config).run_full_pipeline(source, "t", "d", CASTS)
    table, rejects = last(told(config), "bronze")["outputs"]
    assert table["outputFacets"]["outputStatistics"]["rowCount"] == 4
    assert rejects["name"] == str((config.data_root / "quarantine/bronze/d/t").absolute())
    assert rejects["outputFacets"]["outputStatistics"]["rowCount"] == 1


def test_a_table_that_is_referred_to_is_an_input(config: PipelineConfig, tmp_path: Path) -> None:
    engine = PipelineEngine(config)
    codes = write_csv(tmp_path / "codes.csv", [["code"], ["a"], ["b"]])
    engine.run_full_pipeline(codes, "codes", "ref")
    people = write_csv(tmp_path / "people.csv", [["code"], ["a"], ["z"]])
    known = references("code", "ref/codes")
    batch = engine.run_full_pipeline(people, "people", "hr", None, [known])["batch_id"]
    silver = last(told(config, batch), "silver")
    main, other = silver["inputs"]
    assert main["name"].endswith("/bronze/hr/people")
    assert other["name"] == str((config.data_root / "gold/ref/codes").absolute())
    assert other["facets"]["version"]["datasetVersion"] == "1"
    assert other["facets"]["schema"]["fields"][0]["name"] == "code"
    assert other["inputFacets"]["dataQualityMetrics"]["rowCount"] == 2
    assert "dataQualityAssertions" not in other["inputFacets"]
    (rule,) = main["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert (rule["assertion"], rule["success"]) == ("reference", False)


def test_a_failure_says_what_the_record_says(config: PipelineConfig, source: Path) -> None:
    def broken(_: pl.LazyFrame) -> pl.LazyFrame:
        raise ValueError("no")

    with pytest.raises(TransformError):
        PipelineEngine(config).run_full_pipeline(source, "t", "d", CASTS, [broken])
    events = told(config)
    assert states(events, "silver") == ["START", "FAIL"]
    assert states(events, "gold") == []
    end = last(events, "silver")
    (record,) = lineage.all_records(config)
    error = record.transitions[-1].errors[0]
    facet = end["run"]["facets"]["errorMessage"]
    assert facet["message"] == f"{error.code} TransformError: {error.message}"
    assert facet["programmingLanguage"] == "PYTHON"
    assert end["outputs"][0]["outputFacets"] == {}
    assert "version" not in end["outputs"][0]["facets"]


def test_a_layer_that_is_refused_names_its_rejects(config: PipelineConfig, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "in.csv", [["n"], ["x"], ["y"]])
    with pytest.raises(CastRejectedError):
        PipelineEngine(config).run_full_pipeline(source, "t", "d", {"cast": {"n": "Int64"}})
    events = told(config)
    assert states(events, "bronze") == ["START", "RUNNING", "FAIL"]
    table, rejects = last(events, "bronze")["outputs"]
    assert table["outputFacets"] == {}
    assert rejects["outputFacets"]["outputStatistics"]["rowCount"] == 2


def test_a_source_that_is_not_there_is_a_failed_run(config: PipelineConfig) -> None:
    with pytest.raises(JobforgeError):
        PipelineEngine(config).ingest("nowhere.csv", "t")
    events = told(config)
    assert [e["eventType"] for e in events] == ["START", "FAIL"]
    assert events[1]["inputs"] == []


def test_an_interrupt_is_a_failed_run(config: PipelineConfig, source: Path) -> None:
    def stopped(_: pl.LazyFrame) -> pl.LazyFrame:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        PipelineEngine(config).run_full_pipeline(source, "t", "d", CASTS, [stopped])
    assert states(told(config), "silver") == ["START", "FAIL"]


def test_texts_with_personal_values_are_withheld(config: PipelineConfig, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "in.csv", [["name", "n"], ["Secretname", "1"]])
    contract = Contract({"name": Column("String", pii="name"), "n": Column("Int64")})

    def leaking(lf: pl.LazyFrame) -> pl.LazyFrame:
        raise ValueError(lf.collect()["name"][0])

    with pytest.raises(TransformError):
        PipelineEngine(config).run_full_pipeline(source, "t", "d", contract, [leaking])
    events = told(config)
    assert states(events, "silver") == ["START", "FAIL"]
    assert "Secretname" not in json.dumps(events)


def test_an_event_comes_after_what_it_tells(
    config: PipelineConfig, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    tell = runs.tell

    def watching(config: PipelineConfig, log: LayerTransitionLog, *more: Any) -> None:
        record = lineage.known(config, log.batch_id)
        assert log in record.transitions or log.status is TransitionStatus.RUNNING
        if log.status is not TransitionStatus.RUNNING:
            assert log.target_file is not None
            assert (config.data_root / log.target_file).is_file()
            table = catalog.load(config, log.domain, log.table)
            assert table is not None
            assert table.layers[log.target_layer].file == log.target_file
            seen.append(log.target_layer.value)
        tell(config, log, *more)

    monkeypatch.setattr(runs, "tell", watching)
    PipelineEngine(config).run_full_pipeline(source, "t", "d", CASTS)
    assert seen == ["staged", "bronze", "silver", "gold"]


def test_what_was_published_before_a_failure_is_complete(
    config: PipelineConfig, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StorageError("no space")

    monkeypatch.setattr(catalog, "update", full)
    with pytest.raises(StorageError):
        PipelineEngine(config).ingest(source, "t", "d")
    (record,) = lineage.all_records(config)
    assert record.transitions[0].status is TransitionStatus.SUCCESS
    assert states(told(config), "staged") == ["START", "RUNNING", "COMPLETE"]


def test_a_run_whose_process_died_fails_when_it_is_found(
    config: PipelineConfig, source: Path
) -> None:
    engine = PipelineEngine(config)
    batch = engine.run_full_pipeline(source, "t", "d", CASTS)["batch_id"]
    path = lineage.record_path(config, batch)
    record = json.loads(path.read_text())
    dead = record["transitions"][3]
    dead.update(status="running", completed_at=None, target_file=None, table_version=None)
    path.write_text(json.dumps(record))
    mark(config.running_path() / recovery.marker_name(batch, dead["transition_id"])).release()
    (config.catalog_openlineage_path() / f".{batch}.jsonl.0.tmp").write_text('{"half')
    engine.ingest(source, "other")
    assert debris(config.data_root) == []
    end = told(config, batch)[-1]
    assert (end["eventType"], end["run"]["runId"]) == ("FAIL", dead["transition_id"])
    assert "ended before it recorded an outcome" in end["run"]["facets"]["errorMessage"]["message"]
    engine.ingest(source, "other")
    assert told(config, batch)[-1] == end  # told once


def test_an_outcome_that_was_not_told_is_told_by_the_next_run(
    config: PipelineConfig, source: Path
) -> None:
    quiet = PipelineConfig(config.data_root)
    first = PipelineEngine(quiet).ingest(source, "t", "d")["log"]
    # As if its process had died between the record and the event.
    mark(
        config.running_path() / recovery.marker_name(first.batch_id, first.transition_id)
    ).release()
    PipelineEngine(config).ingest(source, "other")
    (end,) = told(config, first.batch_id)
    assert (end["eventType"], end["run"]["runId"]) == ("COMPLETE", first.transition_id)
    assert end["inputs"][0]["name"] == str(source)


def test_work_on_whole_tables_is_told_too(config: PipelineConfig, source: Path) -> None:
    engine = PipelineEngine(config)
    first = engine.run_full_pipeline(source, "t", "d", CASTS)["batch_id"]
    engine.run_full_pipeline(source, "t", "d", CASTS, load="append")
    engine.compact("t", "gold")
    engine.rollback("t", "gold", 1)
    engine.erase("t", [SourceRecord(first, 1)], "asked for")
    engine.clean(keep_versions=1)
    told_of = {
        event["job"]["name"]: event["eventType"]
        for path in config.catalog_openlineage_path().iterdir()
        for event in events_of(path)
    }
    for what in ("gold/compact", "gold/rollback", "gold/erase", "gold/clean"):
        assert told_of.get(f"d/t/{what}") == "COMPLETE", sorted(told_of)
    assert (config.catalog_openlineage_path() / f"{first}.jsonl").is_file()


def test_odd_names_are_told_as_they_are(config: PipelineConfig, tmp_path: Path) -> None:
    names = ["a.b", 'quote"', "new\nline", "größe 日本", "{x}", "$ref", " "]
    source = write_csv(tmp_path / "in #1 é.csv", [names, ["1"] * len(names)])
    PipelineEngine(config).run_full_pipeline(source, "t.x-1", "d.e")
    events = told(config)
    shown = [f["name"] for f in last(events, "bronze")["inputs"][0]["facets"]["schema"]["fields"]]
    assert shown[: len(names)] == names
    assert last(events, "staged")["inputs"][0]["name"] == str(source)


def test_the_namespace_is_that_of_the_settings(config: PipelineConfig, source: Path) -> None:
    settings = OpenLineageConfig(namespace="finance")
    config = PipelineConfig(config.data_root, openlineage=settings)
    PipelineEngine(config).ingest(source, "t")
    assert {e["job"]["namespace"] for e in told(config)} == {"finance"}


def test_what_is_only_tried_is_not_told(config: PipelineConfig, source: Path) -> None:
    PipelineEngine(config).check_contract(source, CASTS)
    assert not config.data_root.exists() or files_below(config.data_root) == []


def test_the_judge_refuses_what_is_no_event(config: PipelineConfig, source: Path) -> None:
    PipelineEngine(config).ingest(source, "t")
    good = told(config)[-1]
    for change in (
        {"eventTime": "yesterday"},
        {"producer": "no uri"},
        {"eventType": "DONE"},
        {"run": {"runId": "1"}},
    ):
        with pytest.raises(ValidationError):
            openlineage_schemas.check({**good, **change})
    facets = good["outputs"][0]["facets"]
    misplaced = {**good, "run": {**good["run"], "facets": {"schema": facets["schema"]}}}
    with pytest.raises(AssertionError):
        openlineage_schemas.check(misplaced)
    facets["schema"] = {**facets["schema"], "feilds": []}
    with pytest.raises(AssertionError):
        openlineage_schemas.check(good)
