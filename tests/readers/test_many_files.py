"""Many files as one batch: each row keeps its file and its number in it."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from jobforge import PROVENANCE, PipelineEngine
from jobforge.errors import JobforgeError, MalformedSourceError, ReservedColumnError
from jobforge.readers.base import ReadOptions
from jobforge.readers.csv import CsvOptions
from support import write_csv

HEAD = ["k", "v"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    incoming = tmp_path / "in"
    incoming.mkdir()
    write_csv(incoming / "b.csv", [HEAD, ["3", "x"]])
    write_csv(incoming / "a.csv", [HEAD, ["1", ""], ["2", "y"]])
    return incoming


def rows(path: Path) -> list[tuple[str, str | None, str, int]]:
    frame = pl.read_parquet(path).select("k", "v", "_source_file", "_source_row")
    return [tuple(row) for row in frame.iter_rows()]


EXPECTED = [("1", None, "a.csv", 1), ("2", "y", "a.csv", 2), ("3", "x", "b.csv", 1)]


def test_a_folder_a_pattern_and_a_list_are_one_batch(engine: PipelineEngine, folder: Path) -> None:
    listed: list[Path | str] = [folder / "a.csv", str(folder / "b.csv")]
    for source in (folder, str(folder / "*.csv"), listed):
        result = engine.run_full_pipeline(source, "t")
        assert rows(result["gold_path"]) == EXPECTED
        log = result["logs"][0]
        assert log.source_files == ("a.csv", "b.csv")
        assert log.row_count_out == 3
        record = json.loads(
            (engine.config.catalog_lineage_path() / f"{result['batch_id']}.json").read_text()
        )
        assert [(info["name"], info["rows"]) for info in record["sources"]] == [
            ("a.csv", 2),
            ("b.csv", 1),
        ]


def test_a_list_keeps_its_order(engine: PipelineEngine, folder: Path) -> None:
    staged = engine.ingest([folder / "b.csv", folder / "a.csv"], "t")["staged_path"]
    assert [row[2] for row in rows(staged)] == ["b.csv", "a.csv", "a.csv"]


def test_equal_names_become_relative_paths(engine: PipelineEngine, tmp_path: Path) -> None:
    for year in ("2023", "2024"):
        (tmp_path / year).mkdir()
        write_csv(tmp_path / year / "x.csv", [HEAD, [year, "x"]])
    staged = engine.ingest(str(tmp_path / "20*" / "x.csv"), "t")["staged_path"]
    assert [row[2] for row in rows(staged)] == ["2023/x.csv", "2024/x.csv"]


def test_silver_tells_rows_of_different_files_apart(engine: PipelineEngine, folder: Path) -> None:
    def tidy(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(pl.col("v").fill_null("none"))

    result = engine.run_full_pipeline(folder, "t", silver_transforms=[tidy])
    assert rows(result["silver_path"])[0] == ("1", "none", "a.csv", 1)

    def forge(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(_source_file=pl.lit("a.csv"))

    def lose(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.drop("_source_file")

    for function in (forge, lose):
        with pytest.raises(JobforgeError) as caught:
            engine.promote_to_silver(result["bronze_path"], [function])
        assert caught.value.place["step"] == function.__name__


def test_gold_of_many_files_without_identity_names_them(
    engine: PipelineEngine, folder: Path
) -> None:
    def count(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.select(pl.len())

    gold = pl.read_parquet(
        engine.run_full_pipeline(folder, "t", gold_transforms=[count])["gold_path"]
    )
    assert gold["_source_file"].to_list() == ["a.csv, b.csv"]
    assert PROVENANCE is not None


def test_one_bad_file_fails_the_batch_and_is_named(engine: PipelineEngine, folder: Path) -> None:
    (folder / "c.csv").write_text("k,v\n1\n")
    with pytest.raises(MalformedSourceError) as caught:
        engine.ingest(folder, "t")
    assert str(caught.value.place["file"]).endswith("c.csv")
    assert caught.value.place["line"] == 2
    assert not engine.config.staged_path().exists() or not list(
        engine.config.staged_path().rglob("*.parquet")
    )


def test_other_columns_and_types_are_refused_by_file(engine: PipelineEngine, folder: Path) -> None:
    write_csv(folder / "c.csv", [["v", "k"], ["1", "2"]])
    with pytest.raises(MalformedSourceError, match=r"c\.csv are not those of a\.csv"):
        engine.ingest(folder, "t")
    (folder / "x.json").write_text('{"a": 1}')
    (folder / "y.json").write_text('{"a": null}')
    staged = engine.ingest([folder / "x.json", folder / "y.json"], "t")["staged_path"]
    assert pl.read_parquet(staged)["a"].to_list() == [1, None]
    (folder / "z.json").write_text('{"a": "1"}')
    with pytest.raises(MalformedSourceError, match=r"Int64 in x\.json and String in z\.json"):
        engine.ingest([folder / "x.json", folder / "z.json"], "t")


def test_a_file_named_twice_is_refused(engine: PipelineEngine, folder: Path) -> None:
    with pytest.raises(JobforgeError, match="named 2 times"):
        engine.ingest([folder / "a.csv", folder / ".." / "in" / "a.csv"], "t")
    with pytest.raises(JobforgeError, match="empty"):
        engine.ingest([], "t")


def test_bad_records_of_each_file_go_to_one_quarantine(
    engine: PipelineEngine, folder: Path
) -> None:
    (folder / "a.csv").write_text("k,v\n1,2\n3\n4,5\n")
    (folder / "b.csv").write_text('k,v\n"6,7\n8,9\n')
    result = engine.ingest(folder, "t", read=CsvOptions(bad_rows="quarantine"))
    log = result["log"]
    assert log.account is not None
    assert log.account.quarantined == {"read:fields": 1, "read:quote": 1}
    assert (log.account.rows_in, log.account.rows_out) == (5, 3)
    assert [row[2:] for row in rows(result["staged_path"])] == [
        ("a.csv", 1),
        ("a.csv", 3),
        ("b.csv", 2),
    ]
    rejects = pl.read_parquet(engine.config.data_root / str(log.quarantine_file))
    kept = rejects.select("_raw", "_line", "_source_file", "_source_row").rows()
    assert kept == [("3", 3, "a.csv", 2), ('"6,7', 2, "b.csv", 1)]


def test_a_file_whose_every_record_is_bad_is_a_table_without_rows(
    engine: PipelineEngine, folder: Path
) -> None:
    (folder / "a.csv").write_text("k,v\n1\n2\n")
    result = engine.ingest(folder / "a.csv", "t", read=CsvOptions(bad_rows="quarantine"))
    assert pl.read_parquet(result["staged_path"]).height == 0
    assert result["log"].account is not None
    assert result["log"].account.quarantined == {"read:fields": 2}


def test_columns_of_our_names_need_another(engine: PipelineEngine, folder: Path) -> None:
    write_csv(folder / "p.csv", [["_layer", "b"], ["1", "2"]])
    for read, said in (
        (None, "rename={'_layer': 'source_layer'}"),
        (ReadOptions(rename={"_layer": "_batch_id"}), "'_batch_id', a name that jobforge"),
        (ReadOptions(rename={"_layer": "b"}), "two columns would be called 'b'"),
        (ReadOptions(rename={"x": "y", "_layer": "z"}), "has no column 'x'"),
    ):
        with pytest.raises(ReservedColumnError) as caught:
            engine.ingest(folder / "p.csv", "t", read=read)
        assert said in str(caught.value)
    result = engine.ingest(folder / "p.csv", "t", read=ReadOptions(rename={"_layer": "layer"}))
    assert pl.read_parquet(result["staged_path"])["layer"].to_list() == ["1"]
    assert ("rename", "_layer is called layer") in [
        (note.topic, note.text) for note in result["log"].notes
    ]


def test_links_are_the_files_they_lead_to(engine: PipelineEngine, folder: Path) -> None:
    (folder / "link.csv").symlink_to(folder / "a.csv")
    with pytest.raises(JobforgeError, match="named 2 times"):
        engine.ingest(folder, "t")
    (folder / "link.csv").unlink()
    (folder / "dangling.csv").symlink_to(folder / "nothing.csv")
    with pytest.raises(JobforgeError, match="dangling"):
        engine.ingest(folder, "t")


def test_a_source_row_of_the_source_keeps_its_values(engine: PipelineEngine, folder: Path) -> None:
    path = folder / "own.csv"
    path.write_text("_source_row,b\n7,2\n\n8,3\n")
    read = CsvOptions(rename={"_source_row": "row"})
    staged = engine.ingest(path, "t", read=read)["staged_path"]
    assert pl.read_parquet(staged).select("row", "b", "_source_row").rows() == [
        ("7", "2", 1),
        ("8", "3", 2),
    ]
    with pytest.raises(ReservedColumnError, match="bad records cannot be kept out"):
        engine.ingest(path, "t", read=read.model_copy(update={"bad_rows": "quarantine"}))
