"""Unfinished files that work left behind which was broken off while it tidied up."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from jobforge import PipelineConfig, PipelineEngine, SourceRecord
from jobforge.pipeline import query
from jobforge.storage.publish import create_held
from support import debris, write_csv

PLACES = [
    "staged/default/t",
    "bronze/default/t",
    "silver/default/t",
    "gold/default/t",
    "quarantine/bronze/default/t",
    "catalog/edges/silver/default/t",
    "catalog/groups/gold/default/t",
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "in.csv", [["code", "pay"], ["a", "1"], ["b", "x"]])


def run(engine: PipelineEngine, source: Path, table: str = "t") -> str:
    schema = {"cast": {"pay": "Int64"}}
    return engine.run_full_pipeline(source, table, bronze_schema=schema)["batch_id"]


def unfinished(config: PipelineConfig, place: str) -> Path:
    """Where jobforge would write a file of a batch."""
    folder = config.data_root / place
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f".{uuid.uuid4()}.parquet.{uuid.uuid4().hex}.tmp"


def leave(config: PipelineConfig, places: list[str] = PLACES) -> list[Path]:
    paths = [unfinished(config, place) for place in places]
    for path in paths:
        path.write_bytes(b"PAR1 raw rows")
    return paths


def named(engine: PipelineEngine) -> list[tuple[str, str]]:
    return [(finding.kind, finding.subject) for finding in engine.verify().findings]


def test_verify_names_what_was_left_behind_and_clean_removes_it(
    engine: PipelineEngine, source: Path
) -> None:
    run(engine, source)
    config = engine.config
    paths = leave(config, [*PLACES, "catalog/lineage", "catalog/chain"])
    names = {("unfinished", path.relative_to(config.data_root).as_posix()) for path in paths}
    assert set(named(engine)) == names
    assert set(engine.plan_clean().debris) == set(paths)
    engine.clean()
    assert debris(config.data_root) == []
    assert named(engine) == []


def test_what_a_living_process_writes_is_left_alone(engine: PipelineEngine, source: Path) -> None:
    run(engine, source)
    config = engine.config
    path = unfinished(config, PLACES[0])
    handle = create_held(path)
    path.write_bytes(b"PAR1 raw rows")
    new = unfinished(config, PLACES[0])
    new.touch()  # in the moment before its lock
    assert named(engine) == []
    assert engine.plan_clean().debris == ()
    new.unlink()
    run(engine, source)
    engine.clean()
    assert path.exists()
    os.close(handle)


def erase(engine: PipelineEngine, _: Path) -> None:
    record = SourceRecord(query.batches(engine.config)[0].batch_id, 1)
    engine.erase("t", [record], "a request")


@pytest.mark.parametrize("work", [run, erase])
def test_the_next_work_on_the_table_removes_it(
    engine: PipelineEngine, source: Path, work: Callable[[PipelineEngine, Path], object]
) -> None:
    run(engine, source)
    leave(engine.config)
    work(engine, source)
    assert debris(engine.config.data_root) == []


def test_a_scratch_folder_without_a_marker_goes(engine: PipelineEngine, source: Path) -> None:
    run(engine, source)
    scratch = engine.config.data_root / f".scratch.{uuid.uuid4()}.tmp"
    scratch.mkdir()
    (scratch / "rows.parquet").write_bytes(b"PAR1 raw rows")
    run(engine, source, "other")
    assert not scratch.exists()
