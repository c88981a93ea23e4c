"""Whatever is changed in a data root behind jobforge's back, `verify` finds and names it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobforge import PipelineConfig, PipelineEngine, SourceRecord, deduplicate, expect, keep, trim
from jobforge.errors import DataRootError, InvalidOptionError, JobforgeError
from jobforge.pipeline import chain
from jobforge.pipeline.audit.findings import Verification
from jobforge.pipeline.models import BatchRecord
from jobforge.pipeline.source_archive import archive_name
from support import files_below

SILVER: list[Any] = [
    trim("kind"),
    expect("some", pl.col("n") > 3),
    keep("known", pl.col("n") < 90),
    deduplicate("id"),
]


def fill(folder: Path) -> PipelineEngine:
    """A root with rejects, edges, appends, a failure, a waiver, a rollback and an erasure."""
    source = folder / "t.csv"
    lines = "".join(f"{n % 40},{'abc'[n % 3]} ,{n if n != 9 else 'nine'}\n" for n in range(100))
    source.write_text("id,kind,n\n" + lines)
    engine = PipelineEngine(PipelineConfig(folder / "data", keep_source=True))
    schema = {"cast": {"id": "Int64", "n": "Int64"}}
    other = folder / "u.csv"
    other.write_text("id\n1\n")
    engine.ingest(other, "u")
    for load in ("replace", "append", "append"):
        batch = engine.run_full_pipeline(
            source, "t", bronze_schema=schema, silver_transforms=SILVER, load=load
        )["batch_id"]
    with pytest.raises(JobforgeError):
        engine.run_full_pipeline(source, "t", bronze_schema={"cast": {"gone": "Int64"}})
    engine.waive_rejects(batch, by="a clerk", why="known")
    engine.rollback("t", "gold", 1)
    engine.erase("t", [SourceRecord(batch_id=batch, source_row=30)], "asked for")
    return engine


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("whole")).config.data_root


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "data")
    return tmp_path / "data"


def looked_at(root: Path, **options: Any) -> Verification:
    return PipelineEngine(PipelineConfig(root)).verify(**options)


def one(root: Path, layer: str) -> Path:
    """The first file of a layer of the table that still stands, made by a run."""
    config = PipelineConfig(root)
    for number in chain.chain_numbers(config):
        entry = chain.ChainEntry.model_validate_json(chain.read_bytes(config, number))
        log = entry.log
        if log is None or log.target_file is None or log.table != "t":
            continue
        if log.target_layer == layer and log.contents and (root / log.target_file).exists():
            return root / log.target_file
    raise AssertionError(layer)


def test_what_nobody_touched_is_sound(whole: Path) -> None:
    before = {name: (whole / name).read_bytes() for name in files_below(whole)}
    found = looked_at(whole)
    assert found.findings == ()
    assert found.sound
    assert found.head == PipelineEngine(PipelineConfig(whole)).head()
    assert found.entries == len(list((whole / "catalog/chain").iterdir()))
    assert found.size_bytes == found.hashed_bytes > 0
    assert {name: (whole / name).read_bytes() for name in files_below(whole)} == before


def test_files_that_since_leaves_out_are_counted(whole: Path) -> None:
    found = looked_at(whole, since=3)
    assert found.unread_before == 3
    assert 0 < found.unread_files < found.files
    every = looked_at(whole)
    assert (every.unread_before, every.unread_files) == (None, 0)
    with pytest.raises(InvalidOptionError, match=f"the head is {every.entries}"):
        looked_at(whole, since=every.entries + 1)


def test_a_folder_without_a_catalog_is_no_data_root(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataRootError, match="is no data root"):
        looked_at(tmp_path / "photos")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_byte_anywhere_is_found(whole: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(files_below(whole)))
    path = whole / name
    content = path.read_bytes()
    position = data.draw(st.integers(0, len(content) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    path.write_bytes(
        content[:position] + bytes([content[position] ^ bit]) + content[position + 1 :]
    )
    try:
        if path.name == "root.json":  # a root that cannot be read is refused, or named
            try:
                named = {finding.subject for finding in looked_at(whole).findings}
            except JobforgeError as error:
                named = {name} if name in str(error) else set()
        else:
            named = {finding.subject for finding in looked_at(whole).findings}
    finally:
        path.write_bytes(content)
    assert name in named


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_that_is_gone_renamed_cut_or_new_is_found(whole: Path, data: st.DataObject) -> None:
    names = [name for name in files_below(whole) if not name.endswith("root.json")]
    path = whole / data.draw(st.sampled_from(names))
    content = path.read_bytes()
    how = data.draw(st.sampled_from(["gone", "renamed", "cut", "new"]))
    other = path.with_name("00000000-" + path.name)
    try:
        if how == "cut":
            path.write_bytes(content[: len(content) // 2])
        elif how == "new":
            other.write_bytes(content)
        else:
            path.rename(other)
            if how == "gone":
                other.unlink()
        named = {finding.subject for finding in looked_at(whole).findings}
    finally:
        other.unlink(missing_ok=True)
        path.write_bytes(content)
    wanted = {other} if how == "new" else {path, other} if how == "renamed" else {path}
    # Of the last entry that is gone the records know, whose transition nobody sealed then.
    if path.parent.name == "chain" and path == max(path.parent.iterdir()) and how != "cut":
        assert named
        return
    assert {file.relative_to(whole).as_posix() for file in wanted} <= named


def test_a_cell_is_named_by_its_column(root: Path) -> None:
    path = one(root, "gold")
    frame = pl.read_parquet(path)
    metadata = pl.read_parquet_metadata(path)
    changed = frame.with_columns(n=pl.when(pl.col("id") == 5).then(99).otherwise("n"))
    changed.write_parquet(path, metadata={"jobforge": metadata["jobforge"]})
    finding = looked_at(root).findings[0]
    assert (finding.kind, finding.subject) == ("changed", path.relative_to(root).as_posix())
    assert finding.message.endswith(": other values in n")


def test_rows_written_anew_are_told_from_other_rows(root: Path) -> None:
    path = one(root, "silver")
    pl.read_parquet(path).reverse().write_parquet(path)
    assert looked_at(root).findings[0].message.endswith("though its rows hold the same")


def test_a_kept_source_of_an_ingest_that_failed_is_no_finding(root: Path, tmp_path: Path) -> None:
    (tmp_path / "u.csv").write_text("id,n\n1\n")
    engine = PipelineEngine(PipelineConfig(root, keep_source=True))
    with pytest.raises(JobforgeError):
        engine.ingest(tmp_path / "u.csv", "u")
    data = b"id\n7\n"
    path = root / archive_name("t.csv", hashlib.sha256(data).hexdigest())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    assert looked_at(root).findings == ()
    path.write_bytes(b"id\n8\n")
    assert [finding.kind for finding in looked_at(root).findings] == ["unknown"]


def test_two_files_that_change_places_are_named(root: Path) -> None:
    first, second, *_ = sorted(root.glob("staged/default/t/*.parquet"))
    one_file, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one_file)
    found = looked_at(root).findings
    assert [finding.kind for finding in found] == ["changed"] * 2
    assert all("it has the bytes of staged/default/t/" in finding.message for finding in found)


def test_a_renamed_file_is_said_to_be_there(root: Path) -> None:
    path = one(root, "gold")
    path.rename(path.with_name("mine.parquet"))
    first, last = looked_at(root).findings[0], looked_at(root).findings[-1]
    assert first.message == "the file is missing: its bytes are in gold/default/t/mine.parquet"
    assert (last.kind, last.subject) == ("unknown", "gold/default/t/mine.parquet")


def rewritten(path: Path, change: Callable[[Any], None]) -> None:
    """A JSON file with something changed, in the form that jobforge writes."""
    said = json.loads(path.read_bytes())
    change(said)
    path.write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n")


def test_a_record_that_says_something_else_is_named(root: Path) -> None:
    batch = one(root, "silver").stem
    path = root / "catalog/lineage" / f"{batch}.json"

    def fewer(said: Any) -> None:
        said["transitions"][2]["row_count_out"] -= 1

    rewritten(path, fewer)
    finding = looked_at(root).findings[0]
    assert finding.kind == "record"
    assert finding.message == "the transition to silver has another row_count_out"


def test_an_entry_that_says_something_else_is_named_though_it_is_sealed_anew(root: Path) -> None:
    path = chain.chain_entry_path(PipelineConfig(root), 3)
    entry = chain.ChainEntry.model_validate_json(path.read_bytes())
    assert entry.log is not None
    forged = entry.model_copy(
        update={
            "log": entry.log.model_copy(update={"row_count_out": 1}),
            "seal": "0" * 64,
        }
    )
    path.write_bytes(forged.sealed())
    kinds = [(finding.kind, finding.entry) for finding in looked_at(root).findings]
    assert ("chain", 4) in kinds  # the next one was written after another
    assert ("account", 3) in kinds
    assert ("record", 3) in kinds


def forge(root: Path, first: int, change: Callable[[chain.ChainEntry], chain.ChainEntry]) -> None:
    """Write the chain anew from an entry on, each sealed and in its place."""
    config = PipelineConfig(root)
    for number in range(first, chain.newest_number(config) + 1):
        path = chain.chain_entry_path(config, number)
        entry = chain.ChainEntry.model_validate_json(path.read_bytes())
        if number == first:
            entry = change(entry)
        before = chain.chain_entry_path(config, number - 1).read_bytes() if number > 1 else b""
        previous = chain.sha256(before) if number > 1 else None
        made = entry.model_copy(update={"previous": previous, "seal": "0" * 64})
        path.write_bytes(made.sealed())


def test_a_chain_forged_to_its_end_is_told_by_a_head_that_was_kept(root: Path) -> None:
    kept = PipelineEngine(PipelineConfig(root)).head()
    assert kept is not None
    assert looked_at(root, against=kept.sha256).sound

    def other(entry: chain.ChainEntry) -> chain.ChainEntry:
        return entry.model_copy(update={"at": entry.at + timedelta(microseconds=1)})

    forge(root, chain.newest_number(PipelineConfig(root)), other)
    assert looked_at(root).sound  # by itself it is a chain
    (finding,) = looked_at(root, against=kept.sha256).findings
    assert finding.kind == "head"


@pytest.mark.parametrize("lie", ["row_count_out", "contents", "table_version"])
def test_a_log_that_lies_of_its_file_is_named_though_all_else_fits(root: Path, lie: str) -> None:
    config = PipelineConfig(root)
    batch = one(root, "gold").stem
    path = root / "catalog/lineage" / f"{batch}.json"
    record = BatchRecord.model_validate_json(path.read_bytes())
    log = next(log for log in record.transitions if log.target_layer == "gold")
    number = next(
        number
        for number in chain.chain_numbers(config)
        if log.transition_id.encode() in chain.read_bytes(config, number)
    )
    assert log.account is not None
    assert log.contents is not None
    assert log.row_count_out is not None
    fewer = log.row_count_out - 1
    lies: dict[str, dict[str, Any]] = {
        "row_count_out": {
            "row_count_out": fewer,
            "account": log.account.model_copy(
                update={"rows_out": fewer, "dropped": {"by_hand": 1}}
            ),
            "contents": log.contents.model_copy(update={"rows": fewer}),
        },
        "contents": {"contents": log.contents.model_copy(update={"columns": {"x": "0" * 16}})},
        "table_version": {"table_version": (log.table_version or 0) + 1},
    }
    forged = log.model_copy(update=lies[lie])
    path.write_bytes(record.with_log(forged).as_json())
    forge(root, number, lambda entry: entry.model_copy(update={"log": forged}))
    wanted = {"row_count_out": "count", "contents": "schema", "table_version": "version"}[lie]
    assert {finding.kind for finding in looked_at(root).findings} == {wanted}


def test_a_clock_that_was_put_back_is_named(root: Path) -> None:
    def earlier(entry: chain.ChainEntry) -> chain.ChainEntry:
        return entry.model_copy(update={"at": entry.at - timedelta(days=1)})

    forge(root, 5, earlier)
    findings = looked_at(root).findings
    assert {(finding.kind, finding.entry) for finding in findings} == {("clock", 5)}


def test_a_run_with_a_clock_that_was_put_back_is_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "u.csv").write_text("id\n1\n")
    engine = PipelineEngine(PipelineConfig(root), clock=lambda: datetime(2020, 1, 1, tzinfo=UTC))
    engine.ingest(tmp_path / "u.csv", "u")
    (finding,) = looked_at(root).findings
    assert finding.kind == "clock"
    assert finding.message.startswith("the clock went back: 2020-01-01")


def test_files_of_earlier_entries_are_not_read_again(root: Path) -> None:
    path = one(root, "staged")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert not looked_at(root).sound
    newest = chain.newest_number(PipelineConfig(root))
    found = looked_at(root, since=newest)
    assert found.sound
    assert found.hashed_bytes < found.size_bytes
    assert looked_at(root, since=datetime.now(UTC)).hashed_bytes == 0
    path.write_bytes(content[:-1])
    assert [f.kind for f in looked_at(root, since=newest).findings] == ["changed"]


def test_without_its_chain_nothing_is_sound(root: Path) -> None:
    shutil.rmtree(root / "catalog/chain")
    found = looked_at(root)
    assert found.head is None
    assert {finding.kind for finding in found.findings} == {"unknown"}
    assert len(found.findings) > 20


@pytest.mark.parametrize(
    "options",
    [
        {"since": 0},
        {"since": "1"},
        {"since": datetime(2026, 1, 1)},
        {"against": "3f"},
        {"against": "x" * 64},
    ],
)
def test_options_that_make_no_sense_are_refused(whole: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError):
        looked_at(whole, **options)


def test_what_is_no_data_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataRootError):
        looked_at(tmp_path / "none")


def test_writers_at_the_same_time_make_one_chain(tmp_path: Path) -> None:
    config = PipelineConfig(tmp_path / "data")

    def ingest(number: int) -> None:
        path = tmp_path / f"t{number}.csv"
        path.write_text(f"id\n{number}\n")
        PipelineEngine(config).run_full_pipeline(path, f"t{number}")

    def looking() -> Iterator[Verification]:
        for _ in range(5):
            yield looked_at(config.data_root)

    ingest(0)
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(ingest, number) for number in range(1, 9)]
        assert [found.findings for found in looking()] == [()] * 5
        for job in jobs:
            job.result()
    assert chain.chain_numbers(config) == list(range(1, 37))
    assert looked_at(config.data_root).sound
