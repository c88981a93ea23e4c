"""The conformance suite for stores of versioned tables.

Subclass it in your tests; pytest runs every check on your store:

    class TestMyStore(StoreConformance):
        def store(self, folder):
            return MyStore(folder)
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from jobforge.errors import (
    JobforgeError,
    PublishConflictError,
    TableDamagedError,
    VersionNotFoundError,
)
from jobforge.storage.store import Change, Commit, DataFile, TableStore, Version

_START = datetime(2026, 1, 1, tzinfo=UTC)
_WRITERS = 8


def write_file(folder: Path, name: str, frame: pl.DataFrame) -> DataFile:
    """A data file in the folder of a table, not published yet."""
    path = folder / f"{name}.parquet"
    frame.write_parquet(path)
    return DataFile(path.name, frame.height, path.stat().st_size)


def commit(name: str, operation: str = "replace", **more: object) -> Commit:
    """What a version says of itself, for a batch and transition of that name."""
    about = {
        "operation": operation,
        "batch_id": name,
        "transition_id": f"transition of {name}",
        "started_at": _START,
        "published_at": _START + timedelta(seconds=1),
        **more,
    }
    return Commit.model_validate(about)


class StoreConformance:
    """What every store has to do. `tmp_path` is pytest's fixture."""

    def store(self, folder: Path) -> TableStore:
        """A store for the table in a folder, which is there."""
        raise NotImplementedError

    def test_a_new_table_has_nothing_published(self, tmp_path: Path) -> None:
        """Asking makes nothing."""
        store = self.store(tmp_path)
        assert store.latest() is None
        assert store.commits() == []
        with pytest.raises(VersionNotFoundError):
            store.version()
        assert list(tmp_path.iterdir()) == []

    def test_a_version_is_what_was_published(self, tmp_path: Path) -> None:
        """Rows, types, order, and what it says of itself."""
        store = self.store(tmp_path)
        frame = pl.DataFrame({"a": [3, 1, 2], "text": ["x", None, ""]})
        file = write_file(tmp_path, "one", frame)
        about = commit("one", content_hash="sha256:0", of_version=7)
        assert store.publish(Change(about, (file,), frame.schema), None) == 1
        version = store.version()
        assert (version.number, store.latest()) == (1, 1)
        assert version.commit.model_dump(exclude={"rows", "size_bytes", "files"}) == (
            about.model_dump(exclude={"rows", "size_bytes", "files"})
        )
        assert (version.commit.rows, version.commit.files) == (3, 1)
        assert version.commit.size_bytes == file.size_bytes
        assert_frame_equal(store.scan(version).collect(), frame)

    def test_every_version_stays_as_it_was(self, tmp_path: Path) -> None:
        """Other columns, more files, fewer files: earlier versions do not change."""
        store = self.store(tmp_path)
        frames = [pl.DataFrame({"a": [n]}) for n in range(3)]
        files = [write_file(tmp_path, str(n), frame) for n, frame in enumerate(frames)]
        other = pl.DataFrame({"b": [datetime(2026, 1, 1)], "a": ["text"]})  # noqa: DTZ001
        steps = [
            ((files[0],), frames[0]),
            ((files[0], files[1]), pl.concat(frames[:2])),
            ((write_file(tmp_path, "other", other),), other),
            ((files[2], files[0]), pl.concat([frames[2], frames[0]])),
            ((files[0],), frames[0]),
        ]
        for number, (wanted, frame) in enumerate(steps, start=1):
            change = Change(commit(f"batch {number}"), wanted, frame.schema)
            assert store.publish(change, store.latest()) == number
            again = self.store(tmp_path)
            for earlier, (_, expected) in enumerate(steps[:number], start=1):
                found = again.scan(again.version(earlier)).collect()
                assert_frame_equal(found, expected, check_row_order=earlier != 4)  # noqa: PLR2004
        assert [about.batch_id for _, about in store.commits()] == [
            f"batch {number}" for number in range(1, 6)
        ]
        assert [number for number, _ in store.commits()] == [1, 2, 3, 4, 5]

    def test_rows_of_appended_files_stand_in_the_order_of_the_appends(self, tmp_path: Path) -> None:
        """Also where two were published in one millisecond."""
        store = self.store(tmp_path)
        names = [f"{99 - n}" for n in range(12)]
        for name in names:
            frame = pl.DataFrame({"a": [name]})
            known = store.version().files if store.latest() else ()
            change = Change(commit(name), (*known, write_file(tmp_path, name, frame)), frame.schema)
            store.publish(change, store.latest())
        assert store.scan(store.version()).collect()["a"].to_list() == names

    def test_a_version_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        """By an error that says what there is."""
        store = self.store(tmp_path)
        _publish(store, tmp_path, "one")
        for number in (0, 2, -1):
            with pytest.raises(VersionNotFoundError, match=f"no version {number}"):
                store.version(number)

    def test_the_second_of_two_writers_is_refused(self, tmp_path: Path) -> None:
        """The first stays; nothing of the second is seen."""
        first, second = self.store(tmp_path), self.store(tmp_path)
        _publish(first, tmp_path, "one")
        base = second.latest()
        _publish(first, tmp_path, "two")
        frame = pl.DataFrame({"a": ["late"]})
        change = Change(commit("late"), (write_file(tmp_path, "late", frame),), frame.schema)
        with pytest.raises(PublishConflictError):
            second.publish(change, base)
        assert [about.batch_id for _, about in second.commits()] == ["one", "two"]
        assert second.scan(second.version()).collect()["a"].to_list() == ["two"]

    def test_one_of_many_writers_at_once_wins_each_number(self, tmp_path: Path) -> None:
        """Every version has one owner, and no writer is told that it won and did not."""
        won: list[tuple[int, str]] = []

        def work(name: str) -> None:
            store = self.store(tmp_path)
            frame = pl.DataFrame({"a": [name]})
            file = write_file(tmp_path, name, frame)
            while True:
                try:
                    change = Change(commit(name), (file,), frame.schema)
                    won.append((store.publish(change, store.latest()), name))
                except PublishConflictError:
                    continue
                return

        threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(_WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        store = self.store(tmp_path)
        assert sorted(won) == [(number, about.batch_id) for number, about in store.commits()]
        assert len(won) == _WRITERS
        assert store.scan(store.version()).collect()["a"].to_list() == [max(won)[1]]

    def test_a_file_that_is_missing_or_cut_is_named_with_the_version_that_opens(
        self, tmp_path: Path
    ) -> None:
        """Other versions still open."""
        store = self.store(tmp_path)
        for name in ("one", "two"):
            _publish(store, tmp_path, name)
        path = tmp_path / "two.parquet"
        whole = path.read_bytes()
        for damage in (lambda: path.write_bytes(whole[:-1]), path.unlink):
            damage()
            with pytest.raises(TableDamagedError, match=r"two\.parquet.*\n.*version 1 opens"):
                store.scan(store.version())
            assert store.scan(store.version(1)).collect()["a"].to_list() == ["one"]
        path.write_bytes(whole)
        assert store.scan(store.version()).collect()["a"].to_list() == ["two"]

    def test_nothing_unfinished_is_left(self, tmp_path: Path) -> None:
        """Neither by a publish nor by one that was refused."""
        store = self.store(tmp_path)
        _publish(store, tmp_path, "one")
        frame = pl.DataFrame({"a": ["late"]})
        change = Change(commit("late"), (write_file(tmp_path, "late", frame),), frame.schema)
        with pytest.raises(JobforgeError):
            store.publish(change, None)
        names = [path.name for path in tmp_path.rglob("*")]
        assert not [name for name in names if ".tmp" in name]


def _publish(store: TableStore, folder: Path, name: str) -> Version:
    """A version of one row that has the name of its batch."""
    frame = pl.DataFrame({"a": [name]})
    change = Change(commit(name), (write_file(folder, name, frame),), frame.schema)
    return store.version(store.publish(change, store.latest()))
