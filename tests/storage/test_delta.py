"""Tables on Delta Lake: types, names, odd folders, a damaged log, and what other readers see."""

from __future__ import annotations

import json
import shutil
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest
from deltalake import DeltaTable, QueryBuilder
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from jobforge.errors import PublishConflictError, TableDamagedError, WriteError
from jobforge.storage.delta import DeltaStore
from jobforge.storage.delta.log import LOG, entry_path
from jobforge.storage.delta.types import log_schema
from jobforge.storage.store import Change, Version
from jobforge.testing import StoreConformance
from jobforge.testing.stores import commit, write_file
from support import files_below


class TestDeltaStore(StoreConformance):
    def store(self, folder: Path) -> DeltaStore:
        return DeltaStore(folder)


class TestDeltaStoreInAFolderWithAnOddName(StoreConformance):
    """`deltalake` alone reads `%41` as `A`, and Polars' `scan_delta` fails on the rest."""

    def store(self, folder: Path) -> DeltaStore:
        return DeltaStore(folder)

    @pytest.fixture
    def tmp_path(self, tmp_path: Path) -> Path:
        odd = tmp_path / "dossier é 100% %41 [x] #1"
        odd.mkdir()
        return odd


def publish(folder: Path, name: str, frame: pl.DataFrame) -> Version:
    store = DeltaStore(folder)
    file = write_file(folder, name, frame)
    return store.version(store.publish(Change(commit(name), (file,), frame.schema), store.latest()))


SEEN = pl.DataFrame(
    {
        "text": ["a", None],
        "u8": pl.Series([255, None], dtype=pl.UInt8),
        "u16": pl.Series([65_535, None], dtype=pl.UInt16),
        "u32": pl.Series([4_294_967_295, None], dtype=pl.UInt32),
        "i8": pl.Series([-128, None], dtype=pl.Int8),
        "i64": pl.Series([-(2**63), None], dtype=pl.Int64),
        "f32": pl.Series([0.5, None], dtype=pl.Float32),
        "f64": [0.1, None],
        "yes": [True, None],
        "money": pl.Series([Decimal("1.25"), None], dtype=pl.Decimal(12, 2)),
        "day": [date(2026, 1, 31), None],
        "moment": [datetime(2026, 1, 31, 12, 0, 0, 123456), None],
        "millis": pl.Series([datetime(2026, 1, 31), None], dtype=pl.Datetime("ms")),
        "utc": pl.Series([datetime(2026, 1, 31), None], dtype=pl.Datetime("us", "UTC")),
        "bytes": [b"\x00\xff", None],
        "list": [[1, None], None],
        "struct": [{"x": 1, "y": "a"}, None],
    }
)
UNSEEN = pl.DataFrame(
    {
        "u64": pl.Series([2**64 - 1, None], dtype=pl.UInt64),
        "i128": pl.Series([2**100, None], dtype=pl.Int128),
        "clock": [time(1, 2, 3), None],
        "span": [timedelta(1), None],
        "enum": pl.Series(["b", None], dtype=pl.Enum(["b", "a"])),
        "array": pl.Series([[1, 2], None], dtype=pl.Array(pl.Int64, 2)),
        "nothing": pl.Series([None, None], dtype=pl.Null),
        "nanos": pl.Series([datetime(2026, 1, 31), None], dtype=pl.Datetime("ns")),
        "nested": pl.Series([[{"t": time(1)}], None], dtype=pl.List(pl.Struct({"t": pl.Time}))),
        "TEXT": ["same but for case", None],
        "a\nb": ["control character", None],
    }
)


def test_every_public_reader_sees_what_we_wrote(tmp_path: Path) -> None:
    publish(tmp_path, "old", pl.DataFrame({"x": [1]}))
    unseen = UNSEEN.drop("i128")  # Arrow has no such type: readers on Arrow refuse the whole file
    publish(tmp_path, "one", pl.concat([SEEN, unseen], how="horizontal"))
    version = DeltaStore(tmp_path).version()
    assert set(version.commit.left_out) == set(unseen.columns)
    seen = pl.scan_delta(str(tmp_path)).collect()
    assert seen.columns == SEEN.columns
    wide = SEEN.with_columns(
        pl.col("u8").cast(pl.Int16),
        pl.col("u16").cast(pl.Int32),
        pl.col("u32").cast(pl.Int64),
        pl.col("millis").cast(pl.Datetime("us")),
    )
    assert_frame_equal(seen, wide)
    table = DeltaTable(str(tmp_path))
    own = pl.DataFrame(QueryBuilder().register("t", table).execute("select * from t").read_all())
    assert own.rows() == SEEN.rows()
    files = [str(tmp_path / file.name) for file in version.files]
    with duckdb.connect() as session:
        names = ", ".join(f'"{name}"' for name in ("text", "u8", "u16", "u32", "i8", "i64", "day"))
        found = session.execute(f"select {names} from read_parquet(?)", [files]).fetchall()  # noqa: S608
    assert found == SEEN.select("text", "u8", "u16", "u32", "i8", "i64", "day").rows()
    panda = pd.concat(pd.read_parquet(file, columns=["text", "i64", "utc"]) for file in files)
    assert panda["text"].tolist()[0] == "a"
    assert panda["i64"].tolist()[0] == -(2**63)


def test_our_own_reader_gives_every_column_exactly(tmp_path: Path) -> None:
    frame = pl.concat([SEEN, UNSEEN], how="horizontal")
    version = publish(tmp_path, "one", frame)
    assert_frame_equal(DeltaStore(tmp_path).scan(version).collect(), frame)


NAMES = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    min_size=1,
    max_size=5,
    unique=True,
)


@settings(max_examples=30)
@given(names=NAMES)
def test_whatever_the_columns_are_called(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("table")
    frame = pl.DataFrame({name: [number] for number, name in enumerate(["_layer", *names])})
    version = publish(folder, "one", frame)
    assert_frame_equal(DeltaStore(folder).scan(version).collect(), frame)
    seen = pl.scan_delta(str(folder)).collect()
    assert set(seen.columns) == set(frame.columns) - set(version.commit.left_out)
    assert seen.rows() == frame.select(seen.columns).rows()


def test_columns_that_a_struct_cannot_tell_apart_are_left_out() -> None:
    kinds = {
        "case": pl.Struct({"a": pl.Int8, "A": pl.Int8}),
        "empty": pl.Struct({}),
        "inner": pl.Struct({"t": pl.Time}),
        "good": pl.Struct({"t": pl.List(pl.Date)}),
    }
    schema, left_out = log_schema(pl.Schema(kinds))
    assert set(left_out) == {"case", "empty", "inner"}
    assert [field.name for field in schema.fields] == ["good"]


def test_the_log_is_as_the_protocol_says_and_keeps_everything(tmp_path: Path) -> None:
    publish(tmp_path, "one", pl.DataFrame({"a": [1]}))
    publish(tmp_path, "two", pl.DataFrame({"a": [datetime(2026, 1, 1)]}))
    table = DeltaTable(str(tmp_path))
    assert table.protocol().min_reader_version == 3
    assert table.protocol().writer_features == ["timestampNtz"]
    kept = table.metadata().configuration
    assert kept["delta.enableExpiredLogCleanup"] == "false"
    assert kept["delta.logRetentionDuration"] == "interval 36500 days"
    assert [entry["jobforge"]["batch_id"] for entry in table.history()[:2]] == ["two", "one"]
    actions = [json.loads(line) for line in entry_path(tmp_path, 2).read_text().splitlines()]
    assert [action["add"]["path"] for action in actions if "add" in action] == ["two.parquet"]
    assert [action["remove"]["path"] for action in actions if "remove" in action] == ["one.parquet"]


def test_a_table_begins_as_deltalake_would_let_it_begin(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    publish(tmp_path / "ours", "one", pl.DataFrame({"x": [1]}))
    ours = DeltaTable(str(tmp_path / "ours"), version=0)
    theirs = DeltaTable.create(
        str(tmp_path / "theirs"), ours.schema(), configuration=ours.metadata().configuration
    )
    assert ours.protocol() == theirs.protocol()
    assert ours.protocol().min_writer_version == 7
    own = [first_actions(tmp_path / name) for name in ("ours", "theirs")]
    for actions in own:
        uuid.UUID(actions["metaData"].pop("id"))
        about = actions.pop("commitInfo")
        assert about["operation"] == "CREATE TABLE"
        for moment in (about["timestamp"], actions["metaData"].pop("createdTime")):
            assert 0 <= datetime.now(UTC).timestamp() - moment / 1000 < 600
        actions["metaData"]["schemaString"] = json.loads(actions["metaData"]["schemaString"])
    assert own[0] == own[1]


def first_actions(folder: Path) -> dict[str, Any]:
    lines = entry_path(folder, 0).read_text().splitlines()
    return {name: action for line in lines for name, action in json.loads(line).items()}


def test_a_table_of_a_thousand_versions(tmp_path: Path) -> None:
    store = DeltaStore(tmp_path)
    frame = pl.DataFrame({"a": [1]})
    file = write_file(tmp_path, "file", frame)
    shutil.copy(tmp_path / "file.parquet", tmp_path / "other.parquet")
    pair = (file, write_file(tmp_path, "other", frame))
    for number in range(1, 1_001):
        change = Change(commit(f"b{number}"), (pair[number % 2],), frame.schema)
        store.publish(change, store.latest())
    assert store.latest() == 1_000
    assert [about.batch_id for _, about in store.commits()] == [f"b{n}" for n in range(1, 1_001)]
    for number in (1, 2, 499, 1_000):
        version = store.version(number)
        assert [each.name for each in version.files] == [pair[number % 2].name]
        assert store.scan(version).collect().height == 1
    assert store.find("transition of b17") == 17
    # A checkpoint every 10 versions keeps an open short.
    assert len(list((tmp_path / LOG).glob("*.checkpoint.parquet"))) == 100
    assert pl.scan_delta(str(tmp_path), version=500).collect().height == 1


@pytest.mark.parametrize("damage", ["empty", "torn", "gone", "text"])
def test_a_damaged_entry_is_named_and_nothing_makes_it_worse(tmp_path: Path, damage: str) -> None:
    for name in ("one", "two", "three"):
        publish(tmp_path, name, pl.DataFrame({"a": [name]}))
    entry = entry_path(tmp_path, 3)
    whole = entry.read_bytes()
    if damage == "gone":
        entry = entry_path(tmp_path, 2)
        whole = entry.read_bytes()
        entry.unlink()
    else:
        entry.write_bytes({"empty": b"", "torn": whole[:-20], "text": b"not json\n"}[damage])
    store = DeltaStore(tmp_path)
    before = files_below(tmp_path)
    with pytest.raises(TableDamagedError, match=entry.name):
        store.scan(store.version())
    frame = pl.DataFrame({"a": ["four"]})
    change = Change(commit("four"), (write_file(tmp_path, "four", frame),), frame.schema)
    with pytest.raises(TableDamagedError):
        store.publish(change, 3)
    (tmp_path / "four.parquet").unlink()
    assert files_below(tmp_path) == before
    good = 1 if damage == "gone" else 2
    assert store.scan(store.version(good)).collect()["a"].to_list() == [["one", "two"][good - 1]]
    entry.write_bytes(whole)
    assert store.scan(store.version()).collect()["a"].to_list() == ["three"]


def test_a_version_of_another_delta_writer_is_shown_as_such(tmp_path: Path) -> None:
    publish(tmp_path, "one", pl.DataFrame({"a": [1, 2]}))
    publish(tmp_path, "two", pl.DataFrame({"a": [1, 2, 3]}))
    DeltaTable(str(tmp_path)).restore(1)
    store = DeltaStore(tmp_path)
    assert store.commits()[-1][1].operation.startswith("external")
    assert store.scan(store.version()).collect()["a"].to_list() == [1, 2]


def test_the_same_number_cannot_be_given_twice(tmp_path: Path) -> None:
    publish(tmp_path, "one", pl.DataFrame({"a": [1]}))
    frame = pl.DataFrame({"a": [2]})
    change = Change(commit("two"), (write_file(tmp_path, "two", frame),), frame.schema)
    with pytest.raises(PublishConflictError, match="version 1"):
        DeltaStore(tmp_path).publish(change, None)


def test_a_file_that_stays_cannot_get_other_columns(tmp_path: Path) -> None:
    """An overwrite would take it away, whatever the change says."""
    kept = publish(tmp_path, "one", pl.DataFrame({"a": [1]})).files
    frame = pl.DataFrame({"b": ["x"]})
    change = Change(commit("two"), (*kept, write_file(tmp_path, "two", frame)), frame.schema)
    with pytest.raises(WriteError, match="other columns"):
        DeltaStore(tmp_path).publish(change, 1)
    assert DeltaStore(tmp_path).latest() == 1


def test_times_of_commits_are_utc(tmp_path: Path) -> None:
    assert publish(tmp_path, "one", pl.DataFrame({"a": [1]})).commit.started_at.tzinfo is not None
    assert commit("x").published_at > datetime(2026, 1, 1, tzinfo=UTC)
