"""Finding the reader for a file, and plugging in another one."""

from __future__ import annotations

import gzip
import importlib.metadata
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import openpyxl
import polars as pl
import pytest

from jobforge import PipelineConfig, PipelineEngine
from jobforge.errors import InvalidOptionError, SourceChangedError, UnknownFormatError
from jobforge.readers.base import ReadContext, ReadOptions, SourceTable
from jobforge.readers.csv import CsvOptions
from jobforge.readers.parse import parse_options
from jobforge.readers.registry import reader_for, readers
from jobforge.storage.source import SourceFile


class LinesOptions(ReadOptions):
    """Nothing to choose."""


class LinesReader:
    """A third party's reader: each line is a row."""

    name: ClassVar[str] = "lines"
    suffixes: ClassVar[tuple[str, ...]] = (".lines",)
    options: ClassVar[type[ReadOptions]] = LinesOptions

    def read(self, source: SourceFile, options: Any, context: ReadContext) -> SourceTable:
        del options, context
        lines = source.read_bytes().decode().splitlines()
        return SourceTable(pl.LazyFrame({"line": lines}), len(lines))


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("lines", f"{__name__}:LinesReader", "jobforge.readers")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point] if group else [])


def test_every_reader_has_endings_and_options_of_its_own() -> None:
    known = list(readers())
    assert [reader.name for reader in known] == [
        "csv",
        "json",
        "excel",
        "parquet",
        "ipc",
        "fixed-width",
    ]
    endings = [ending for reader in known for ending in reader.suffixes]
    assert len(endings) == len(set(endings))
    assert len({reader.options for reader in known}) == len(known)


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("a.csv", "csv"),
        ("A.CSV.GZ", "csv"),
        ("a.b.ndjson", "json"),
        ("a.xlsm", "excel"),
        ("a.parquet", "parquet"),
        ("a.feather", "ipc"),
        ("a.fwf", "fixed-width"),
    ],
)
def test_the_ending_chooses_the_reader(name: str, reader: str) -> None:
    assert reader_for(name, None).name == reader


def test_options_choose_the_reader_whatever_the_name() -> None:
    assert reader_for("a.dat", CsvOptions()).name == "csv"
    with pytest.raises(UnknownFormatError, match="name its format"):
        reader_for("a.dat", None)
    with pytest.raises(InvalidOptionError, match="CsvOptions"):
        reader_for("a.csv", LinesOptions())


@pytest.mark.usefixtures("plugged")
def test_a_reader_of_another_package_is_found_by_its_entry_point(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    path = tmp_path / "t.lines"
    path.write_text("one\ntwo\n")
    staged = engine.ingest(path, "t")["staged_path"]
    assert pl.read_parquet(staged)["line"].to_list() == ["one", "two"]
    assert reader_for("x", LinesOptions()).name == "lines"


def test_a_reader_that_counts_other_rows_than_it_gives_is_refused(
    engine: PipelineEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugged: None
) -> None:
    del plugged
    monkeypatch.setattr(
        LinesReader, "read", lambda *_: SourceTable(pl.LazyFrame({"line": ["x"]}), 2)
    )
    path = tmp_path / "t.lines"
    path.write_text("one\ntwo\n")
    with pytest.raises(Exception, match="does not balance"):
        engine.ingest(path, "t")
    assert not list(engine.config.staged_path().rglob("*.parquet"))


def test_a_source_that_changes_while_it_is_read_is_refused(
    engine: PipelineEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugged: None
) -> None:
    del plugged
    path = tmp_path / "t.lines"
    path.write_text("one\ntwo\n")
    read = LinesReader.read

    def read_and_write(*arguments: Any) -> SourceTable:
        table = read(*arguments)
        with path.open("a") as file:
            file.write("three\n")
        return table

    monkeypatch.setattr(LinesReader, "read", read_and_write)
    with pytest.raises(SourceChangedError, match="changed while it was read"):
        engine.ingest(path, "t")
    assert not list(engine.config.data_root.rglob("*.parquet"))


@pytest.mark.parametrize(
    "name", ["t.csv", "t.csv.gz", "t.ndjson", "t.parquet", "t.arrow", "t.xlsx"]
)
def test_long_reads_tell_how_far_they_are(tmp_path: Path, name: str) -> None:
    frame = pl.DataFrame({"a": ["x"] * 1000})
    path = tmp_path / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(frame.write_csv().encode()))
    elif name.endswith(".parquet"):
        frame.write_parquet(path)
    elif name.endswith(".xlsx"):
        book = openpyxl.Workbook()
        book.worksheets[0].append(["a"])
        book.save(path)
    elif name.endswith(".arrow"):
        frame.write_ipc(path)
    elif name.endswith(".ndjson"):
        frame.write_ndjson(path)
    else:
        frame.write_csv(path)
    seen: list[tuple[str, int, int | None]] = []
    engine = PipelineEngine(
        PipelineConfig(tmp_path / "root"), progress=lambda *step: seen.append(step)
    )
    engine.ingest(path, "t")
    assert seen
    what, done, _ = seen[-1]
    assert done > 0
    assert "t." in what or "unpacking" in what


def test_options_are_read_from_text() -> None:
    assert parse_options(["a.csv"], None, []) is None
    pairs = ["delimiter=;", "skip_lines=2", "header=false", 'names=["x","y"]']
    assert parse_options(["a.csv"], None, pairs) == CsvOptions(
        delimiter=";", skip_lines=2, header=False, names=("x", "y")
    )
    assert parse_options(["a.dat"], "csv", ["comment=["]) == CsvOptions(comment="[")
