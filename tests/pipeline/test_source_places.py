"""Where a source record stands, as long as its file, or a kept copy of it, is there."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobforge import PipelineConfig, PipelineEngine, SourceRecord
from jobforge.errors import (
    InvalidConfigError,
    JobforgeError,
    MalformedSourceError,
    RecordNotFoundError,
    WriteError,
)
from jobforge.pipeline import lineage, source_archive, source_places
from jobforge.pipeline.models import BatchRecord
from jobforge.pipeline.source_places import SourceState, find_places, find_records, find_source
from jobforge.readers.base import ReadContext, ReadOptions, SourceTable
from jobforge.readers.csv import CsvOptions
from jobforge.storage.source import hash_file
from support import debris, files_below

TEXT = 'id,note\n1,"two\nlines"\n2,plain\n'


def ingested(engine: PipelineEngine, source: Path | str, **options: Any) -> BatchRecord:
    return lineage.known(engine.config, engine.ingest(source, "t", **options)["batch_id"])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    path.write_text(TEXT)
    return path


@pytest.fixture
def keeping(tmp_path: Path) -> PipelineEngine:
    return PipelineEngine(PipelineConfig(tmp_path / "root", keep_source=True))


def test_the_record_says_how_a_source_was_read(engine: PipelineEngine, source: Path) -> None:
    source.write_bytes(b"\xef\xbb\xbfid;note\n1;x\n")
    (info,) = ingested(engine, source).sources
    assert info.reader == "csv"
    assert info.options is not None
    assert (info.options["delimiter"], info.options["encoding"]) == (";", "utf-8")
    assert CsvOptions(**info.options).quote == '"'
    assert info.detected == {"byte_order_mark": "utf-8", "structure": "regular"}
    assert (info.checkpoints, info.archived) == ((), None)


def test_a_record_of_an_older_jobforge_is_read(engine: PipelineEngine, source: Path) -> None:
    batch = ingested(engine, source).batch_id
    path = lineage.record_path(engine.config, batch)
    raw = json.loads(path.read_text())
    for name in ("reader", "options", "detected", "checkpoints", "archived", "folder"):
        del raw["sources"][0][name]
    path.write_text(json.dumps(raw))
    found = find_places(engine.config, lineage.known(engine.config, batch), "in.csv", [1])
    assert (found.source.state, found.places) == (SourceState.ORIGINAL, ())
    assert "older jobforge" in found.why


def test_records_and_lines_lead_to_each_other(engine: PipelineEngine, source: Path) -> None:
    record = ingested(engine, source)
    found = find_places(engine.config, record, "in.csv", [2, 1])
    assert [(p.first_line, p.last_line, p.raw) for p in found.places] == [
        (4, 4, "2,plain"),
        (2, 3, '1,"two\nlines"'),
    ]
    assert (found.source.state, found.source.verified) == (SourceState.ORIGINAL, "sha256")
    lines = [find_records(engine.config, record, "in.csv", line).records for line in range(1, 6)]
    assert list(map(list, lines)) == [[], [1], [1], [2], []]
    with pytest.raises(RecordNotFoundError, match="no record 3"):
        find_places(engine.config, record, "in.csv", [3])
    with pytest.raises(RecordNotFoundError, match=r"did you mean 'in\.csv'"):
        find_source(engine.config, record, "im.csv")


def test_numbers_are_those_of_the_rows_also_beside_rejects(
    engine: PipelineEngine, source: Path
) -> None:
    source.write_text("id,note\n1,a\nbad\n3,c\n")
    record = ingested(engine, source, read=CsvOptions(bad_rows="quarantine"))
    staged = pl.read_parquet(next(engine.config.staged_path().rglob("*.parquet")))
    rejects = pl.read_parquet(next(engine.config.quarantine_path().rglob("*.parquet")))
    numbers = [*staged["_source_row"], *rejects["_source_row"]]
    places = find_places(engine.config, record, "in.csv", numbers).places
    assert [place.raw for place in places] == ["1,a", "3,c", "bad"]


def test_a_relative_path_is_found_from_anywhere(
    engine: PipelineEngine, source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(source.parent)
    record = ingested(engine, "in.csv")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert find_source(engine.config, record, "in.csv").path == source


def changed(path: Path) -> None:
    path.write_text(TEXT.replace("plain", "other"))


def longer(path: Path) -> None:
    path.write_text(TEXT + "3,x\n")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def folder_and_all(path: Path) -> None:
    shutil.rmtree(path.parent)


@pytest.mark.parametrize(
    ("harm", "state"),
    [
        (Path.unlink, SourceState.MISSING),
        (changed, SourceState.CHANGED),
        (longer, SourceState.CHANGED),
        (folder, SourceState.CHANGED),
        (folder_and_all, SourceState.MISSING),
    ],
)
@pytest.mark.parametrize("kept", [False, True], ids=["not kept", "kept"])
def test_a_file_that_is_no_longer_what_it_was(
    tmp_path: Path, harm: Callable[[Path], object], state: SourceState, *, kept: bool
) -> None:
    engine = PipelineEngine(PipelineConfig(tmp_path / "root", keep_source=kept))
    path = tmp_path / "d" / "in.csv"
    path.parent.mkdir()
    path.write_text(TEXT)
    record = ingested(engine, path)
    harm(path)
    found = find_places(engine.config, record, "in.csv", [1])
    assert found.source.state is (SourceState.ARCHIVED if kept else state)
    assert found.source.why
    assert [place.raw for place in found.places] == (['1,"two\nlines"'] if kept else [])
    assert bool(found.why) is not kept


def test_a_large_file_is_told_by_size_and_time_unless_more_is_asked_for(
    engine: PipelineEngine, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_places, "ALWAYS_HASHED", 5)
    record = ingested(engine, source)

    def verified(*, verify: bool = False) -> tuple[str | None, SourceState]:
        found = find_source(engine.config, record, "in.csv", verify=verify)
        return found.verified, found.state

    assert verified() == ("size and time", SourceState.ORIGINAL)
    assert verified(verify=True) == ("sha256", SourceState.ORIGINAL)
    os.utime(source, (1, 1))  # copied, perhaps
    assert verified() == ("sha256", SourceState.ORIGINAL)
    stamp = record.sources[0].modified_at.timestamp()
    changed(source)
    assert verified() == (None, SourceState.CHANGED)
    os.utime(source, (stamp, stamp))
    assert verified(verify=True) == (None, SourceState.CHANGED)


@pytest.mark.parametrize("name", ["Orders 2024.CSV", "in.csv.gz", "v1.csv", "noending"])
def test_a_kept_source_is_the_file_byte_for_byte(
    keeping: PipelineEngine, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(TEXT.encode()) if name.endswith("gz") else TEXT.encode())
    options = CsvOptions() if name == "noending" else None
    record = ingested(keeping, path, read=options)
    (info,) = record.sources
    kept = keeping.config.data_root / (info.archived or "")
    ending = {"Orders 2024.CSV": ".csv", "in.csv.gz": ".csv.gz", "v1.csv": ".csv"}.get(name, "")
    assert kept.name == info.sha256 + ending
    assert kept.read_bytes() == path.read_bytes()
    assert kept.stat().st_ino != path.stat().st_ino
    path.unlink()
    found = find_places(keeping.config, record, name, [1])
    assert found.source.state is SourceState.ARCHIVED
    assert [place.raw for place in found.places] == ['1,"two\nlines"']
    assert debris(keeping.config.data_root) == []


def test_the_same_bytes_are_kept_once(keeping: PipelineEngine, source: Path) -> None:
    first, second = ingested(keeping, source), ingested(keeping, source)
    assert first.sources[0].archived == second.sources[0].archived
    assert len(files_below(keeping.config.sources_path())) == 1


def test_a_kept_source_that_was_altered_is_not_believed_and_kept_anew(
    keeping: PipelineEngine, source: Path
) -> None:
    record = ingested(keeping, source)
    kept = keeping.config.data_root / (record.sources[0].archived or "")
    text = kept.read_text()
    kept.write_text(text.replace("plain", "forge"))
    source.unlink()
    assert find_source(keeping.config, record, "in.csv").state is SourceState.MISSING
    source.write_text(TEXT)
    ingested(keeping, source)
    assert kept.read_text() == text


def test_a_large_kept_source_is_told_by_its_size(
    keeping: PipelineEngine, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_places, "ALWAYS_HASHED", 5)
    record = ingested(keeping, source)
    source.unlink()
    assert find_source(keeping.config, record, "in.csv").verified == "size"
    assert find_source(keeping.config, record, "in.csv", verify=True).verified == "sha256"


def test_a_source_that_cannot_be_kept_is_not_ingested(
    keeping: PipelineEngine, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping.config.data_root.mkdir()
    keeping.config.sources_path().write_text("in the way")
    with pytest.raises(JobforgeError):
        keeping.ingest(source, "t")
    assert not list(keeping.config.staged_path().rglob("*.parquet"))
    keeping.config.sources_path().unlink()

    def full(*_: object) -> str:
        raise WriteError("no space", hint="free some")

    monkeypatch.setattr(source_archive, "_copied", full)
    with pytest.raises(WriteError):
        keeping.ingest(source, "t")
    assert files_below(keeping.config.sources_path()) == []
    assert not list(keeping.config.staged_path().rglob("*.parquet"))
    monkeypatch.setattr(source_archive, "_copied", lambda *_: "0" * 64)
    with pytest.raises(JobforgeError, match="changed while it was read"):
        keeping.ingest(source, "t")


def test_an_erasure_takes_the_kept_source_too(
    keeping: PipelineEngine, source: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.csv"
    other.write_text("id,note\n9,z\n")
    result = keeping.run_full_pipeline([source, other], "t")
    record = lineage.known(keeping.config, result["batch_id"])
    kept, stays = (keeping.config.data_root / (i.archived or "") for i in record.sources)
    before = hash_file(kept)
    logs = keeping.erase("t", [SourceRecord(record.batch_id, 2, "in.csv")], "asked for")
    assert (kept.exists(), stays.exists()) == (False, True)
    (gone,) = [file for file in logs[0].removed if file.file.startswith("sources/")]
    assert gone.content_hash == f"sha256:{before}"
    assert "kept sources" in {note.topic for note in logs[0].notes}
    assert not any(file.file.startswith("sources/") for log in logs[1:] for file in log.removed)
    for path in (p for p in keeping.config.data_root.rglob("*") if p.is_file()):
        assert b"plain" not in path.read_bytes()
    source.unlink()
    assert find_source(keeping.config, record, "in.csv").state is SourceState.MISSING


def test_an_erasure_takes_what_others_had_kept_of_the_same_bytes(
    keeping: PipelineEngine, source: Path
) -> None:
    other = source.with_suffix(".txt")
    other.write_text(TEXT)
    keeping.ingest(other, "u")
    plain = PipelineEngine(replace(keeping.config, keep_source=False))
    record = ingested(plain, source)
    assert len(files_below(keeping.config.sources_path())) == 1
    plain.erase("t", [SourceRecord(record.batch_id, 1)], "asked for")
    assert files_below(keeping.config.sources_path()) == []


def test_an_erasure_that_breaks_off_leaves_no_kept_source_behind(
    keeping: PipelineEngine, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the kept file is gone, staged has the record, so that erasing again finds both."""
    record = ingested(keeping, source)
    erase = SourceRecord(record.batch_id, 2)
    kept = keeping.config.data_root / (record.sources[0].archived or "")

    class Stop(BaseException):
        pass

    def stop(*_: object) -> None:
        raise Stop

    for place in (
        "jobforge.pipeline.maintenance.erase.remove_files",
        "jobforge.storage.publish._put",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, stop)
            with pytest.raises(Stop):
                keeping.erase("t", [erase], "asked for")
    (log,) = keeping.erase("t", [erase], "asked for")
    assert not kept.exists()
    assert log.row_count_out == 1


def test_kept_sources_that_no_batch_names_go_once_they_are_a_day_old(
    keeping: PipelineEngine, source: Path
) -> None:
    record = ingested(keeping, source)
    kept = keeping.config.data_root / (record.sources[0].archived or "")
    loose = [kept.with_name("0" * 64 + end) for end in (".csv", ".tsv")]
    for path in loose:
        path.write_text("x")
    day = time.time() - 90_000
    for path in (kept, loose[0]):
        os.utime(path, (day, day))
    assert keeping.plan_clean().debris == (loose[0],)
    keeping.clean()
    assert [path.exists() for path in (kept, *loose)] == [True, False, True]


def test_the_kept_source_of_a_failed_ingest_goes(
    keeping: PipelineEngine, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("jobforge.pipeline.writing._checked_schema", lambda *_: 1 / 0)
        with pytest.raises(JobforgeError):
            keeping.ingest(source, "t")
    (record,) = lineage.all_records(keeping.config)
    kept = keeping.config.data_root / (record.sources[0].archived or "")
    day = time.time() - 90_000
    os.utime(kept, (day, day))
    assert keeping.plan_clean().debris == (kept,)


class Secretive(ReadOptions):
    """Options with a value that is no JSON."""

    split: Any = str.splitlines


class SecretiveReader:
    name = "secretive"
    suffixes = (".secret",)
    options = Secretive

    def read(self, source: Any, options: Secretive, context: ReadContext) -> SourceTable:
        del context
        lines = options.split(source.read_bytes().decode())
        return SourceTable(pl.LazyFrame({"line": lines}), len(lines))


def test_readers_of_others_may_keep_their_places_to_themselves(
    engine: PipelineEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.secret"
    path.write_text("one\ntwo\n")
    reader = SecretiveReader()
    monkeypatch.setattr("jobforge.readers.registry.readers", lambda: iter([reader]))
    record = ingested(engine, path)
    assert (record.sources[0].reader, record.sources[0].options) == ("secretive", None)
    assert "no JSON" in find_places(engine.config, record, "t.secret", [1]).why
    known = replace_options(record, {"rename": {}})
    assert "does not tell places" in find_places(engine.config, known, "t.secret", [1]).why
    unknown = replace_options(record, {"colour": "red"})
    assert "cannot be read again" in find_places(engine.config, unknown, "t.secret", [1]).why
    monkeypatch.undo()
    gone = find_records(engine.config, known, "t.secret", 1)
    assert "there is no format 'secretive'" in gone.why
    assert list(gone.records) == []


def replace_options(record: BatchRecord, options: dict[str, Any]) -> BatchRecord:
    (info,) = record.sources
    return record.model_copy(update={"sources": (info.model_copy(update={"options": options}),)})


def test_damage_behind_the_same_stamp_is_an_error_that_names_the_file(
    engine: PipelineEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_places, "ALWAYS_HASHED", 5)
    path = tmp_path / "in.csv.gz"
    path.write_bytes(gzip.compress(TEXT.encode()))
    record = ingested(engine, path)
    stamp = path.stat()
    path.write_bytes(b"\x1f\x8b" + bytes(stamp.st_size - 2))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    with pytest.raises(MalformedSourceError) as refusal:
        find_places(engine.config, record, "in.csv.gz", [1])
    assert refusal.value.place["file"] == str(path)


def test_keep_source_is_true_or_false(config: PipelineConfig) -> None:
    with pytest.raises(InvalidConfigError, match="keep_source"):
        replace(config, keep_source="yes")  # type: ignore[arg-type]
