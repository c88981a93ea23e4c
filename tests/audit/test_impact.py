"""What became of a record where its table was worked on, or it became several rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobforge import PipelineConfig, PipelineEngine, SourceRecord, expect, keep
from jobforge.errors import RecordNotFoundError, TableDamagedError
from jobforge.pipeline.audit.traced import LayerFate
from jobforge.readers.csv import CsvOptions
from support import write_csv


@pytest.fixture
def engine(tmp_path: Path) -> PipelineEngine:
    return PipelineEngine(PipelineConfig(tmp_path / "data"))


def write(tmp_path: Path, name: str, *rows: str) -> Path:
    path = tmp_path / name
    path.write_text("\n".join(["id,n", *rows]) + "\n")
    return path


def split(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(pl.col("n").str.split("|")).explode("n")


def totals(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.group_by("id").agg(pl.len().alias("rows"))


GOOD = expect("good", pl.col("n") != "bad")


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


def test_rows_that_left_are_told_beside_those_that_stay(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    source = write(tmp_path, "a.csv", "1,5|6|bad", "2,7")
    steps: list[Any] = [split, GOOD]
    batch = engine.run_full_pipeline(source, "t", gold_transforms=steps)["batch_id"]
    fate = gold_of(engine, "a.csv")
    assert (fate.fate, fate.rows, fate.by) == ("row", 2, ())
    (left,) = fate.left
    assert (left.fate, left.by, left.rows, left.state) == ("quarantined", ("good",), 1, "open")
    assert left.file == f"quarantine/gold/default/t/{batch}.parquet"
    assert gold_of(engine, "a.csv", 2).left == ()
    engine.waive_rejects(batch, why="known", by="somebody")
    assert gold_of(engine, "a.csv").left[0].state == "waived"


def test_rows_that_left_in_several_ways_are_all_told(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    source = write(tmp_path, "a.csv", "1,bad|bad|worse", "2,7")
    better = expect("better", pl.col("n") != "worse")
    engine.run_full_pipeline(source, "t", gold_transforms=[split, GOOD, better])
    fate = gold_of(engine, "a.csv")
    assert (fate.fate, fate.rows, fate.by) == ("quarantined", 0, ("good",))
    assert [(left.by, left.rows) for left in fate.left] == [(("better",), 1)]


def test_what_left_before_the_rest_was_aggregated_is_told(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    source = write(tmp_path, "a.csv", "1,5|6|bad", "2,7|low")
    steps: list[Any] = [split, GOOD, keep("high", pl.col("n") != "low"), totals]
    engine.run_full_pipeline(source, "t", gold_transforms=steps, grain=["id"])
    first, second = (gold_of(engine, "a.csv", record) for record in (1, 2))
    assert (first.fate, first.keys) == ("aggregated", ({"id": "1"},))
    (left,) = first.left
    assert (left.fate, left.by, left.rows) == ("quarantined", ("good",), 1)
    assert (second.fate, second.keys) == ("aggregated", ({"id": "2"},))
    (left,) = second.left
    assert (left.fate, left.by, left.rows) == ("filtered", ("high",), None)


def jobforge(*words: str) -> str:
    command = [sys.executable, "-c", "from jobforge.cli.main import main; main()", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_command_shows_what_left(engine: PipelineEngine, tmp_path: Path) -> None:
    source = write(tmp_path, "a.csv", "1,5|6|bad", "2,7")
    engine.run_full_pipeline(source, "t", gold_transforms=[split, GOOD])
    asked = ["impact", "a.csv:2", "--data-root", str(engine.config.data_root)]
    said = jobforge(*asked)
    assert "gold: 2 rows\n    besides, 1 row quarantined by good (does not hold), open\n" in said
    (record,) = json.loads(jobforge(*asked, "--json"))["records"]
    (left,) = record["layers"][-1]["left"]
    assert (left["fate"], left["by"], left["rows"]) == ("quarantined", ["good"], 1)


def test_a_record_beyond_the_end_of_its_file_is_refused(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    files = [write(tmp_path, "a.csv", "1,5", "2,6"), write(tmp_path, "b.csv", "3,5", "4,5,6", "5,")]
    files[1].write_text(files[1].read_text() + "6,7,8\n")
    engine.run_full_pipeline(files, "t", read=CsvOptions(bad_rows="quarantine"))
    assert gold_of(engine, "a.csv", 2).fate == "row"
    (found,) = engine.impact("b.csv", record=4).records
    assert [fate.fate for fate in found.layers] == ["quarantined"]
    for file, beyond, records in (("a.csv", 3, 2), ("a.csv", 4, 2), ("b.csv", 5, 4)):
        with pytest.raises(RecordNotFoundError, match=f"it has {records} records"):
            engine.impact(file, record=beyond)


def damage(path: Path) -> None:
    """Leave the length and the marks of a file, and make its footer unreadable."""
    data = path.read_bytes()
    path.write_bytes(data[:-40] + bytes(36) + data[-4:])


def test_a_damaged_file_of_another_batch_is_named(engine: PipelineEngine, tmp_path: Path) -> None:
    append(engine, write(tmp_path, "a.csv", "1,5", "2,6"))
    other = append(engine, write(tmp_path, "b.csv", "3,5"))
    damage(engine.config.gold_path() / "default" / "t" / f"{other}.parquet")
    with pytest.raises(TableDamagedError, match=f"/{other}.parquet cannot be read") as caught:
        engine.impact("a.csv", record=1)
    assert "jobforge verify" in caught.value.hint


def test_corrections_name_a_damaged_file_of_another_batch(tmp_path: Path) -> None:
    engine = PipelineEngine(PipelineConfig(tmp_path / "data", content_hashes=False))
    schema = {"cast": {"n": "Int64"}}

    def add(path: Path) -> str:
        return engine.run_full_pipeline(path, "t", bronze_schema=schema, load="append")["batch_id"]

    batch = add(write(tmp_path, "a.csv", "1,5", "2,x"))
    add(write(tmp_path, "b.csv", "3,5"))
    for layer in ("bronze", "silver", "gold"):
        engine.compact("t", layer)
    other = add(write(tmp_path, "c.csv", "7,5"))
    engine.clean(keep_versions=1)
    fixed = tmp_path / "fixed.csv"
    engine.export_rejects(batch, fixed)
    fixed.write_text(fixed.read_text().replace(",x,", ",6,", 1))
    damage(engine.config.gold_path() / "default" / "t" / f"{other}.parquet")
    with pytest.raises(TableDamagedError, match=f"/{other}.parquet cannot be read"):
        engine.replay_rejects(fixed, batch, schema)


def test_what_clean_removed_is_said_to_be_removed(engine: PipelineEngine, tmp_path: Path) -> None:
    first = write_csv(tmp_path / "first.csv", [["code"], ["a"]])
    second = write_csv(tmp_path / "second.csv", [["code"], ["b"]])
    for source in (first, second):
        engine.run_full_pipeline(source, "t")
    engine.clean(keep_versions=1)
    (record,) = engine.impact("first.csv", record=1).records
    assert [layer.fate for layer in record.layers] == ["row", "removed", "removed", "removed"]
