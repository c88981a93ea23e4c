"""Records that transitions write anew have to be as the last one left them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobforge import PipelineConfig, PipelineEngine
from jobforge.pipeline import chain
from jobforge.pipeline.audit.chained import Left, may_be_last
from jobforge.storage.publish import publish_bytes
from support import write_csv

VIEWS = ["catalog/tables/default/t.json", "catalog/schemas/default/t.json"]


@pytest.fixture
def engine(tmp_path: Path) -> PipelineEngine:
    return PipelineEngine(PipelineConfig(tmp_path / "root"))


def source(folder: Path, name: str, column: str, rows: int) -> Path:
    return write_csv(folder / f"{name}.csv", [["id", column], *([["1", "5"]] * rows)])


def said(engine: PipelineEngine) -> list[tuple[str, str]]:
    return [(finding.kind, finding.subject) for finding in engine.verify().findings]


@pytest.mark.parametrize("names", [VIEWS[:1], VIEWS[1:], VIEWS])
def test_a_record_that_was_put_back_to_an_earlier_state_is_named(
    engine: PipelineEngine, tmp_path: Path, names: list[str]
) -> None:
    root = engine.config.data_root
    engine.run_full_pipeline(source(tmp_path, "a", "n", 1), "t")
    old = {name: (root / name).read_bytes() for name in names}
    engine.run_full_pipeline(source(tmp_path, "b", "m", 2), "t")
    assert said(engine) == []
    for name, data in old.items():
        (root / name).write_bytes(data)
    assert said(engine) == [("changed", name) for name in sorted(names, reverse=True)]
    assert "a later transition left it in another state" in engine.verify().findings[0].message


def test_a_pointer_to_a_checkpoint_that_was_put_back_is_named(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    file, name = source(tmp_path, "a", "n", 1), "gold/default/t/_delta_log/_last_checkpoint"
    old = []
    for _ in range(21):
        engine.run_full_pipeline(file, "t")
        if (path := engine.config.data_root / name).exists():
            old.append(path.read_bytes())
    assert said(engine) == []
    path.write_bytes(old[0])
    assert said(engine) == [("changed", name)]


def between(monkeypatch: pytest.MonkeyPatch, at: int, meanwhile: Callable[[], object]) -> None:
    """Let something happen when a transition has looked at its records and not sealed it."""
    seen = [0]

    def late(*given: Any, **more: Any) -> None:
        seen[0] += 1
        if seen[0] == at:
            meanwhile()
        publish_bytes(*given, **more)

    monkeypatch.setattr("jobforge.pipeline.chain.publish_bytes", late)


@pytest.mark.parametrize("at", [1, 2, 3, 4])
@pytest.mark.parametrize("fused", [True, False])
def test_writers_beside_each_other_may_seal_in_another_order_than_they_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, *, fused: bool
) -> None:
    engine = PipelineEngine(PipelineConfig(tmp_path / "root", fused=fused))
    engine.run_full_pipeline(source(tmp_path, "a", "n", 1), "t")
    other = PipelineEngine(engine.config)

    def meanwhile() -> None:
        file = source(tmp_path, "b", "m", 2)
        other.run_full_pipeline(file, "t", on_conflict="retry")

    between(monkeypatch, at, meanwhile)
    engine.run_full_pipeline(source(tmp_path, "c", "k", 3), "t", on_conflict="retry")
    assert chain.newest_number(engine.config) == 12
    assert said(engine) == []


def test_the_last_writer_may_have_been_the_first_to_seal(
    engine: PipelineEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.run_full_pipeline(source(tmp_path, "a", "n", 1), "t")
    other = PipelineEngine(engine.config)
    file = source(tmp_path, "b", "m", 2)
    between(monkeypatch, 1, lambda: other.run_full_pipeline(file, "t"))
    engine.ingest(source(tmp_path, "c", "k", 3), "t")
    newest = chain.newest_number(engine.config)
    entry = chain.ChainEntry.model_validate_json(chain.read_bytes(engine.config, newest))
    stale = {view.file: view.sha256 for view in entry.views}
    path = engine.config.data_root / VIEWS[0]
    assert stale[VIEWS[0]] != chain.sha256(path.read_bytes())
    assert said(engine) == []


def test_many_writers_of_one_table_leave_it_sound(tmp_path: Path) -> None:
    config = PipelineConfig(tmp_path / "root")

    def append(number: int) -> None:
        file = source(tmp_path, f"t{number}", "n", number + 1)
        PipelineEngine(config).run_full_pipeline(file, "t", load="append")

    append(0)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(append, range(1, 13)))
    assert said(PipelineEngine(config)) == []


def test_clocks_of_two_machines_may_be_apart() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    first = Left(1, "a" * 64, start, start + timedelta(seconds=2), "one")
    second = replace(
        first, number=2, sha256="b" * 64, started_at=start + timedelta(minutes=5), host="two"
    )
    assert may_be_last(second, [])
    assert may_be_last(first, [second])
    assert may_be_last(first, [replace(second, host="one", started_at=start)])
    assert not may_be_last(first, [replace(second, host="one")])
    assert may_be_last(first, [replace(second, host="one", sha256=first.sha256)])
    assert not may_be_last(first, [replace(second, started_at=start + timedelta(days=2))])
