"""Clean and erase: what goes, what stays, what the records say."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from jobforge import PipelineConfig, PipelineEngine, SourceRecord
from jobforge.errors import (
    CastRejectedError,
    InvalidOptionError,
    RecordNotFoundError,
    TransformError,
    VersionRemovedError,
)
from jobforge.pipeline import lineage, query
from jobforge.pipeline.provenance import generate_batch_id
from jobforge.storage.source import hash_file
from support import debris, files_below, write_csv

SCHEMA = {"cast": {"pay": "Int64"}}
LAYERS = ["bronze", "silver", "gold"]


def run(engine: PipelineEngine, folder: Path, *codes: str, load: str = "replace") -> str:
    rows = [["code", "pay"], *(code.split(":") if ":" in code else [code, "1"] for code in codes)]
    source = write_csv(folder / "in.csv", rows)
    return engine.run_full_pipeline(source, "t", bronze_schema=SCHEMA, load=load)["batch_id"]


def codes(engine: PipelineEngine, layer: str = "gold", version: int | None = None) -> list[str]:
    return engine.read("t", layer, version).collect()["code"].to_list()


def age(path: Path, days: float) -> None:
    then = time.time() - days * 86_400
    os.utime(path, (then, then))


def test_by_itself_clean_keeps_every_version(engine: PipelineEngine, tmp_path: Path) -> None:
    for code in "abc":
        run(engine, tmp_path, code)
    before = files_below(engine.config.data_root)
    plan = engine.clean()
    assert plan.removable == ()
    assert files_below(engine.config.data_root) == before


def test_clean_shows_first_and_removes_what_no_retained_version_needs(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    run(engine, tmp_path, "a")
    run(engine, tmp_path, "b", load="append")
    run(engine, tmp_path, "c")
    run(engine, tmp_path, "d", load="append")
    before = files_below(engine.config.data_root)
    plan = engine.plan_clean(keep_versions=2)
    assert [(str(p.layer), p.versions, len(p.files)) for p in plan.removable] == [
        (layer, (1, 2), 2) for layer in LAYERS
    ]
    assert files_below(engine.config.data_root) == before
    hashes = {
        file: f"sha256:{hash_file(engine.config.data_root / file)}"
        for part in plan.removable
        for file in part.files
    }
    engine.clean(keep_versions=2)
    assert codes(engine) == ["c", "d"]
    assert codes(engine, "gold", 3) == ["c"]
    for number in (1, 2):
        with pytest.raises(VersionRemovedError, match=f"version {number} .* clean removed"):
            engine.read("t", "gold", number)
    with pytest.raises(VersionRemovedError):
        engine.rollback("t", "gold", 1)
    with pytest.raises(VersionRemovedError):
        engine.diff("t", 1, 3)
    logs = [
        log for record in query.batches(engine.config) for log in record.transitions if log.removed
    ]
    assert {gone.file: gone.content_hash for log in logs for gone in log.removed} == hashes
    assert len({log.batch_id for log in logs}) == 1
    assert engine.clean(keep_versions=2).removable == ()
    # The archive stays: every batch can still be made anew.
    assert len(list(engine.config.staged_path().rglob("*.parquet"))) == 4


def test_a_version_is_kept_as_long_as_it_was_the_newest_within_the_time(
    config: PipelineConfig, tmp_path: Path
) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    engine = PipelineEngine(config, clock=lambda: now)
    for day, code in enumerate("abc"):
        now = datetime(2026, 1, 1 + 10 * day, tzinfo=UTC)
        run(engine, tmp_path, code)
    now = datetime(2026, 1, 26, tzinfo=UTC)

    def going(**limits: int) -> tuple[int, ...]:
        days = limits.pop("days", None)
        span = timedelta(days) if days is not None else None
        parts = engine.plan_clean(older_than=span, **limits).removable
        return parts[-1].versions if parts else ()

    assert going(days=30) == ()
    assert going(days=15) == ()  # the first was the newest until the 11th
    assert going(days=14) == (1,)
    assert going(days=0) == (1, 2)
    assert going(days=0, keep_versions=2) == (1,)
    assert going(keep_versions=1) == (1, 2)


@pytest.mark.parametrize(
    "limits", [{"keep_versions": 0}, {"keep_versions": -1}, {"older_than": timedelta(-1)}]
)
def test_limits_that_make_no_sense_are_refused(
    engine: PipelineEngine, tmp_path: Path, limits: dict[str, int]
) -> None:
    run(engine, tmp_path, "a")
    with pytest.raises(InvalidOptionError):
        engine.clean(**limits)  # type: ignore[arg-type]


def test_a_batch_that_can_still_be_promoted_is_kept(engine: PipelineEngine, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "in.csv", [["code", "pay"], ["open", "1"]])
    run(engine, tmp_path, "a")
    staged = engine.ingest(source, "t")
    bronze = engine.promote_to_bronze(staged["staged_path"], SCHEMA)

    def broken(_: pl.LazyFrame) -> pl.LazyFrame:
        raise RuntimeError("broken")

    with pytest.raises(TransformError):
        engine.promote_to_silver(bronze["bronze_path"], [broken])
    run(engine, tmp_path, "b")
    engine.clean(keep_versions=1)
    assert bronze["bronze_path"].is_file()
    silver = engine.promote_to_silver(bronze["bronze_path"])
    engine.promote_to_gold(silver["silver_path"])
    run(engine, tmp_path, "c")
    engine.clean(keep_versions=1)
    assert not bronze["bronze_path"].exists()


def test_orphans_go_once_they_are_a_day_old(engine: PipelineEngine, tmp_path: Path) -> None:
    run(engine, tmp_path, "a")
    root = engine.config.data_root
    folder = root / "gold/default/t"
    young, old = (folder / f"{generate_batch_id()}.parquet" for _ in range(2))
    foreign = folder / "notes.parquet"
    loose = [folder / ".x.parquet.1.tmp", root / ".scratch.gone.tmp"]
    for path in (young, old, foreign, loose[0]):
        path.write_bytes(b"PAR1")
    loose[1].mkdir()
    for path in (old, foreign, *loose):
        age(path, 1.1)
    age(young, 0.9)
    plan = engine.clean()
    assert [list(part.files) for part in plan.removable] == [[f"gold/default/t/{old.name}"]]
    assert set(plan.debris) == set(loose)
    assert (young.exists(), foreign.exists(), old.exists()) == (True, True, False)
    assert debris(root) == []
    assert codes(engine) == ["a"]


def test_erased_records_are_nowhere(engine: PipelineEngine, tmp_path: Path) -> None:
    first = run(engine, tmp_path, "secret", "b", "hidden:x")
    run(engine, tmp_path, "c", load="append")
    engine.compact("t", "silver")
    run(engine, tmp_path, "d")
    engine.rollback("t", "gold", 2)
    root = engine.config.data_root
    before = {path: hash_file(path) for path in root.rglob("*.parquet")}
    logs = engine.erase("t", [SourceRecord(first, 1), SourceRecord(first, 3)], "request 2026-114")
    assert [str(log.target_layer) for log in logs] == ["staged", *LAYERS]
    assert codes(engine) == ["b", "c"]
    for path in root.rglob("*.parquet"):
        if "_delta_log" not in path.parts:
            frame = pl.read_parquet(path)
            assert not {"secret", "hidden"} & set(frame["code"].to_list())
            assert frame.height or "quarantine" in path.parts
    for path in (path for path in root.rglob("*") if path.is_file()):
        assert b"secret" not in path.read_bytes()
        assert b"hidden" not in path.read_bytes()
    for number in (1, 2, 4):
        with pytest.raises(VersionRemovedError, match="erase removed"):
            engine.read("t", "gold", number)
    assert codes(engine, "gold", 3) == ["d"]
    assert codes(engine, "silver") == ["d"]
    for log in logs:
        assert log.status == "success"
        for gone in log.removed:
            assert gone.content_hash == f"sha256:{before[root / gone.file]}"
            assert not (root / gone.file).exists()
        for new in log.added:
            assert new.content_hash == f"sha256:{hash_file(root / new.file)}"
            assert new.instead_of in {gone.file for gone in log.removed}
        topics = {note.topic: note.text for note in log.notes}
        assert topics["why"] == "request 2026-114"
        assert f"batch {first} record 1" in topics["erased"]
    account = logs[-1].account
    assert account is not None
    assert (account.rows_in, account.rows_out, account.dropped) == (3, 2, {"erase": 1})
    assert engine.read("t", "staged").collect()["code"].to_list() == ["d"]
    assert debris(root) == []


def test_what_is_left_of_an_erased_batch_can_be_promoted(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    batch = run(engine, tmp_path, "a", "b")
    logs = engine.erase("t", [SourceRecord(batch, 1, "in.csv")], "asked for")
    (staged,) = logs[0].added
    assert engine.read("t", "staged").collect()["code"].to_list() == ["b"]
    bronze = engine.promote_to_bronze(engine.config.data_root / staged.file, SCHEMA)
    assert bronze["batch_id"] == batch
    assert codes(engine, "bronze") == ["b"]


def test_what_cannot_be_erased_is_refused_and_nothing_changes(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    batch = run(engine, tmp_path, "a")
    for name in ("one", "two"):
        write_csv(tmp_path / "many" / f"{name}.csv", [["code"], [name]]) if (
            tmp_path / "many"
        ).exists() else (tmp_path / "many").mkdir()
        write_csv(tmp_path / "many" / f"{name}.csv", [["code"], [name]])
    many = engine.run_full_pipeline(tmp_path / "many", "many")["batch_id"]
    before = files_below(engine.config.data_root)
    with pytest.raises(RecordNotFoundError, match="record 2"):
        engine.erase("t", [SourceRecord(batch, 1), SourceRecord(batch, 2)], "asked")
    with pytest.raises(RecordNotFoundError, match=r"other\.csv"):
        engine.erase("t", [SourceRecord(batch, 1, "other.csv")], "asked")
    with pytest.raises(InvalidOptionError, match=r"source_file='one\.csv' or 'two\.csv'"):
        engine.erase("many", [SourceRecord(many, 1)], "asked")
    with pytest.raises(InvalidOptionError, match="a reason"):
        engine.erase("t", [SourceRecord(batch, 1)], " ")
    with pytest.raises(InvalidOptionError, match="needs the records"):
        engine.erase("t", [], "asked")
    assert files_below(engine.config.data_root) == before
    engine.erase("many", [SourceRecord(many, 1, "two.csv")], "asked")
    assert engine.read("many").collect()["code"].to_list() == ["one"]


def test_rows_that_no_longer_name_their_record_are_told_of(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    def total(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.select(pl.len().alias("people"))

    source = write_csv(tmp_path / "in.csv", [["code"], ["a"], ["b"]])
    batch = engine.run_full_pipeline(source, "t", gold_transforms=[total])["batch_id"]
    logs = engine.erase("t", [SourceRecord(batch, 1)], "asked")
    assert [str(log.target_layer) for log in logs] == ["staged", "bronze", "silver"]
    assert all("aggregates" in {note.topic for note in log.notes} for log in logs)
    assert engine.read("t").collect()["people"].to_list() == [2]


def test_rejects_of_a_batch_that_never_became_a_table_can_be_erased(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    source = write_csv(tmp_path / "in.csv", [["pay"], ["secret"], ["x"]])
    staged = engine.ingest(source, "t")
    with pytest.raises(CastRejectedError):
        engine.promote_to_bronze(staged["staged_path"], SCHEMA)
    engine.erase("t", [SourceRecord(staged["batch_id"], 1)], "asked")
    for path in engine.config.data_root.rglob("*.parquet"):
        assert pl.read_parquet(path)["pay"].to_list() == ["x"]
    record = lineage.load(engine.config, staged["batch_id"])
    assert record is not None
