"""Transitions whose process is gone, damage, moved roots, roots of other versions, odd machines."""

from __future__ import annotations

import ctypes
import json
import operator
import os
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from jobforge import PipelineConfig, PipelineEngine
from jobforge.errors import (
    JobforgeError,
    RecordError,
    TableDamagedError,
    WriteError,
)
from jobforge.pipeline import lineage, query, recovery
from jobforge.pipeline.config import Layer
from jobforge.pipeline.models import TransitionStatus
from jobforge.pipeline.records import RECORD_FORMAT
from jobforge.storage import publish, space
from jobforge.storage.debris import mark
from jobforge.storage.sync import sync_file
from support import debris, files_below, write_csv

LAYERS = ["bronze", "silver", "gold"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "in.csv", [["code", "pay"], ["a", "1"], ["b", "x"]])


def run(engine: PipelineEngine, source: Path, load: str = "replace") -> str:
    schema = {"cast": {"pay": "Int64"}}
    return engine.run_full_pipeline(source, "t", bronze_schema=schema, load=load)["batch_id"]


def as_killed(engine: PipelineEngine, batch: str, layer: str, **fields: Any) -> str:
    """Make the record of a finished transition that of a process that died before its outcome."""
    path = lineage.record_path(engine.config, batch)
    record = json.loads(path.read_text())
    log = next(log for log in record["transitions"] if log["target_layer"] == layer)
    log.update(status="running", completed_at=None, target_file=None, quarantine_file=None)
    log.update(table_version=None, **fields)
    path.write_text(json.dumps(record))
    transition: str = log["transition_id"]
    marker = engine.config.running_path() / recovery.marker_name(batch, transition)
    mark(marker).release()
    return transition


@pytest.mark.parametrize("layer", ["staged", *LAYERS])
def test_what_a_dead_transition_published_is_kept_and_named(
    engine: PipelineEngine, source: Path, layer: str
) -> None:
    batch = run(engine, source)
    transition = as_killed(engine, batch, layer)
    before = engine.read("t", layer).collect()
    run(engine, source, load="append")
    record = lineage.load(engine.config, batch)
    assert record is not None
    log = next(log for log in record.transitions if log.transition_id == transition)
    assert log.status is TransitionStatus.FAILED
    assert log.target_file == f"{layer}/default/t/{batch}.parquet"
    assert log.table_version == (None if layer == "staged" else 1)
    assert (log.quarantine_file is not None) == (layer == "bronze")
    assert log.errors[0].code == "JF408"
    assert f"process {log.worker.pid} on {log.worker.host} ended" in log.errors[0].message
    assert "stays" in log.errors[0].message
    if layer != "staged":
        assert_frame_equal(engine.read("t", layer, 1).collect(), before)


def test_what_it_had_not_published_is_gone(engine: PipelineEngine, source: Path) -> None:
    batch = run(engine, source)
    places = "gold/default/t", "quarantine/gold/default/t"
    as_killed(
        engine,
        batch,
        "gold",
        transition_id="00000000-0000-4000-8000-000000000000",
        planned=[f"{place}/{batch}.2.parquet" for place in places],
    )
    # The version belongs to another transition now: that one's file stays.
    folder = engine.config.gold_path() / "default/t"
    loose = folder / f"{batch}.2.parquet"
    shutil.copy(folder / f"{batch}.parquet", loose)
    (folder / f".{batch}.2.parquet.0.tmp").write_bytes(b"half")
    run(engine, source, load="append")
    assert not loose.exists()
    assert (folder / f"{batch}.parquet").exists()
    assert debris(engine.config.data_root) == []
    record = lineage.load(engine.config, batch)
    assert record is not None
    log = record.transitions[-1]
    assert (log.status, log.target_file, log.table_version) == ("failed", None, None)
    assert "nothing of it was published" in log.errors[0].message


def test_a_living_transition_is_left_alone(engine: PipelineEngine, source: Path) -> None:
    batch = run(engine, source)
    as_killed(engine, batch, "gold")
    ((_, transition),) = recovery.running(engine.config)
    path = engine.config.running_path() / recovery.marker_name(batch, transition)
    path.unlink()
    alive = mark(path)
    run(engine, source)
    record = lineage.load(engine.config, batch)
    assert record is not None
    assert record.transitions[-1].status is TransitionStatus.RUNNING
    alive.release()
    run(engine, source)
    record = lineage.load(engine.config, batch)
    assert record is not None
    assert record.transitions[-1].status is TransitionStatus.FAILED


def test_a_record_that_cannot_be_read_stops_nobody_else(
    engine: PipelineEngine, source: Path
) -> None:
    batch = run(engine, source)
    as_killed(engine, batch, "gold")
    path = lineage.record_path(engine.config, batch)
    whole = path.read_text()
    path.write_text(whole[:100])
    run(engine, source)
    assert len(recovery.running(engine.config)) == 1
    with pytest.raises(RecordError, match=f"{batch}.json"):
        query.batches(engine.config)
    path.write_text(whole)
    run(engine, source)
    assert recovery.running(engine.config) == []


def test_ctrl_c_in_the_middle_of_a_computation_leaves_no_unfinished_file(
    config: PipelineConfig, source: Path
) -> None:
    """Polars raises such an interrupt, and Python the same one as the next function begins."""
    python = ctypes.pythonapi
    raised = partial(python.PyErr_SetNone, ctypes.py_object(KeyboardInterrupt))
    both: list[Callable[[], object]] = [python.PyErr_SetInterrupt, raised]

    def collect_all(*_: object, **__: object) -> None:
        deque(map(operator.call, both))  # no line of Python between

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pl, "collect_all", collect_all)
        with pytest.raises(KeyboardInterrupt):
            run(PipelineEngine(config), source)
    assert debris(config.data_root) == []


def interrupted_at(engine: PipelineEngine, source: Path, place: int, error: BaseException) -> int:
    """A run that is stopped at one of the moments when a file is put on the disk."""
    seen = 0

    def stop(path: Path) -> None:
        nonlocal seen
        seen += 1
        if seen == place:
            raise error
        sync_file(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publish, "sync_file", stop)
        patch.setattr(publish, "sync_folder", stop)
        try:
            run(engine, source, load="append")
        except (KeyboardInterrupt, SystemExit, JobforgeError):
            pass
        else:
            return 0
    return seen


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(1), OSError(28, "No space left on device")]
)
def test_an_interrupt_anywhere_leaves_no_unfinished_file(
    config: PipelineConfig, source: Path, error: BaseException
) -> None:
    engine = PipelineEngine(config)
    place, rows = 1, 0
    while interrupted_at(engine, source, place, error):
        assert debris(config.data_root) == []
        place += 1
        for layer in LAYERS:
            found = query.tables(config)
            if found and Layer(layer) in found[0].layers:
                versions = engine.history("t", layer)
                assert engine.read("t", layer).collect().height == versions[-1].about.rows
                rows = versions[-1].about.rows
    assert place > 35
    assert rows > 0
    run(engine, source, load="append")
    records = query.batches(config)
    assert all(record.status is not TransitionStatus.RUNNING for record in records)
    assert recovery.running(config) == []
    named = {
        (log.target_layer, log.table_version)
        for record in records
        for log in record.transitions
        if log.table_version
    }
    made = {(Layer(layer), v.number) for layer in LAYERS for v in engine.history("t", layer)}
    assert named == made


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    command = [str(shutil.which("mount")), "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, check=False).returncode:
        pytest.skip("this user may not mount a small file system")
    yield place
    subprocess.run([str(shutil.which("umount")), str(place)], check=True)


def test_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    engine = PipelineEngine(PipelineConfig(small_disk / "root"))
    small = write_csv(tmp_path / "small.csv", [["code", "pay"], ["a", "1"]])
    run(engine, small)
    noise = [[os.urandom(24).hex(), "1"] for _ in range(60_000)]
    large = write_csv(tmp_path / "large.csv", [["code", "pay"], *noise])
    with pytest.raises(WriteError, match="space"):
        run(engine, large)
    assert debris(small_disk) == []
    assert engine.read("t").collect()["code"].to_list() == ["a"]
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
    with pytest.raises(JobforgeError):
        run(engine, small)
    assert engine.read("t").collect()["code"].to_list() == ["a"]
    filler.unlink()
    run(engine, small, load="append")
    assert engine.read("t").collect()["code"].to_list() == ["a", "a"]
    assert debris(small_disk) == []
    assert recovery.running(engine.config) == []


def test_free_space_is_looked_at_before_a_large_write(
    engine: PipelineEngine, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(engine, source)
    monkeypatch.setattr(space, "LARGE_BYTES", 1)
    usage = type(shutil.disk_usage(source.parent))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 100, 0))
    with pytest.raises(WriteError, match="are free"):
        engine.promote_to_silver(engine.config.bronze_path() / "default/t" / _name(engine))


def _name(engine: PipelineEngine) -> str:
    (record,) = query.batches(engine.config)
    return f"{record.batch_id}.parquet"


CHILD = """
import resource, sys
from jobforge import PipelineEngine, PipelineConfig
from jobforge.errors import JobforgeError
from jobforge.pipeline import events
events.configure(quiet=True)
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
try:
    PipelineEngine(PipelineConfig(sys.argv[1])).run_full_pipeline(sys.argv[2], "t")
except JobforgeError as error:
    print(error.code)
"""


def test_a_limit_on_the_size_of_files(engine: PipelineEngine, tmp_path: Path) -> None:
    noise = [[os.urandom(24).hex()] for _ in range(20_000)]
    large = write_csv(tmp_path / "large.csv", [["code"], *noise])
    command = [sys.executable, "-c", CHILD, str(engine.config.data_root), str(large)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "JF305"
    assert debris(engine.config.data_root) == []
    (record,) = query.batches(engine.config)
    assert record.status is TransitionStatus.FAILED


READER = """
import os, sys
from jobforge import PipelineEngine, PipelineConfig
engine = PipelineEngine(PipelineConfig(sys.argv[1]))
def look():
    return engine.read("t").collect().height, len(engine.history("t")), engine.diff("t", 1, 2).same
look()  # loads every module while this user may still read them
if os.getuid() == 0:
    os.setuid(65534)
    assert not os.access(sys.argv[1], os.W_OK)
print(*look())
"""


def test_reading_needs_no_write_permission(
    engine: PipelineEngine, source: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        run(engine, source)
    before = files_below(engine.config.data_root)
    for folder in [engine.config.data_root, *engine.config.data_root.rglob("*")]:
        folder.chmod(0o555 if folder.is_dir() else 0o444)
    for parent in [tmp_path, *tmp_path.parents][:4]:
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    command = [sys.executable, "-c", READER, str(engine.config.data_root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["1", "2", "True"], done.stderr
    assert files_below(engine.config.data_root) == before


@pytest.mark.parametrize("name", ["other", "mit Leerzeichen é", "100% %41 [x]"])
def test_a_root_can_be_moved_and_copied(
    engine: PipelineEngine, source: Path, tmp_path: Path, name: str
) -> None:
    first = run(engine, source)
    run(engine, source, load="append")
    before = engine.read("t").collect()
    shutil.copytree(engine.config.data_root, tmp_path / "copy")
    shutil.move(engine.config.data_root, tmp_path / name)
    for place in (tmp_path / name, tmp_path / "copy"):
        moved = PipelineEngine(PipelineConfig(place))
        assert_frame_equal(moved.read("t").collect(), before)
        assert moved.read("t", version=1).collect().height == 1
        run(moved, source, load="append")
        moved.rollback("t", "gold", 1)
        assert moved.read("t").collect()["_batch_id"].to_list() == [first]
        assert str(tmp_path) not in (place / "catalog/tables/default/t.json").read_text()


def test_a_root_of_a_newer_jobforge_is_refused_by_name(
    engine: PipelineEngine, source: Path
) -> None:
    run(engine, source)
    path = engine.config.catalog_path() / "root.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "format_version": RECORD_FORMAT + 1, "more": 1}))
    before = files_below(engine.config.data_root)
    for use in (lambda: run(engine, source), lambda: engine.read("t"), engine.clean):
        with pytest.raises(RecordError, match=rf"root\.json has record format {RECORD_FORMAT + 1}"):
            use()
    assert files_below(engine.config.data_root) == before


def as_format_1(engine: PipelineEngine) -> None:
    """The root as a jobforge of record format 1 would have written it: plain files."""
    root = engine.config.data_root
    (root / "catalog/root.json").unlink()
    shutil.rmtree(root / "catalog/running")
    for log in root.rglob("_delta_log"):
        shutil.rmtree(log)
    for path in (root / "catalog").rglob("*.json"):
        record = json.loads(path.read_text())
        record["format_version"] = 1
        for state in record.get("layers", {}).values():
            del state["version"]
        for entry in record.get("transitions", ()):
            for name in ("operation", "removed", "added", "left_out"):
                del entry[name]
            del entry["worker"]["started_at"]
            entry["table_version"] = entry["content_hash"] = None
        path.write_text(json.dumps(record))


def test_a_root_of_an_older_jobforge_is_read_and_goes_on(
    engine: PipelineEngine, source: Path
) -> None:
    first = run(engine, source)
    before = engine.read("t").collect()
    as_format_1(engine)
    assert_frame_equal(engine.read("t").collect(), before)
    assert [record.batch_id for record in query.batches(engine.config)] == [first]
    assert engine.plan_clean(keep_versions=1).removable == ()
    run(engine, source, load="append")
    assert [v.about.operation for v in engine.history("t")] == ["adopt", "append"]
    assert_frame_equal(engine.read("t", version=1).collect(), before)
    assert engine.read("t").collect().height == 2
    root = json.loads((engine.config.catalog_path() / "root.json").read_text())
    assert root["format_version"] == RECORD_FORMAT


def test_a_damaged_file_is_named_with_the_version_that_opens(
    engine: PipelineEngine, source: Path
) -> None:
    run(engine, source)
    second = run(engine, source, load="append")
    path = engine.config.gold_path() / f"default/t/{second}.parquet"
    whole = path.read_bytes()
    before = files_below(engine.config.data_root)
    for damage in (whole[:-10], whole + b"x", b"", None):
        path.unlink() if damage is None else path.write_bytes(damage)
        for use in (
            lambda: engine.read("t"),
            lambda: engine.diff("t", 1, 2),
            lambda: engine.compact("t"),
        ):
            with pytest.raises(TableDamagedError, match=f"{second}.*\n.*version 1 opens"):
                use()
        assert engine.read("t", version=1).collect().height == 1
        assert debris(engine.config.data_root) == []
    path.write_bytes(whole)
    assert files_below(engine.config.data_root) == before
    assert engine.read("t").collect().height == 2
    # The way back that the error names.
    path.unlink()
    engine.rollback("t", "gold", 1)
    assert engine.read("t").collect().height == 1


def test_a_reader_meets_only_whole_versions_while_a_writer_rewrites(
    config: PipelineConfig, tmp_path: Path
) -> None:
    code = (
        "import sys\nfrom jobforge import PipelineEngine, PipelineConfig\n"
        "from jobforge.pipeline import events\nevents.configure(quiet=True)\n"
        "engine = PipelineEngine(PipelineConfig(sys.argv[1]))\n"
        "for n in range(15): engine.run_full_pipeline(sys.argv[2 + n % 2], 't', "
        "load=('replace', 'append')[n % 3 == 2])\n"
    )
    files = [
        write_csv(tmp_path / f"{name}.csv", [["code"], *([name] for _ in range(50))])
        for name in ("a", "b")
    ]
    engine = PipelineEngine(config)
    engine.run_full_pipeline(files[0], "t")
    seen = set()
    command = [sys.executable, "-c", code, str(config.data_root), *map(str, files)]
    with subprocess.Popen(command) as writer:
        while writer.poll() is None:
            for layer in LAYERS:
                found = engine.read("t", layer).collect()
                assert set(found.group_by("_batch_id").len()["len"]) == {50}
                seen.add(found.height)
            (table,) = query.tables(config)
            assert table.layers[Layer.GOLD].rows % 50 == 0
    assert writer.returncode == 0
    assert seen <= {50, 100}
    assert len(engine.history("t")) == 16


def test_files_are_put_on_the_disk_before_they_get_their_name(
    engine: PipelineEngine, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Record, rows, log entry, table, record, chain; each synced, then named, then known."""
    seen: list[tuple[str, str]] = []
    root = engine.config.data_root

    def watch(path: Path) -> None:
        if path.is_dir():
            seen.append(("folder", path.relative_to(root).as_posix()))
        else:
            seen.append(("file", path.name.lstrip(".").rsplit(".", 2)[0]))
        sync_file(path)

    staged = engine.ingest(source, "t")
    batch = staged["batch_id"]
    monkeypatch.setattr(publish, "sync_file", watch)
    monkeypatch.setattr(publish, "sync_folder", watch)
    engine.promote_to_bronze(staged["staged_path"])
    known = [entry for entry in seen if entry[1] not in {"bronze", "bronze/default", "."}]
    assert known == [
        ("file", f"{batch}.json"),
        ("folder", "catalog/lineage"),
        ("file", f"{batch}.parquet"),
        ("folder", "bronze/default/t"),
        ("folder", "bronze/default/t"),  # for the new folder of the log
        ("file", f"{0:020}.json"),
        ("folder", "bronze/default/t/_delta_log"),
        ("file", f"{1:020}.json"),
        ("folder", "bronze/default/t/_delta_log"),
        ("file", "t.json"),
        ("folder", "catalog/tables/default"),
        ("folder", "catalog"),  # for the new folder of the schemas
        ("folder", "catalog/schemas"),
        ("file", "t.json"),
        ("folder", "catalog/schemas/default"),
        ("file", f"{batch}.json"),
        ("folder", "catalog/lineage"),
        ("file", "00000002.json"),
        ("folder", "catalog/chain"),
    ]


def test_records_say_who_ran_a_transition(engine: PipelineEngine, source: Path) -> None:
    record = lineage.load(engine.config, run(engine, source))
    assert record is not None
    worker = record.transitions[0].worker
    assert worker.pid == os.getpid()
    assert worker.started_at is not None
    assert worker.started_at < datetime.now(UTC)
    assert pl.DataFrame({"pid": [worker.pid]}).height == 1
