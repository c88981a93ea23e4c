"""Races, second interrupts and odd roots that once lost data or lied, each pinned down."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobforge import PipelineConfig, PipelineEngine, SourceRecord
from jobforge.errors import (
    InvalidOptionError,
    JobforgeError,
    PublishConflictError,
    RecordError,
    RecordNotFoundError,
    TableDamagedError,
    TransformError,
    VersionRemovedError,
)
from jobforge.pipeline import catalog, lineage, query, recovery
from jobforge.pipeline.audit.findings import Finding
from jobforge.pipeline.maintenance import erase as erase_module
from jobforge.pipeline.maintenance.begin import begin
from jobforge.pipeline.maintenance.clean import remove_files
from jobforge.pipeline.maintenance.source_records import Wanted
from jobforge.pipeline.models import TransitionStatus
from jobforge.storage import debris as debris_module
from jobforge.storage import publish
from jobforge.storage.delta import DeltaStore
from jobforge.storage.delta.log import entry_path
from jobforge.storage.store import Change
from jobforge.storage.sync import sync_folder
from pipeline.test_recovery import as_format_1, as_killed
from support import debris, files_below, write_csv

LAYERS = ["bronze", "silver", "gold"]


def run(engine: PipelineEngine, folder: Path, *codes: str, load: str = "replace") -> dict[str, Any]:
    source = write_csv(folder / "in.csv", [["code"], *([code] for code in codes)])
    return {**engine.run_full_pipeline(source, "t", load=load)}


def codes(engine: PipelineEngine, layer: str = "gold", version: int | None = None) -> list[str]:
    return engine.read("t", layer, version).collect()["code"].to_list()


def test_erase_in_a_root_of_format_1_keeps_every_other_row(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    batch = run(engine, tmp_path, "a", "b", "c")["batch_id"]
    as_format_1(engine)
    engine.erase("t", [SourceRecord(batch, 1)], "asked")
    for layer in ["staged", *LAYERS]:
        assert codes(engine, layer) == ["b", "c"]
    assert [v.about.operation for v in engine.history("t")] == ["adopt", "erase"]


@pytest.mark.parametrize("use", ["read", "history", "diff", "append", "erase", "compact"])
def test_a_log_that_is_gone_is_damage_and_no_new_beginning(
    engine: PipelineEngine, tmp_path: Path, use: str
) -> None:
    batch = run(engine, tmp_path, "a")["batch_id"]
    run(engine, tmp_path, "b", load="append")
    shutil.rmtree(engine.config.gold_path() / "default/t/_delta_log")
    before = files_below(engine.config.gold_path())
    uses: dict[str, Callable[[], object]] = {
        "read": lambda: engine.read("t"),
        "history": lambda: engine.history("t"),
        "diff": lambda: engine.diff("t", 1, 2),
        "append": lambda: run(engine, tmp_path, "c", load="append"),
        "erase": lambda: engine.erase("t", [SourceRecord(batch, 1)], "asked"),
        "compact": lambda: engine.compact("t"),
    }
    with pytest.raises(TableDamagedError, match=r"the log of .* is gone"):
        uses[use]()
    assert files_below(engine.config.gold_path()) == before


@pytest.mark.parametrize(
    "text", ['{"commitInfo":null}', '{"commitInfo":5}', '{"add":7}', '{"add":{"path":"x"}}', "[]"]
)
def test_an_entry_of_another_shape_stops_its_own_table_only(
    engine: PipelineEngine, tmp_path: Path, text: str
) -> None:
    run(engine, tmp_path, "a")
    entry = entry_path(engine.config.gold_path() / "default/t", 1)
    entry.write_text(text + "\n")
    with pytest.raises(TableDamagedError, match=entry.name):
        run(engine, tmp_path, "b", load="append")
    source = write_csv(tmp_path / "u.csv", [["code"], ["u"]])
    engine.run_full_pipeline(source, "u")
    assert engine.read("u").collect().height == 1
    with pytest.raises(TableDamagedError):
        engine.plan_clean()


def test_an_entry_that_others_built_on_is_never_taken_back(
    engine: PipelineEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(engine, tmp_path, "a")
    first, second = (run(engine, tmp_path, code) for code in ("b", "c"))
    engine.rollback("t", "gold", 1)
    begun: list[str] = []

    def interrupted(folder: Path) -> None:
        sync_folder(folder)
        log = engine.config.gold_path() / "default/t/_delta_log"
        if folder == log and entry_path(log.parent, 5).exists() and not begun:
            begun.append("once")
            engine.promote_to_gold(second["silver_path"], load="append")
            raise KeyboardInterrupt

    monkeypatch.setattr(publish, "sync_folder", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine.promote_to_gold(first["silver_path"], load="append")
    assert codes(engine) == ["a", "b", "c"]
    record = lineage.load(engine.config, first["batch_id"])
    assert record is not None
    log = record.transitions[-1]
    assert (log.status, log.table_version) == ("failed", 5)
    assert (engine.config.data_root / str(log.target_file)).exists()


def test_recovery_removes_only_what_the_dead_transition_planned(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    source = write_csv(tmp_path / "in.csv", [["code", "pay"], ["a", "1"], ["b", "x"]])
    schema = {"cast": {"pay": "Int64"}}
    staged = engine.ingest(source, "t")
    engine.promote_to_bronze(staged["staged_path"], schema)
    batch = staged["batch_id"]
    as_killed(engine, batch, "bronze")
    # Another promote of the batch died before it had a version.
    again = engine.promote_to_bronze(staged["staged_path"], schema)
    record = lineage.load(engine.config, batch)
    assert record is not None
    first = record.transitions[1]
    assert first.table_version == 1
    for log in (first, again["log"]):
        assert (engine.config.data_root / str(log.quarantine_file)).exists()
        assert (engine.config.data_root / str(log.target_file)).exists()
    assert first.quarantine_file != again["log"].quarantine_file
    assert len(set(record.transitions[1].planned) | set(again["log"].planned)) == 4


def test_a_layer_folder_may_be_a_link_to_another_disk(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    root = engine.config.data_root
    for name in ("gold", "quarantine"):
        (tmp_path / f"other-{name}").mkdir()
        root.mkdir(exist_ok=True)
        (root / name).symlink_to(tmp_path / f"other-{name}")
    batch = run(engine, tmp_path, "a", "b")["batch_id"]
    as_killed(engine, batch, "gold")
    run(engine, tmp_path, "c", load="append")
    record = lineage.load(engine.config, batch)
    assert record is not None
    assert record.transitions[-1].target_file == f"gold/default/t/{batch}.parquet"
    assert codes(engine) == ["a", "b", "c"]
    engine.erase("t", [SourceRecord(batch, 1)], "asked")
    assert codes(engine) == ["b", "c"]


def test_a_rollback_just_before_an_erasure_is_erased_from(
    engine: PipelineEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = run(engine, tmp_path, "secret", "b")["batch_id"]
    run(engine, tmp_path, "c")
    done: list[str] = []

    def late(*arguments: Any, **named: Any) -> Any:
        if not done:
            done.append("once")
            engine.rollback("t", "gold", 1)
        return begin(*arguments, **named)

    monkeypatch.setattr("jobforge.pipeline.maintenance.erase.begin", late)
    engine.erase("t", [SourceRecord(batch, 1)], "asked")
    assert codes(engine) == ["b"]


def test_nobody_erases_beside_a_promote(engine: PipelineEngine, tmp_path: Path) -> None:
    result = run(engine, tmp_path, "secret", "b")
    begun, free = threading.Event(), threading.Event()

    def waiting(lf: pl.LazyFrame) -> pl.LazyFrame:
        begun.set()
        free.wait(20)
        return lf

    thread = threading.Thread(
        target=lambda: engine.promote_to_gold(result["silver_path"], [waiting])
    )
    thread.start()
    assert begun.wait(20)
    record = SourceRecord(result["batch_id"], 1)
    with pytest.raises(PublishConflictError, match="is being worked on"):
        engine.erase("t", [record], "asked")
    free.set()
    thread.join()
    assert codes(engine) == ["secret", "b"]
    engine.erase("t", [record], "asked")
    assert codes(engine) == ["b"]
    assert b"secret" not in b"".join(
        path.read_bytes() for path in engine.config.data_root.rglob("*") if path.is_file()
    )


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(5, "Input/output error")])
def test_a_second_interrupt_leaves_the_transition_to_the_next_run(
    engine: PipelineEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
) -> None:
    result = run(engine, tmp_path, "a")
    save = lineage.record_log

    def fails(config: Any, log: Any, *more: Any) -> Any:
        if log.status is not TransitionStatus.RUNNING:
            raise error
        return save(config, log, *more)

    def broken(_: pl.LazyFrame) -> pl.LazyFrame:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(lineage, "record_log", fails)
        with pytest.raises((KeyboardInterrupt, JobforgeError, OSError)):
            engine.promote_to_gold(result["silver_path"], [broken])
    assert len(recovery.running(engine.config)) == 1
    run(engine, tmp_path, "b")
    assert recovery.running(engine.config) == []
    for record in query.batches(engine.config):
        assert record.status is not TransitionStatus.RUNNING


@pytest.mark.parametrize("layer", ["staged", "gold"])
def test_what_is_published_comes_into_the_catalog_after_all(
    engine: PipelineEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layer: str
) -> None:
    source = write_csv(tmp_path / "in.csv", [["code"], ["a"]])
    update = catalog.update

    def interrupted(config: Any, log: Any, state: Any) -> None:
        if state.layer == layer:
            raise KeyboardInterrupt
        update(config, log, state)

    with monkeypatch.context() as patch:
        patch.setattr(catalog, "update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.run_full_pipeline(source, "t")
    other = write_csv(tmp_path / "other.csv", [["x"], ["1"]])
    engine.ingest(other, "other")
    assert codes(engine, layer) == ["a"]
    assert recovery.running(engine.config) == []
    assert layer in catalog.find_table(engine.config, "t").layers


def test_clean_beside_a_writer_meets_no_half_made_version(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    run(engine, tmp_path, "a")
    stop = threading.Event()
    failures: list[BaseException] = []

    def look() -> None:
        while not stop.is_set():
            try:
                engine.clean(keep_versions=100)
            except BaseException as error:  # noqa: BLE001 - looked at below
                failures.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    for number in range(8):
        run(engine, tmp_path, str(number), load="append")
    stop.set()
    thread.join()
    assert failures == []
    assert len(codes(engine)) == 9


def test_a_resting_batch_is_kept_by_clean_also_after_an_erasure(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    run(engine, tmp_path, "a")
    source = write_csv(tmp_path / "in.csv", [["code"], ["secret"], ["open"]])
    staged = engine.ingest(source, "t")
    engine.promote_to_bronze(staged["staged_path"])
    logs = engine.erase("t", [SourceRecord(staged["batch_id"], 1)], "asked")
    (bronze,) = next(log for log in logs if log.target_layer == "bronze").added
    run(engine, tmp_path, "b")
    engine.clean(keep_versions=1)
    silver = engine.promote_to_silver(engine.config.data_root / bronze.file)
    assert pl.read_parquet(silver["silver_path"])["code"].to_list() == ["open"]


def test_an_erased_batch_can_be_appended_again(engine: PipelineEngine, tmp_path: Path) -> None:
    result = run(engine, tmp_path, "secret", "b")
    run(engine, tmp_path, "c", load="append")
    logs = engine.erase("t", [SourceRecord(result["batch_id"], 1)], "asked")
    (silver,) = next(log for log in logs if log.target_layer == "silver").added
    engine.promote_to_gold(engine.config.data_root / silver.file, load="append")
    assert sorted(codes(engine)) == ["b", "c"]


def test_one_record_named_twice_is_erased_once(engine: PipelineEngine, tmp_path: Path) -> None:
    batch = run(engine, tmp_path, "a", "b")["batch_id"]
    records = [SourceRecord(batch, 1), SourceRecord(batch, 1, "in.csv")]
    engine.erase("t", records, "asked")
    assert codes(engine) == ["b"]


def test_rows_that_may_still_hold_a_record_are_named(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    def forgetful(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(pl.lit(None, dtype=pl.Int64).alias("_source_row"))

    source = write_csv(tmp_path / "in.csv", [["code"], ["secret"], ["b"]])
    result = engine.run_full_pipeline(source, "t", gold_transforms=[forgetful])
    engine.promote_to_gold(result["silver_path"])
    logs = engine.erase("t", [SourceRecord(result["batch_id"], 1)], "asked")
    notes = {note.topic: note.text for note in logs[0].notes}
    assert f"gold/default/t/{result['batch_id']}.parquet" in notes["aggregates"]


def test_records_keep_no_value_that_polars_quotes(engine: PipelineEngine, tmp_path: Path) -> None:
    result = run(engine, tmp_path, "Alice Secret")

    def cast(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(pl.col("code").cast(pl.Int64))

    with pytest.raises(TransformError, match="Alice Secret"):
        engine.promote_to_gold(result["silver_path"], [cast])
    text = lineage.record_path(engine.config, result["batch_id"]).read_text()
    assert "Alice" not in text
    assert "out of 1 values" in text


@pytest.mark.parametrize("work", ["compact", "erase"])
def test_changed_bytes_get_no_new_file(engine: PipelineEngine, tmp_path: Path, work: str) -> None:
    batch = run(engine, tmp_path, *map(str, range(50)))["batch_id"]
    run(engine, tmp_path, "b", load="append")
    path = engine.config.gold_path() / f"default/t/{batch}.parquet"
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    uses: dict[str, Callable[[], object]] = {
        "compact": lambda: engine.compact("t"),
        "erase": lambda: engine.erase("t", [SourceRecord(batch, 1)], "asked"),
    }
    with pytest.raises(TableDamagedError):
        uses[work]()
    assert len(engine.history("t")) == 2
    assert debris(engine.config.data_root) == []


def test_the_key_of_a_diff_is_checked_in_shared_files_too(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    run(engine, tmp_path, "a")
    run(engine, tmp_path, "a", load="append")
    with pytest.raises(InvalidOptionError, match="stands twice"):
        engine.diff("t", 1, 2, key="code")
    for key in ([], [1], 1, [None], b"code"):
        with pytest.raises(InvalidOptionError):
            engine.diff("t", 1, 2, key=key)  # type: ignore[arg-type]
    run(engine, tmp_path, "b")
    assert engine.diff("t", 1, 3, key=["code", "code"]).added["code"].to_list() == ["b"]


def test_wrong_kinds_of_arguments_are_told_apart_from_damage(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    batch = run(engine, tmp_path, "a")["batch_id"]
    run(engine, tmp_path, "b")
    anything: Any
    for anything in (None, 1, b"t", {}, Path("t")):
        with pytest.raises(JobforgeError):
            engine.read(anything)
    for anything in (1.0, "1", True, {}):
        for use in (
            lambda value: engine.read("t", version=value),
            lambda value: engine.rollback("t", "gold", value),
            lambda value: engine.diff("t", value, 2),
        ):
            with pytest.raises(InvalidOptionError):
                use(anything)
    for anything in ("2026-01-01", 5, True):
        with pytest.raises(InvalidOptionError):
            engine.read("t", as_of=anything)
    for anything in ("3", 1.5, True, []):
        with pytest.raises(InvalidOptionError):
            engine.plan_clean(anything)
    for anything in (5, "30d", []):
        with pytest.raises(InvalidOptionError):
            engine.plan_clean(older_than=anything)
    assert engine.plan_clean(older_than=timedelta.max).removable == ()
    for anything in (None, "x", SourceRecord(batch, 1), [{}], [None], [(batch, 1)]):
        with pytest.raises(InvalidOptionError):
            engine.erase("t", anything, "asked")
    for anything in (None, 5, []):
        with pytest.raises(InvalidOptionError):
            engine.erase("t", [SourceRecord(batch, 1)], anything)
    for anything in ("1", 1.0, True, 0, 10**30):
        with pytest.raises(InvalidOptionError):
            SourceRecord(batch, anything)


def test_history_says_which_versions_open(engine: PipelineEngine, tmp_path: Path) -> None:
    for code in "abc":
        run(engine, tmp_path, code)
    engine.clean(keep_versions=1)
    assert [version.opens for version in engine.history("t")] == [False, False, True]


def test_an_error_in_a_later_layer_names_the_batch(engine: PipelineEngine, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "in.csv", [["code"], ["a"]])

    def broken(_: pl.LazyFrame) -> pl.LazyFrame:
        raise ValueError("no")

    with pytest.raises(TransformError) as caught:
        engine.run_full_pipeline(source, "t", gold_transforms=[broken])
    (record,) = query.batches(engine.config)
    assert caught.value.place["batch"] == record.batch_id


def test_frames_outlive_a_change_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    engine = PipelineEngine(PipelineConfig(Path("data")))
    run(engine, tmp_path, "a")
    frame = engine.read("t")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert frame.collect().height == 1


def test_two_first_appends_to_a_root_of_format_1_both_finish(
    engine: PipelineEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(engine, tmp_path, "a")
    as_format_1(engine)
    publish_version = DeltaStore.publish
    nested: list[str] = []

    def late(store: DeltaStore, change: Change, after: int | None) -> int:
        if change.commit.operation == "adopt" and not nested:
            nested.append("once")
            run(engine, tmp_path, "b", load="append")
        return publish_version(store, change, after)

    monkeypatch.setattr(DeltaStore, "publish", late)
    run(engine, tmp_path, "c", load="append")
    assert sorted(codes(engine)) == ["a", "b", "c"]
    assert (
        json.loads((engine.config.catalog_path() / "root.json").read_text())["format_version"] == 2
    )
    assert datetime.now(UTC) > engine.history("t")[0].about.published_at


def test_a_log_that_lost_its_newest_entry_is_damage(engine: PipelineEngine, tmp_path: Path) -> None:
    for code in "abc":
        run(engine, tmp_path, code)
    entry_path(engine.config.gold_path() / "default/t", 3).unlink()
    for use in (
        lambda: engine.read("t"),
        lambda: engine.read("t", version=3),
        lambda: engine.history("t"),
        lambda: engine.rollback("t", "gold", 1),
        lambda: run(engine, tmp_path, "d", load="append"),
    ):
        with pytest.raises(TableDamagedError, match=r"ends at version 2.*\n.*version 2 opens"):
            use()
    assert codes(engine, "gold", 2) == ["b"]
    assert engine.diff("t", 1, 2).added["code"].to_list() == ["b"]


def test_clean_leaves_the_last_version_that_opens(engine: PipelineEngine, tmp_path: Path) -> None:
    for code in "abc":
        last = run(engine, tmp_path, code)
    Path(last["gold_path"]).unlink()
    engine.clean(keep_versions=1)
    assert codes(engine, "gold", 2) == ["b"]
    engine.rollback("t", "gold", 2)
    assert codes(engine) == ["b"]


def test_files_of_others_in_a_table_folder_stop_no_erasure(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    batch = run(engine, tmp_path, "a", "b")["batch_id"]
    (engine.config.gold_path() / "default/t/notes.parquet").write_text("no Parquet")
    engine.erase("t", [SourceRecord(batch, 1)], "asked")
    assert codes(engine) == ["b"]


def test_tables_without_data_columns_differ_by_their_rows(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    def nothing(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.drop("code")

    for rows in (["a", "b"], ["a"]):
        source = write_csv(tmp_path / "in.csv", [["code"], *([row] for row in rows)])
        engine.run_full_pipeline(source, "t", gold_transforms=[nothing])
    found = engine.diff("t", 1, 2)
    assert (found.added.height, found.removed.height, found.same) == (0, 1, False)


@pytest.mark.parametrize("old", [False, True])
def test_a_name_is_never_used_twice(engine: PipelineEngine, tmp_path: Path, *, old: bool) -> None:
    first = run(engine, tmp_path, "a")
    if old:
        as_format_1(engine)
    run(engine, tmp_path, "b")
    engine.clean(keep_versions=1)

    def shouted(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(pl.col("code").str.to_uppercase())

    bronze = engine.promote_to_bronze(first["staged_path"])
    silver = engine.promote_to_silver(bronze["bronze_path"], [shouted])
    gold = engine.promote_to_gold(silver["silver_path"])
    assert codes(engine) == ["A"]
    assert gold["gold_path"].name == f"{first['batch_id']}.2.parquet"
    with pytest.raises(VersionRemovedError):
        engine.read("t", version=1)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_staged_opens_after_an_erasure_that_was_broken_off(
    engine: PipelineEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
) -> None:
    batch = run(engine, tmp_path, "secret", "b")["batch_id"]
    update = catalog.update

    def fails(config: Any, log: Any, state: Any, **more: Any) -> None:
        if state.layer == "staged":
            raise error
        update(config, log, state, **more)

    with monkeypatch.context() as patch:
        patch.setattr(catalog, "update", fails)
        with pytest.raises((KeyboardInterrupt, JobforgeError)):
            engine.erase("t", [SourceRecord(batch, 1)], "asked")
    source = write_csv(tmp_path / "u.csv", [["code"], ["u"]])
    engine.run_full_pipeline(source, "u")
    assert codes(engine, "staged") == ["b"]
    assert recovery.running(engine.config) == []


def test_a_damaged_table_record_stops_no_other_table(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    run(engine, tmp_path, "a")
    source = write_csv(tmp_path / "u.csv", [["code"], ["u"]])
    engine.run_full_pipeline(source, "u")
    (engine.config.catalog_tables_path() / "default/u.json").write_text("{")
    assert codes(engine) == ["a"]
    with pytest.raises(RecordError, match=r"u\.json"):
        engine.read("u")


def test_staged_is_the_newest_ingest_also_when_a_clock_went_back(
    config: PipelineConfig, tmp_path: Path
) -> None:
    for day, code in ((20, "a"), (10, "b")):
        now = datetime(2026, 1, day, tzinfo=UTC)
        run(PipelineEngine(config, clock=lambda at=now: at), tmp_path, code)  # type: ignore[misc]
    assert codes(PipelineEngine(config), "staged") == ["b"]


def test_versions_before_a_checkpoint_open_in_a_folder_with_a_percent_sign(
    tmp_path: Path,
) -> None:
    engine = PipelineEngine(PipelineConfig(tmp_path / "%41"))
    for number in range(27):
        run(engine, tmp_path, str(number))
    assert [codes(engine, "gold", number) for number in (1, 3, 27)] == [["0"], ["2"], ["26"]]


def test_an_interrupt_while_a_marker_is_made_leaves_none(
    engine: PipelineEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = run(engine, tmp_path, "a", "b")["batch_id"]

    def interrupted(_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(debris_module, "sync_folder", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(engine, tmp_path, "c")
    assert recovery.running(engine.config) == []
    engine.erase("t", [SourceRecord(batch, 1)], "asked")


@pytest.mark.parametrize("method", ["nameless", "hits"])
def test_an_erasure_whose_file_another_one_removes_is_refused_and_can_be_repeated(
    engine: PipelineEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    batch = run(engine, tmp_path, "a", "b", "c")["batch_id"]
    looked_at = getattr(Wanted, method)

    def after_another_one(wanted: Wanted, frame: pl.LazyFrame) -> Any:
        monkeypatch.setattr(Wanted, method, looked_at)
        before = looked_at(wanted, frame)
        engine.erase("t", [SourceRecord(batch, 1)], "asked first")
        looked_at(wanted, frame)
        return before

    monkeypatch.setattr(Wanted, method, after_another_one)
    with pytest.raises(PublishConflictError, match="removed while"):
        engine.erase("t", [SourceRecord(batch, 2)], "asked")
    engine.erase("t", [SourceRecord(batch, 2)], "asked again")
    assert [codes(engine, layer) for layer in ["staged", *LAYERS]] == [["c"]] * 4
    assert engine.verify().sound


def test_an_erasure_whose_found_file_is_gone_before_its_bytes_are_checked_is_refused(
    engine: PipelineEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = run(engine, tmp_path, "a", "b", "c")["batch_id"]
    check = Wanted.check

    def after_another_one(wanted: Wanted) -> None:
        monkeypatch.setattr(Wanted, "check", check)
        engine.erase("t", [SourceRecord(batch, 1)], "asked first")
        check(wanted)

    monkeypatch.setattr(Wanted, "check", after_another_one)
    with pytest.raises(PublishConflictError, match="removed while"):
        engine.erase("t", [SourceRecord(batch, 2)], "asked")
    engine.erase("t", [SourceRecord(batch, 2)], "asked again")
    assert [codes(engine, layer) for layer in ["staged", *LAYERS]] == [["c"]] * 4


def test_verify_beside_an_erasure_does_not_miss_what_that_removes(
    engine: PipelineEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = run(engine, tmp_path, "a", "b")["batch_id"]
    found: list[Finding] = []

    def and_verify(paths: Iterable[Path]) -> None:
        remove_files(paths)
        found.extend(engine.verify().findings)

    monkeypatch.setattr(erase_module, "remove_files", and_verify)
    engine.erase("t", [SourceRecord(batch, 1)], "asked")
    assert found == []
    assert engine.verify().sound


def test_two_erasures_at_once_leave_no_record_behind(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    source = write_csv(tmp_path / "in.csv", [["code"], *([str(n)] for n in range(2_000))])
    batch = engine.ingest(source, "t")["batch_id"]
    outcomes: list[str] = []

    def work(number: int) -> None:
        try:
            engine.erase("t", [SourceRecord(batch, number)], "asked")
            outcomes.append("erased")
        except PublishConflictError:
            outcomes.append("refused")

    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 2
    for number in (1, 2):
        with suppress(RecordNotFoundError):
            engine.erase("t", [SourceRecord(batch, number)], "asked again")
    assert codes(engine, "staged") == [str(n) for n in range(2, 2_000)]
    assert len(list(engine.config.staged_path().rglob("*.parquet"))) == 1
