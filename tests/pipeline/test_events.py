"""Every event says which transition of which batch it is of, for whoever gathers them."""

from __future__ import annotations

import json
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog

from jobforge import PipelineConfig, PipelineEngine
from jobforge.errors import InvalidConfigError, JobforgeError
from jobforge.pipeline import events, lineage, recovery
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
