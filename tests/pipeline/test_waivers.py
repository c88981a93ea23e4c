"""Waivers whose process died, or that were made at the same time, in the record and the chain."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from jobforge import PipelineConfig, PipelineEngine
from jobforge.errors import JobforgeError
from jobforge.pipeline import chain, lineage, waiving
from jobforge.pipeline.models import BatchRecord, Waiver
from jobforge.pipeline.rejects import waive
from jobforge.storage import rewrite
from jobforge.storage.debris import Marker
from support import write_csv

ROWS = [["id", "n"], ["1", "1"], ["2", "x"], ["3", "y"]]
WHO: dict[str, Any] = {"by": "a clerk", "why": "known"}


class Killed(BaseException):
    """Stands for the end of a process."""


@pytest.fixture
def engine(tmp_path: Path) -> PipelineEngine:
    return PipelineEngine(PipelineConfig(tmp_path / "root"))


def run(engine: PipelineEngine, folder: Path, table: str = "t") -> str:
    source = write_csv(folder / "s.csv", ROWS)
    schema = {"cast": {"n": "Int64"}}
    return engine.run_full_pipeline(source, table, bronze_schema=schema)["batch_id"]


def kinds(engine: PipelineEngine) -> list[str]:
    return [finding.kind for finding in engine.verify().findings]


def waivers(engine: PipelineEngine, batch: str) -> tuple[Waiver, ...]:
    return lineage.known(engine.config, batch).waivers


def die(*_: Any, **__: Any) -> None:
    raise Killed


def only_let_go(_: PipelineConfig, marker: Marker, __: object) -> None:
    marker.release()


def killed(engine: PipelineEngine, batch: str, at: str, patch: pytest.MonkeyPatch) -> None:
    """Waive, in a process that ends before it writes the plan, the record or the chain."""
    with patch.context() as now:
        now.setattr(waiving, "settle_waivers", only_let_go)
        if at == "plan":
            now.setattr(waive, "_plan", die)
        elif at == "record":
            now.setattr(rewrite, "publish_bytes", die)
        if at == "chain":
            engine.waive_rejects(batch, **WHO)
        else:
            with pytest.raises(Killed):
                engine.waive_rejects(batch, **WHO)


@pytest.mark.parametrize("at", ["plan", "record", "chain"])
@pytest.mark.parametrize("then", ["run", "waive"])
def test_a_waiver_that_died_is_settled_by_the_next_work(
    engine: PipelineEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str, then: str
) -> None:
    batch, other = run(engine, tmp_path), run(engine, tmp_path, "other")
    killed(engine, batch, at, monkeypatch)
    assert kinds(engine) == ["unfinished"]
    assert len(waivers(engine, batch)) == (at == "chain")
    if then == "run":
        run(engine, tmp_path, "third")
    else:
        engine.waive_rejects(other, **WHO)
    assert kinds(engine) == []
    assert list(engine.config.running_path().iterdir()) == []
    assert len(waivers(engine, batch)) == (at == "chain")


@pytest.mark.parametrize(
    ("module", "name", "left"),
    [(chain, "add_waiver", ["unfinished"]), (rewrite, "publish_bytes", [])],
)
def test_an_interrupt_leaves_a_marker_only_between_record_and_chain(
    engine: PipelineEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    name: str,
    left: list[str],
) -> None:
    batch = run(engine, tmp_path)
    with monkeypatch.context() as now:
        now.setattr(module, name, die)
        with pytest.raises(Killed):
            engine.waive_rejects(batch, **WHO)
    assert kinds(engine) == left
    assert len(list(engine.config.running_path().iterdir())) == len(left)
    run(engine, tmp_path)
    assert kinds(engine) == []


def test_a_waiver_that_was_sealed_is_not_sealed_again(
    engine: PipelineEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = run(engine, tmp_path)
    with monkeypatch.context() as now:
        now.setattr(Marker, "done", die)
        with pytest.raises(Killed):
            engine.waive_rejects(batch, **WHO)
    entries = chain.newest_number(engine.config)
    waiving.recover_waivers(engine.config, lambda: waivers(engine, batch)[0].waived_at)
    assert chain.newest_number(engine.config) == entries
    assert kinds(engine) == []


def forged(engine: PipelineEngine, batch: str) -> None:
    """Write a waiver into a record by hand."""

    def change(record: BatchRecord) -> BatchRecord:
        made = record.waivers[0].model_copy(update={"why": "by hand"})
        return record.model_copy(update={"waivers": (*record.waivers, made)})

    lineage.amend(engine.config, batch, change)


def test_a_waiver_by_hand_is_not_sealed_with_one_that_died(
    engine: PipelineEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = run(engine, tmp_path)
    killed(engine, batch, "chain", monkeypatch)
    forged(engine, batch)
    assert sorted(kinds(engine)) == ["record", "unfinished"]
    run(engine, tmp_path)
    assert kinds(engine) == ["record"]


@pytest.mark.parametrize("text", ["", '{\n  "batch_id"', "\0\0\0"])
def test_a_marker_that_was_not_written_to_its_end_is_one_of_nothing(
    engine: PipelineEngine, tmp_path: Path, text: str
) -> None:
    batch = run(engine, tmp_path)
    path = engine.config.running_path() / f"{batch}.{batch}.waiver"
    path.write_text(text)
    assert kinds(engine) == ["unfinished"]
    run(engine, tmp_path)
    assert kinds(engine) == []


def test_a_marker_of_a_newer_jobforge_stays(engine: PipelineEngine, tmp_path: Path) -> None:
    batch = run(engine, tmp_path)
    path = engine.config.running_path() / f"{batch}.{batch}.waiver"
    path.write_text('{"format_version": 99}\n')
    run(engine, tmp_path)
    assert path.exists()
    assert kinds(engine) == ["unfinished"]


def test_a_waiver_under_way_is_left_out(
    engine: PipelineEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = run(engine, tmp_path)
    seen: list[list[str]] = []
    seal = chain.add_waiver

    def looked(*given: Any) -> None:
        seen.append(kinds(engine))
        seal(*given)
        seen.append(kinds(engine))

    monkeypatch.setattr(chain, "add_waiver", looked)
    engine.waive_rejects(batch, **WHO)
    assert seen == [[], []]


def test_two_at_the_same_time_may_be_sealed_in_another_order(
    engine: PipelineEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = run(engine, tmp_path)
    seal = waiving.settle_waivers

    def after_another(*given: Any) -> None:
        monkeypatch.setattr(waiving, "settle_waivers", seal)
        monkeypatch.setattr(waiving, "recover_waivers", lambda *_: None)
        engine.waive_rejects(batch, records=[3], **WHO)
        seal(*given)

    monkeypatch.setattr(waiving, "settle_waivers", after_another)
    engine.waive_rejects(batch, records=[2], **WHO)
    assert len(waivers(engine, batch)) == 2
    assert kinds(engine) == []


def test_waivers_that_change_places_are_found(engine: PipelineEngine, tmp_path: Path) -> None:
    batch = run(engine, tmp_path)
    for number in (2, 3):
        engine.waive_rejects(batch, records=[number], **WHO)
    lineage.amend(
        engine.config,
        batch,
        lambda record: record.model_copy(update={"waivers": record.waivers[::-1]}),
    )
    assert kinds(engine) == ["record"]


def test_a_refused_waiver_leaves_no_marker(engine: PipelineEngine, tmp_path: Path) -> None:
    batch = run(engine, tmp_path)
    with pytest.raises(JobforgeError):
        engine.waive_rejects(batch, records=[1], **WHO)
    assert list(engine.config.running_path().iterdir()) == []
