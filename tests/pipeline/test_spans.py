"""Spans for OpenTelemetry: none unless asked for, one for each run and transition else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from jobforge import PipelineConfig, PipelineEngine
from jobforge.errors import InvalidConfigError, JobforgeError
from support import write_csv


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> TracerProvider:
    """What an application sets up; it can be set for a process once only, so not by its own way."""
    made = TracerProvider()
    monkeypatch.setattr(trace, "get_tracer", made.get_tracer)
    return made


@pytest.fixture
def exporter(provider: TracerProvider) -> Iterator[InMemorySpanExporter]:
    kept = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    yield kept
    provider.shutdown()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "in.csv", [["code", "pay"], ["a", "1"], ["b", "x"]])


@pytest.fixture
def engine(tmp_path: Path) -> PipelineEngine:
    return PipelineEngine(PipelineConfig(tmp_path / "root", spans=True))


def about(span: ReadableSpan) -> dict[str, Any]:
    return {str(name): value for name, value in (span.attributes or {}).items()}


def parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent is not None else None


def test_a_run_has_a_span_and_each_transition_one_below_it(
    engine: PipelineEngine, exporter: InMemorySpanExporter, source: Path
) -> None:
    run = engine.run_full_pipeline(source, "t", "hr", {"cast": {"pay": "Int64"}})
    *layers, whole = exporter.get_finished_spans()
    assert (whole.name, parent(whole)) == ("jobforge.run", None)
    assert about(whole) == {"jobforge.table": "hr/t", "jobforge.batch": run["batch_id"]}
    names = ["jobforge.staged", "jobforge.bronze", "jobforge.silver", "jobforge.gold"]
    assert [span.name for span in layers] == names
    assert whole.context is not None
    assert {parent(span) for span in layers} == {whole.context.span_id}
    assert about(layers[1]) == {
        "jobforge.batch": run["batch_id"],
        "jobforge.transition": run["logs"][1].transition_id,
        "jobforge.table": "hr/t",
        "jobforge.layer": "bronze",
        "jobforge.operation": "replace",
        "jobforge.rows_in": 2,
        "jobforge.rows_out": 1,
        "jobforge.status": "partial",
    }
    assert {span.status.status_code for span in (*layers, whole)} == {StatusCode.UNSET}


def test_a_single_call_is_below_the_span_of_the_application(
    engine: PipelineEngine,
    exporter: InMemorySpanExporter,
    provider: TracerProvider,
    source: Path,
) -> None:
    with provider.get_tracer("app").start_as_current_span("mine") as mine:
        engine.ingest(source, "t")
    span, _ = exporter.get_finished_spans()
    assert (span.name, parent(span)) == ("jobforge.staged", mine.get_span_context().span_id)


def test_a_failure_is_told_by_its_code_and_nothing_else(
    engine: PipelineEngine, exporter: InMemorySpanExporter, source: Path
) -> None:
    def secret(_: pl.LazyFrame) -> pl.LazyFrame:
        raise ValueError("Maria Musterfrau")

    with pytest.raises(JobforgeError, match="Maria"):
        engine.run_full_pipeline(source, "t", silver_transforms=[secret])
    *_, silver, whole = exporter.get_finished_spans()
    for span in (silver, whole):
        assert span.status.status_code is StatusCode.ERROR
        assert span.status.description == about(span)["error.type"] == "JF402"
        assert span.events == ()
        assert "Maria" not in span.to_json()
    assert about(silver)["jobforge.status"] == "failed"


def test_what_is_only_tried_has_none(
    engine: PipelineEngine, exporter: InMemorySpanExporter, source: Path
) -> None:
    engine.check_contract(source, {"cast": {"pay": "Int64"}})
    assert exporter.get_finished_spans() == ()


def test_the_environment_switches_them_on(
    tmp_path: Path, exporter: InMemorySpanExporter, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    PipelineEngine(PipelineConfig(root)).ingest(source, "t")
    assert exporter.get_finished_spans() == ()
    monkeypatch.setenv("JOBFORGE_SPANS", "1")
    PipelineEngine(PipelineConfig(root, spans=False)).ingest(source, "t")
    assert exporter.get_finished_spans() == ()
    PipelineEngine(PipelineConfig(root)).ingest(source, "t")
    assert len(exporter.get_finished_spans()) == 1
    monkeypatch.setenv("JOBFORGE_SPANS", "perhaps")
    with pytest.raises(InvalidConfigError, match="JOBFORGE_SPANS is 'perhaps'"):
        PipelineEngine(PipelineConfig(root)).ingest(source, "t")
    with pytest.raises(InvalidConfigError, match="spans is 'yes'"):
        PipelineConfig(root, spans="yes")  # type: ignore[arg-type] # the mistake under test


def test_a_processor_that_fails_changes_no_outcome(
    engine: PipelineEngine, provider: TracerProvider, source: Path
) -> None:
    class Broken(SpanProcessor):
        def on_start(self, *_: Any, **__: Any) -> None:
            raise OSError

        def on_end(self, *_: Any, **__: Any) -> None:
            raise OSError

    provider.add_span_processor(Broken())
    assert engine.ingest(source, "t")["log"].row_count_out == 2


def test_without_opentelemetry_it_says_what_to_install(
    engine: PipelineEngine, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(InvalidConfigError, match="is not installed") as caught:
        engine.ingest(source, "t")
    assert "jobforge[otel]" in caught.value.hint
    assert not engine.config.data_root.exists()


def test_nothing_is_imported_where_they_are_off(tmp_path: Path, source: Path) -> None:
    code = """
import sys
from jobforge import PipelineConfig, PipelineEngine
PipelineEngine(PipelineConfig(sys.argv[1])).run_full_pipeline(sys.argv[2], "t")
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    command = [sys.executable, "-c", code, str(tmp_path / "root"), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
