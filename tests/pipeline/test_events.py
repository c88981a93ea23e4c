"""Every event says which transition of which batch it is of, for whoever gathers them."""

from __future__ import annotations

import ast
import json
import re
import uuid
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import structlog

import jobforge
from jobforge import PipelineConfig, PipelineEngine
from jobforge.errors import InvalidConfigError, JobforgeError, RecordError
from jobforge.openlineage import OpenLineageConfig
from jobforge.pipeline import events, lineage, recovery, waiving
from jobforge.storage.debris import mark
from support import write_csv

ABOUT = ["batch", "transition", "table", "layer"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "in.csv", [["code", "pay"], ["a", "1"], ["b", "x"]])


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Any:
    """Gives the events that were written since it was asked last."""
    events.configure("json")
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_each_transition_is_named_with_its_outcome(
    engine: PipelineEngine, source: Path, lines: Any
) -> None:
    schema = {"cast": {"pay": "Int64"}}
    run = engine.run_full_pipeline(source, "t", "hr", schema)
    seen = lines()
    assert [[event[name] for name in ABOUT] for event in seen] == [
        [log.batch_id, log.transition_id, "hr/t", log.target_layer] for log in run["logs"]
    ]
    assert [(event["status"], event["rows_in"], event["rows_out"]) for event in seen[:2]] == [
        ("success", 2, 2),
        ("partial", 2, 1),
    ]


def test_a_format_that_there_is_not_is_refused_and_does_not_silence_the_log(
    config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBFORGE_LOG_FORMAT", "xml")
    with pytest.raises(InvalidConfigError, match="JOBFORGE_LOG_FORMAT is 'xml'"):
        PipelineEngine(config)
    monkeypatch.setenv("JOBFORGE_LOG_FORMAT", "")
    PipelineEngine(config)


def test_a_log_that_cannot_be_written_changes_no_outcome(
    engine: PipelineEngine, source: Path
) -> None:
    def broken(*_: object) -> MutableMapping[str, Any]:
        raise KeyError("severity")

    structlog.configure(processors=[broken])
    try:
        run = engine.run_full_pipeline(source, "t", "hr", {"cast": {"pay": "Int64"}})
    finally:
        structlog.reset_defaults()
    assert [str(log.status) for log in run["logs"]] == ["success", "partial", "success", "success"]


def test_a_failure_is_named_by_its_code(
    engine: PipelineEngine, source: Path, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(JobforgeError):
        engine.ingest(source.with_name("none.csv"), "t")
    (event,) = lines()
    assert (event["event"], event["level"], event["error"]) == (
        "transition.failed",
        "error",
        "JF201",
    )
    assert all(event[name] for name in ABOUT)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("jobforge.pipeline.writing.check_space", interrupt)
    with pytest.raises(KeyboardInterrupt):
        engine.ingest(source, "t")
    assert [event["error"] for event in lines()] == ["KeyboardInterrupt"]


def test_what_is_found_of_a_dead_process_is_named_too(
    engine: PipelineEngine, source: Path, lines: Any
) -> None:
    batch = engine.ingest(source, "t")["batch_id"]
    path = lineage.record_path(engine.config, batch)
    record = json.loads(path.read_text())
    (log,) = record["transitions"]
    log.update(status="running", completed_at=None, target_file=None)
    path.write_text(json.dumps(record))
    transition = log["transition_id"]
    marker = engine.config.running_path() / recovery.marker_name(batch, transition)
    mark(marker).release()
    lines()
    engine.ingest(source, "other")
    found, _ = lines()
    assert [found[name] for name in ("event", *ABOUT)] == [
        "transition.recovered", batch, transition, "default/t", "staged",
    ]  # fmt: skip
    path.write_text("{")
    mark(marker).release()
    engine.ingest(source, "other")
    found, _ = lines()
    assert [found.get(name) for name in ("event", *ABOUT)] == [
        "transition.not_recovered", batch, transition, None, None,
    ]  # fmt: skip


@pytest.fixture
def gathered(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """The events that reach an application through its own structlog."""
    seen: list[dict[str, Any]] = []

    def keep(_: object, __: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
        seen.append(dict(event))
        raise structlog.DropEvent

    structlog.configure(processors=[keep])
    monkeypatch.setattr(events, "_settings", {"format": "", "quiet": False})
    yield seen
    structlog.reset_defaults()


def test_an_application_gets_them_through_its_own_structlog(
    engine: PipelineEngine, source: Path, gathered: list[dict[str, Any]]
) -> None:
    log = engine.ingest(source, "t")["log"]
    (event,) = gathered
    assert [event[name] for name in ABOUT] == [
        log.batch_id, log.transition_id, "default/t", "staged",
    ]  # fmt: skip


# ---- every event by its name --------------------------------------------------------------


def names_in_the_code() -> set[str]:
    """The events that some line of jobforge tells: the text that it hands to a `tell`."""
    found = set()
    for path in Path(jobforge.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                first = node.args[0]
                if called in ("tell", "_tell") and isinstance(first, ast.Constant):
                    found.add(str(first.value))
    return found


def reject(engine: PipelineEngine, source: Path) -> str:
    schema = {"cast": {"pay": "Int64"}}
    return engine.run_full_pipeline(source, "t", "hr", schema)["batch_id"]


def finished(engine: PipelineEngine, source: Path) -> tuple[str, str]:
    return reject(engine, source), "staged"


def failed(engine: PipelineEngine, source: Path) -> tuple[str, str]:
    with pytest.raises(JobforgeError):
        engine.ingest(source.with_name("none.csv"), "t", "hr")
    (path,) = engine.config.catalog_lineage_path().glob("*.json")
    return path.stem, "staged"


def not_provable(engine: PipelineEngine, source: Path) -> tuple[str, str]:
    def marked(frame: pl.LazyFrame) -> pl.LazyFrame:
        return frame.with_columns(at=pl.lit(str(uuid.uuid4())))

    run = engine.run_full_pipeline(source, "t", "hr", silver_transforms=[marked])
    return run["batch_id"], "silver"


def not_sent(engine: PipelineEngine, source: Path) -> tuple[str, str]:
    place = engine.config.catalog_openlineage_path()
    place.parent.mkdir(parents=True)
    place.write_text("in the way of the folder")
    config = PipelineConfig(engine.config.data_root, openlineage=OpenLineageConfig())
    return PipelineEngine(config).ingest(source, "t", "hr")["batch_id"], "staged"


def not_taken(engine: PipelineEngine, source: Path) -> tuple[str, str]:
    there = OpenLineageConfig("http://127.0.0.1:9", timeout=0.2, patience=2)
    config = PipelineConfig(engine.config.data_root, openlineage=there)
    return PipelineEngine(config).ingest(source, "t", "hr")["batch_id"], "staged"


def left_running(engine: PipelineEngine, source: Path) -> str:
    """A batch whose process died in its first transition."""
    batch = engine.ingest(source, "t", "hr")["batch_id"]
    path = lineage.record_path(engine.config, batch)
    record = json.loads(path.read_text())
    (log,) = record["transitions"]
    log.update(status="running", completed_at=None, target_file=None)
    path.write_text(json.dumps(record))
    mark(engine.config.running_path() / recovery.marker_name(batch, log["transition_id"])).release()
    return str(batch)


def recovered(engine: PipelineEngine, source: Path) -> tuple[str, str]:
    batch = left_running(engine, source)
    engine.ingest(source, "other")
    return batch, "staged"


def not_recovered(engine: PipelineEngine, source: Path) -> tuple[str, str]:
    batch = left_running(engine, source)
    with pytest.MonkeyPatch.context() as now:
        now.setattr(recovery, "catalogue_replaced", refuse)
        engine.ingest(source, "other")
    return batch, "staged"


def refuse(*_: object) -> None:
    raise RecordError("it cannot be read", hint="")


def waive_and_die(engine: PipelineEngine, source: Path) -> str:
    """A batch whose rejects were waived by a process that died before it sealed that."""
    batch = reject(engine, source)
    with pytest.MonkeyPatch.context() as now:
        now.setattr(waiving, "settle_waivers", lambda _, marker, __: marker.release())
        engine.waive_rejects(batch, by="a clerk", why="known")
    return batch


def waiver_recovered(engine: PipelineEngine, source: Path) -> tuple[str, str]:
    batch = waive_and_die(engine, source)
    engine.ingest(source, "other")
    return batch, "bronze"


def waiver_not_recovered(engine: PipelineEngine, source: Path) -> tuple[str, str]:
    batch = waive_and_die(engine, source)
    with pytest.MonkeyPatch.context() as now:
        now.setattr(waiving, "settle_waivers", refuse)
        engine.ingest(source, "other")
    return batch, "bronze"


PROVOKED: list[tuple[str, Callable[[PipelineEngine, Path], tuple[str, str]]]] = [
    ("transition.finished", finished),
    ("transition.failed", failed),
    ("transition.recovered", recovered),
    ("transition.not_recovered", not_recovered),
    ("transform.not_provable", not_provable),
    ("openlineage.not_sent", not_sent),
    ("openlineage.not_sent", not_taken),
    ("waiver.recovered", waiver_recovered),
    ("waiver.not_recovered", waiver_not_recovered),
]
"""Every event, and what brings it about; gives batch and layer of the first of that name."""


@pytest.mark.parametrize(("name", "provoke"), PROVOKED)
def test_each_event_names_what_it_is_of(
    engine: PipelineEngine,
    source: Path,
    lines: Any,
    name: str,
    provoke: Callable[[PipelineEngine, Path], tuple[str, str]],
) -> None:
    batch, layer = provoke(engine, source)
    seen = lines()
    for event in seen:
        assert all(event.get(field) for field in ABOUT), event
    found = [event for event in seen if (event["event"], event["batch"]) == (name, batch)]
    assert found
    record = lineage.known(engine.config, batch)
    known = {(log.transition_id, str(log.target_layer)) for log in record.transitions}
    assert {(event["transition"], event["layer"]) for event in found} <= known
    assert (found[0]["table"], found[0]["layer"]) == ("hr/t", layer)


def test_every_event_of_the_code_is_provoked_here_and_in_the_documentation() -> None:
    page = Path(__file__).parents[2] / "docs/logs.md"
    described = set(re.findall(r"^\| `(\w+\.\w+)` \|", page.read_text("utf-8"), re.MULTILINE))
    assert names_in_the_code() == {name for name, _ in PROVOKED} == described


def test_a_waiver_whose_record_cannot_be_read_is_named_as_far_as_known(
    engine: PipelineEngine, source: Path, lines: Any
) -> None:
    batch = waive_and_die(engine, source)
    path = lineage.record_path(engine.config, batch)
    path.write_text("{")
    lines()
    engine.ingest(source, "other")
    found, _ = lines()
    assert [found.get(name) for name in ("event", *ABOUT)] == [
        "waiver.not_recovered", batch, None, None, "bronze",
    ]  # fmt: skip
