"""What became of a record where its table was worked on, or it became several rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobforge import PipelineConfig, PipelineEngine, SourceRecord
from jobforge.pipeline.audit.traced import LayerFate


@pytest.fixture
def engine(tmp_path: Path) -> PipelineEngine:
    return PipelineEngine(PipelineConfig(tmp_path / "data"))


def write(tmp_path: Path, name: str, *rows: str) -> Path:
    path = tmp_path / name
    path.write_text("\n".join(["id,n", *rows]) + "\n")
    return path


def append(engine: PipelineEngine, path: Path) -> str:
    return engine.run_full_pipeline(path, "t", load="append")["batch_id"]


def gold_of(engine: PipelineEngine, file: str, record: int = 1) -> LayerFate:
    (found,) = engine.impact(file, record=record).records
    assert str(found.layers[-1].layer) == "gold"
    return found.layers[-1]


def test_rows_are_followed_into_compacted_files(engine: PipelineEngine, tmp_path: Path) -> None:
    append(engine, write(tmp_path, "a.csv", "1,5", "2,6"))
    append(engine, write(tmp_path, "b.csv", "3,5"))
    engine.compact("t", "gold")
    append(engine, write(tmp_path, "c.csv", "4,5"))
    assert gold_of(engine, "a.csv").current
    engine.compact("t", "gold")
    last = engine.run_full_pipeline(write(tmp_path, "d.csv", "9,5"), "t")["batch_id"]
    for name in ("a.csv", "b.csv", "c.csv"):
        fate = gold_of(engine, name)
        assert fate.current is False
        assert fate.replaced_by == f"version 6, replace by batch {last}"


@pytest.mark.parametrize(("file", "compacted"), [("a.csv", False), ("b.csv", True)])
def test_rows_are_followed_into_files_that_an_erasure_wrote(
    engine: PipelineEngine, tmp_path: Path, file: str, *, compacted: bool
) -> None:
    batch = append(engine, write(tmp_path, "a.csv", "1,5", "2,6"))
    append(engine, write(tmp_path, "b.csv", "3,5"))
    if compacted:
        engine.compact("t", "gold")
    engine.erase("t", [SourceRecord(batch, 2)], why="asked for")
    last = engine.run_full_pipeline(write(tmp_path, "d.csv", "9,5"), "t")["batch_id"]
    version = 5 if compacted else 4
    assert gold_of(engine, file).replaced_by == f"version {version}, replace by batch {last}"


def test_the_last_change_that_took_rows_away_is_told(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    engine.run_full_pipeline(write(tmp_path, "a.csv", "1,5"), "t")
    engine.run_full_pipeline(write(tmp_path, "b.csv", "2,5"), "t")
    engine.rollback("t", "gold", 1)
    assert gold_of(engine, "a.csv").current
    last = engine.run_full_pipeline(write(tmp_path, "c.csv", "3,5"), "t")["batch_id"]
    assert gold_of(engine, "a.csv").replaced_by == f"version 4, replace by batch {last}"
