"""Versions of bronze, silver and gold: loads, reads, time travel, diff, rollback, compaction."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from jobforge import Layer, PipelineConfig, PipelineEngine, SourceRecord
from jobforge.errors import (
    InvalidOptionError,
    PublishConflictError,
    SchemaMismatchError,
    TableNotFoundError,
    UnknownColumnError,
    VersionNotFoundError,
    WrongLayerError,
)
from jobforge.pipeline import lineage, query
from jobforge.pipeline.models import TransitionStatus
from jobforge.pipeline.results import PipelineResult
from jobforge.storage.delta import DeltaStore
from jobforge.storage.store import Change
from support import PROVENANCE, debris, files_below, write_csv

Run = Callable[..., PipelineResult]
LAYERS = ["bronze", "silver", "gold"]


class Clock:
    """A clock that goes where a test puts it, and a second further at each look."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(config: PipelineConfig, clock: Clock) -> PipelineEngine:
    return PipelineEngine(config, clock=clock)


@pytest.fixture
def run(engine: PipelineEngine, tmp_path: Path) -> Run:
    def run(*codes: str, load: str = "replace", table: str = "t", pay: str = "1") -> PipelineResult:
        rows = [["code", "pay"], *([code, pay] for code in codes)]
        source = write_csv(tmp_path / "in.csv", rows)
        return engine.run_full_pipeline(
            source, table, bronze_schema={"cast": {"pay": "Int64"}}, load=load
        )

    return run


def codes(engine: PipelineEngine, layer: str = "gold", version: int | None = None) -> list[str]:
    return engine.read("t", layer, version).collect()["code"].to_list()


def test_a_replace_becomes_the_table_and_an_append_joins_it(
    engine: PipelineEngine, run: Run
) -> None:
    run("a", "b")
    run("c", load="append")
    run("d", load="append")
    for layer in LAYERS:
        assert codes(engine, layer) == ["a", "b", "c", "d"]
        assert [v.about.operation for v in engine.history("t", layer)] == [
            "replace",
            "append",
            "append",
        ]
        assert [v.about.rows for v in engine.history("t", layer)] == [2, 3, 4]
        assert codes(engine, layer, 2) == ["a", "b", "c"]
    run("e")
    assert codes(engine) == ["e"]
    assert codes(engine, "gold", 3) == ["a", "b", "c", "d"]
    assert engine.read("t", "staged").collect()["code"].to_list() == ["e"]


def test_each_version_names_its_batch_transition_and_hash(engine: PipelineEngine, run: Run) -> None:
    logs = run("a")["logs"][1:]
    for log, layer in zip(logs, LAYERS, strict=True):
        (version,) = engine.history("t", layer)
        assert log.table_version == version.number == 1
        assert log.operation == "replace"
        assert (version.about.batch_id, version.about.transition_id) == (
            log.batch_id,
            log.transition_id,
        )
        assert version.about.content_hash == log.content_hash
        assert str(log.content_hash).startswith("sha256:")
    assert [log.inputs[0].version for log in logs] == [None, 1, 1]
    assert logs[0].worker.started_at is not None


def test_an_append_counts_its_own_rows_and_leaves_the_other_files_alone(
    engine: PipelineEngine, run: Run
) -> None:
    run("a", "b")
    folder = engine.config.gold_path()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}
    log = run("c", load="append")["logs"][-1]
    assert (log.row_count_in, log.row_count_out) == (1, 1)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    (table,) = query.tables(engine.config)
    assert table.layers[Layer.GOLD].rows == 3
    assert table.layers[Layer.STAGED].rows == 1


def test_an_append_of_other_columns_is_refused_and_changes_nothing(
    engine: PipelineEngine, run: Run, tmp_path: Path
) -> None:
    run("a")
    other = write_csv(tmp_path / "other.csv", [["code", "wage"], ["x", "1"]])
    staged = engine.ingest(other, "t")
    with pytest.raises(SchemaMismatchError, match="missing 'pay'; new 'wage'") as caught:
        engine.promote_to_bronze(staged["staged_path"], load="append")
    assert (caught.value.place["layer"], caught.value.place["table"]) == ("bronze", "t")
    again = engine.ingest(write_csv(tmp_path / "t.csv", [["code", "pay"], ["x", "1"]]), "t")
    with pytest.raises(SchemaMismatchError, match="pay is String, not Int64"):
        engine.promote_to_bronze(again["staged_path"], load="append")
    assert codes(engine, "bronze") == ["a"]
    record = lineage.load(engine.config, again["batch_id"])
    assert record is not None
    assert [log.status for log in record.transitions] == ["success", "failed"]
    assert debris(engine.config.data_root) == []


def test_a_batch_that_is_appended_again_takes_the_place_of_its_rows(
    engine: PipelineEngine, run: Run
) -> None:
    run("a")
    silver = run("b", load="append")["silver_path"]
    run("c", load="append")

    def shouted(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(pl.col("code").str.to_uppercase())

    engine.promote_to_gold(silver, [shouted], load="append")
    assert codes(engine) == ["a", "c", "B"]
    engine.compact("t")
    with pytest.raises(PublishConflictError, match="in a file with those of other batches"):
        engine.promote_to_gold(silver, load="append")
    assert codes(engine) == ["a", "c", "B"]


@pytest.mark.parametrize("option", [{"load": "merge"}, {"load": "x"}, {"on_conflict": "wait"}])
def test_a_load_that_there_is_not_is_refused(
    engine: PipelineEngine, tmp_path: Path, option: dict[str, str]
) -> None:
    source = write_csv(tmp_path / "t.csv", [["a"], ["1"]])
    with pytest.raises(InvalidOptionError, match="use '"):
        engine.run_full_pipeline(source, "t", **option)  # type: ignore[arg-type]
    assert not engine.config.data_root.exists()


def test_reading_back_in_time(engine: PipelineEngine, run: Run, clock: Clock) -> None:
    run("a")
    first = clock.now
    clock.now += timedelta(days=1)
    run("b")
    assert engine.read("t", as_of=first).collect()["code"].to_list() == ["a"]
    assert engine.read("t", as_of=clock.now).collect()["code"].to_list() == ["b"]
    with pytest.raises(VersionNotFoundError, match="no version at 2025"):
        engine.read("t", as_of=datetime(2025, 1, 1, tzinfo=UTC))
    with pytest.raises(InvalidOptionError, match="no time zone"):
        engine.read("t", as_of=datetime(2026, 1, 1))
    with pytest.raises(InvalidOptionError, match="both"):
        engine.read("t", version=1, as_of=first)
    with pytest.raises(VersionNotFoundError, match="it has 1 to 2"):
        engine.read("t", version=3)
    with pytest.raises(InvalidOptionError, match="staged has no versions"):
        engine.read("t", "staged", version=1)
    with pytest.raises(InvalidOptionError, match="staged has no versions"):
        engine.history("t", "staged")
    with pytest.raises(TableNotFoundError):
        engine.read("nobody")


def test_a_clock_that_goes_backwards_loses_no_version(
    engine: PipelineEngine, run: Run, clock: Clock
) -> None:
    run("a")
    noon = clock.now
    clock.now -= timedelta(days=30)
    run("b")
    run("c", load="append")
    assert codes(engine) == ["b", "c"]
    assert codes(engine, "gold", 1) == ["a"]
    # The later versions count from the latest time that was ever recorded.
    assert engine.read("t", as_of=noon).collect()["code"].to_list() == ["b", "c"]
    with pytest.raises(VersionNotFoundError):
        engine.read("t", as_of=clock.now)
    assert [v.number for v in engine.history("t")] == [1, 2, 3]


def test_a_rollback_is_a_new_version_that_names_the_old_one(
    engine: PipelineEngine, run: Run
) -> None:
    run("a", "b")
    run("c", load="append")
    before = files_below(engine.config.gold_path())
    log = engine.rollback("t", "gold", 1)
    assert codes(engine) == ["a", "b"]
    assert (log.operation, log.table_version, log.status) == ("rollback", 3, "success")
    assert log.inputs[0].version == 1
    assert (log.row_count_in, log.row_count_out) == (2, 2)
    assert engine.history("t")[-1].about.of_version == 1
    assert set(before) < set(files_below(engine.config.gold_path()))
    record = lineage.load(engine.config, log.batch_id)
    assert record is not None
    assert record.transitions == (log,)
    assert codes(engine, "gold", 2) == ["a", "b", "c"]
    engine.rollback("t", "gold", 2)
    assert codes(engine) == ["a", "b", "c"]
    assert codes(engine, "silver") == ["a", "b", "c"]
    (table,) = query.tables(engine.config)
    assert table.layers[Layer.GOLD].version == 4
    assert table.layers[Layer.GOLD].rows == 3


def test_a_rollback_to_other_columns(engine: PipelineEngine, tmp_path: Path) -> None:
    for name in ("a", "b"):
        source = write_csv(tmp_path / f"{name}.csv", [[name, "shared"], ["1", "2"]])
        engine.run_full_pipeline(source, "t")
    engine.rollback("t", "bronze", 1)
    assert engine.read("t", "bronze").collect().columns == ["a", "shared", *PROVENANCE]
    (table,) = query.tables(engine.config)
    assert table.layers[Layer.BRONZE].columns[0].name == "a"


def test_a_rollback_that_makes_no_sense_is_refused(engine: PipelineEngine, run: Run) -> None:
    run("a")
    run("b")
    with pytest.raises(InvalidOptionError, match="is the newest"):
        engine.rollback("t", "gold", 2)
    with pytest.raises(VersionNotFoundError):
        engine.rollback("t", "gold", 9)
    with pytest.raises(InvalidOptionError, match="staged has no versions"):
        engine.rollback("t", "staged", 1)
    engine.rollback("t", "gold", 1)
    with pytest.raises(InvalidOptionError, match="which is the newest"):
        engine.rollback("t", "gold", 1)
    assert len(engine.history("t")) == 3


def test_compaction_is_a_version_with_the_same_rows(engine: PipelineEngine, run: Run) -> None:
    for code in "abcd":
        run(code, load="append")
    before = engine.read("t").collect()
    log = engine.compact("t")
    assert_frame_equal(engine.read("t").collect(), before)
    last = engine.history("t")[-1].about
    assert (last.operation, last.files, last.of_version, last.rows) == ("compact", 1, 4, 4)
    assert (log.row_count_in, log.row_count_out) == (4, 4)
    assert len(log.inputs) == 4
    assert_frame_equal(engine.read("t", version=4).collect(), before)
    with pytest.raises(InvalidOptionError, match="one file already"):
        engine.compact("t")
    run("e", load="append")
    assert codes(engine) == ["a", "b", "c", "d", "e"]
    assert pl.scan_delta(str(engine.config.gold_path() / "default/t")).collect().height == 5


def test_a_compacted_file_is_no_batch_to_promote(engine: PipelineEngine, run: Run) -> None:
    run("a")
    run("b", load="append")
    log = engine.compact("t", "silver")
    with pytest.raises(WrongLayerError, match="rows of 2 batches"):
        engine.promote_to_gold(engine.config.data_root / str(log.target_file))


def test_differences_by_whole_rows(engine: PipelineEngine, run: Run) -> None:
    run("a", "a", "b")
    run("a", "b", "b", "c")
    run("d", load="append")
    found = engine.diff("t", 1, 2)
    assert sorted(found.added["code"].to_list()) == ["b", "c"]
    assert found.removed["code"].to_list() == ["a"]
    assert found.changed is None
    assert not found.same
    assert engine.diff("t", 2, 3).added["code"].to_list() == ["d"]
    assert engine.diff("t", 3, 2).removed["code"].to_list() == ["d"]
    engine.compact("t")
    assert engine.diff("t", 3, 4).same
    assert engine.diff("t", 2, 2).same


def test_differences_by_key(engine: PipelineEngine, tmp_path: Path) -> None:
    for rows in (
        [["a", "1", ""], ["b", "2", "x"], ["c", "3", "x"]],
        [["d", "4", "x"], ["c", "3", "x"], ["b", "9", "x"], ["a", "1", "now"]],
    ):
        source = write_csv(tmp_path / "t.csv", [["code", "pay", "note"], *rows])
        engine.run_full_pipeline(source, "t")
    found = engine.diff("t", 1, 2, key="code")
    assert found.added.rows() == [("d", "4", "x")]
    assert found.removed.rows() == []
    assert found.changed is not None
    assert found.changed.columns == ["code", "pay", "pay_before", "note", "note_before"]
    assert sorted(found.changed.rows(), key=str) == [
        ("a", "1", "1", "now", None),
        ("b", "9", "2", "x", "x"),
    ]
    with pytest.raises(UnknownColumnError, match="did you mean 'code'"):
        engine.diff("t", 1, 2, key="cod")
    with pytest.raises(InvalidOptionError, match="is null in 1 rows of version 1"):
        engine.diff("t", 1, 2, key=["note"])
    with pytest.raises(InvalidOptionError, match="stands twice in 3 rows of version 2"):
        engine.diff("t", 2, 1, key=["note"])


def test_differences_of_columns(engine: PipelineEngine, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "t.csv", [["*", "n", "old"], ["x", "1", "o"]])
    engine.run_full_pipeline(source, "t")
    source = write_csv(tmp_path / "t.csv", [["n", "*", "new"], ["1", "y", "o"]])
    engine.run_full_pipeline(source, "t", bronze_schema={"cast": {"n": "Int64"}})
    found = engine.diff("t", 1, 2)
    assert found.columns_added == {"new": "String"}
    assert found.columns_removed == {"old": "String"}
    assert found.columns_retyped == {"n": ("String", "Int64")}
    assert found.added.rows(named=True) == [{"*": "y"}]
    with pytest.raises(InvalidOptionError, match="another type in each"):
        engine.diff("t", 1, 2, key="n")


def promote_during(
    engine: PipelineEngine, paths: tuple[Path, Path], **options: str
) -> tuple[threading.Thread, list[BaseException], threading.Event]:
    """Begin a promote to gold that waits in its step until another one is through."""
    begun, free = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def waiting(lf: pl.LazyFrame) -> pl.LazyFrame:
        begun.set()
        free.wait(20)
        return lf

    def work() -> None:
        try:
            engine.promote_to_gold(paths[0], [waiting], **options)
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(20)
    return thread, failures, free


@pytest.mark.parametrize("on_conflict", ["fail", "retry"])
def test_the_earlier_start_loses_to_a_later_one_that_published_first(
    engine: PipelineEngine, run: Run, on_conflict: str
) -> None:
    first, second = run("a"), run("b")
    paths = first["silver_path"], second["silver_path"]
    thread, failures, free = promote_during(engine, paths, on_conflict=on_conflict)
    engine.promote_to_gold(paths[1])
    free.set()
    thread.join()
    (error,) = failures
    assert isinstance(error, PublishConflictError)
    assert second["batch_id"] in str(error)
    assert codes(engine) == ["b"]
    assert [v.about.batch_id for v in engine.history("t")][-1] == second["batch_id"]
    record = lineage.load(engine.config, first["batch_id"])
    assert record is not None
    assert record.transitions[-1].status is TransitionStatus.FAILED
    assert record.transitions[-1].target_file is None
    assert not (engine.config.gold_path() / f"default/t/{first['batch_id']}.2.parquet").exists()
    assert debris(engine.config.data_root) == []


@pytest.mark.parametrize("on_conflict", ["fail", "retry"])
def test_the_later_start_wins_only_when_asked(
    config: PipelineConfig, engine: PipelineEngine, run: Run, clock: Clock, on_conflict: str
) -> None:
    first, second = run("a"), run("b")
    clock.now += timedelta(hours=1)
    later = promote_during(
        engine, (second["silver_path"], second["silver_path"]), on_conflict=on_conflict
    )
    thread, failures, free = later
    early = PipelineEngine(config, clock=lambda: datetime(2026, 1, 1, 0, 30, tzinfo=UTC))
    early.promote_to_gold(first["silver_path"])
    free.set()
    thread.join()
    if on_conflict == "fail":
        assert isinstance(failures[0], PublishConflictError)
        assert first["batch_id"] in str(failures[0])
        assert codes(engine) == ["a"]
    else:
        assert failures == []
        assert codes(engine) == ["b"]
        assert len(engine.history("t")) == 4


@pytest.mark.parametrize("work", ["rollback", "compact", "erase"])
def test_work_on_a_table_that_moves_meanwhile_is_refused(
    engine: PipelineEngine, run: Run, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    batch = run("a")["batch_id"]
    run("b", load="append")
    publish = DeltaStore.publish
    others: list[str] = []

    def late(store: DeltaStore, change: Change, after: int | None) -> int:
        if change.commit.operation == work and not others:
            others.append(run("c", load="append")["batch_id"])
        return publish(store, change, after)

    monkeypatch.setattr(DeltaStore, "publish", late)
    before = len(list(engine.config.gold_path().rglob("*.parquet")))
    begin: dict[str, Callable[[], object]] = {
        "erase": lambda: engine.erase("t", [SourceRecord(batch, 1)], "asked"),
        "compact": lambda: engine.compact("t"),
        "rollback": lambda: engine.rollback("t", "gold", 1),
    }
    with pytest.raises(PublishConflictError) as caught:
        begin[work]()
    assert others[0] in str(caught.value)
    assert codes(engine) == ["a", "b", "c"]
    assert len(list(engine.config.gold_path().rglob("*.parquet"))) == before + 1
    assert debris(engine.config.data_root) == []
    (failed,) = [
        log
        for record in query.batches(engine.config)
        for log in record.transitions
        if log.status is TransitionStatus.FAILED
    ]
    assert (failed.operation, failed.removed, failed.added) == (work, (), ())
    if work == "erase":
        engine.erase("t", [SourceRecord(batch, 1)], "asked again")
        assert codes(engine) == ["b", "c"]


def test_two_appends_at_once_both_finish(engine: PipelineEngine, run: Run) -> None:
    run("a")
    one, two = run("b", load="append"), run("c", load="append")
    engine.rollback("t", "gold", 1)
    paths = one["silver_path"], two["silver_path"]
    thread, failures, free = promote_during(engine, paths, load="append")
    engine.promote_to_gold(paths[1], load="append")
    free.set()
    thread.join()
    assert failures == []
    assert codes(engine) == ["a", "c", "b"]
    assert [v.about.rows for v in engine.history("t")][-2:] == [2, 3]


def test_eight_writers_at_once(config: PipelineConfig, tmp_path: Path) -> None:
    outcomes: list[str] = []

    def work(number: int) -> None:
        engine = PipelineEngine(config)
        source = write_csv(tmp_path / f"{number}.csv", [["n"], [str(number)], [str(number)]])
        for load in ("append", "replace", "append"):
            try:
                engine.run_full_pipeline(source, "t", load=load)
                outcomes.append(load)
            except PublishConflictError as error:
                assert "published version" in str(error)  # noqa: PT017 - many threads
                outcomes.append("refused")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 24
    assert set(outcomes) <= {"append", "replace", "refused"}
    assert outcomes.count("append") == 16
    engine = PipelineEngine(config)
    for layer in LAYERS:
        for version in engine.history("t", layer):
            found = engine.read("t", layer, version.number).collect()
            assert found.height == version.about.rows
            # Never half of a batch.
            assert set(found.group_by("_batch_id").len()["len"]) == {2}
    (table,) = query.tables(config)
    for layer in LAYERS:
        newest = engine.history("t", layer)[-1]
        state = table.layers[Layer(layer)]
        assert (state.version, state.rows) == (newest.number, newest.about.rows)
    logs = [log for record in query.batches(config) for log in record.transitions]
    published = [log for log in logs if log.target_layer == "gold" and log.table_version]
    assert sorted(log.table_version or 0 for log in published) == [
        version.number for version in engine.history("t")
    ]
    assert debris(config.data_root) == []
    assert list(config.running_path().iterdir()) == []
