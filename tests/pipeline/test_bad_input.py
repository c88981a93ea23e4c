"""Input that cannot be: each with its error, its record, and nothing half written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobforge import PipelineConfig, PipelineEngine
from jobforge.errors import (
    DataRootError,
    EmptySourceError,
    InvalidNameError,
    NotAJobforgeFileError,
    ReservedColumnError,
    SourceNotFoundError,
    SourceUnreadableError,
    UnknownFormatError,
    WrongLayerError,
)
from jobforge.pipeline import lineage
from jobforge.pipeline.models import TransitionStatus
from support import data, debris, files_below, write_csv

ROWS = [["a", "b"], ["1", "2"]]
NAMES = ["", "../x", "a/b", ".hidden", "-dash", "a b", "é", "x" * 129, "a\n", "..", None, 5]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_no_folder_are_refused_before_a_path_is_built(
    engine: PipelineEngine, tmp_path: Path, name: Any
) -> None:
    source = write_csv(tmp_path / "t.csv", ROWS)
    with pytest.raises(InvalidNameError, match="no name for a table"):
        engine.ingest(source, name)
    with pytest.raises(InvalidNameError, match="no name for a domain"):
        engine.run_full_pipeline(source, "t", domain=name)
    assert files_below(tmp_path) == ["t.csv"]


def test_sources_that_are_no_table_leave_a_failed_record_and_nothing_else(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "x.docx").write_text("hello")
    write_csv(tmp_path / "ours.csv", [["_batch_id"], ["1"]])
    cases: list[tuple[str, type[Exception], str]] = [
        ("missing.csv", SourceNotFoundError, "there is no file"),
        ("folder", SourceUnreadableError, "holds no file"),
        ("*.nope", SourceNotFoundError, "no file matches"),
        ("empty.csv", EmptySourceError, "is empty"),
        ("x.docx", UnknownFormatError, ".csv"),
        ("ours.csv", ReservedColumnError, "rename="),
    ]
    for number, (name, kind, said) in enumerate(cases, start=1):
        with pytest.raises(kind) as caught:
            engine.run_full_pipeline(tmp_path / name, "t")
        assert said in str(caught.value)
        records = list(lineage.all_records(engine.config))
        assert len(records) == number
        assert all(record.status is TransitionStatus.FAILED for record in records)
    assert not engine.config.staged_path().exists() or not files_below(engine.config.staged_path())
    assert not debris(tmp_path)


def test_a_file_with_a_header_only_is_a_table_without_rows(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    result = engine.run_full_pipeline(write_csv(tmp_path / "t.csv", ROWS[:1]), "t")
    frame = data(result["gold_path"])
    assert (frame.columns, frame.height) == (["a", "b"], 0)
    assert [log.row_count_out for log in result["logs"]] == [0, 0, 0, 0]


def test_paths_that_are_no_layer_file_are_refused(engine: PipelineEngine, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.parquet"
    pl.DataFrame({"a": [1]}).write_parquet(foreign)
    torn = tmp_path / "torn.parquet"
    torn.write_bytes(foreign.read_bytes()[:-5])
    strange = tmp_path / "strange.parquet"
    pl.DataFrame({"a": [1]}).lazy().sink_parquet(strange, metadata={"jobforge": '{"x": 1}'})
    for path, said in (
        (tmp_path / "missing.parquet", "there is no file"),
        (tmp_path, "is no file"),
        (foreign, "did not write"),
        (torn, "no readable Parquet"),
        (strange, "cannot be understood"),
    ):
        with pytest.raises(NotAJobforgeFileError, match=said):
            engine.promote_to_bronze(path)
    assert not engine.config.data_root.exists()


def test_a_file_of_another_layer_is_refused(engine: PipelineEngine, tmp_path: Path) -> None:
    result = engine.run_full_pipeline(write_csv(tmp_path / "t.csv", ROWS), "t")
    before = files_below(engine.config.data_root)
    with pytest.raises(WrongLayerError, match="is a gold file, and a staged file is needed"):
        engine.promote_to_bronze(result["gold_path"])
    with pytest.raises(WrongLayerError, match="is a staged file, and a bronze"):
        engine.promote_to_silver(result["staged_path"])
    with pytest.raises(WrongLayerError, match="is a bronze file, and a silver"):
        engine.promote_to_gold(result["bronze_path"])
    assert files_below(engine.config.data_root) == before


def test_a_data_root_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    source = write_csv(tmp_path / "t.csv", ROWS)
    engine = PipelineEngine(PipelineConfig(tmp_path / "file" / "root"))
    with pytest.raises(DataRootError, match="choose a data root"):
        engine.ingest(source, "t")


def test_the_source_is_never_written(engine: PipelineEngine, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "t.csv", ROWS)
    source.chmod(0o444)
    before = source.stat()
    engine.run_full_pipeline(source, "t")
    after = source.stat()
    assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)
    assert source.read_text() == "a,b\n1,2\n"
