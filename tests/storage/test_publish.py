"""Atomic publishing: whole or not at all, also when something gives way in between."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from jobforge.errors import DataRootError, PublishConflictError, WriteError
from jobforge.storage import publish
from jobforge.storage.debris import mark, scratch_folder, sweep, take_over, temporaries
from jobforge.storage.paths import batch_files, relative_to_root
from jobforge.storage.publish import Publication, publish_bytes
from jobforge.storage.rewrite import rewrite
from jobforge.storage.sync import file_lock
from jobforge.storage.sync import sync_file as sync
from support import files_below


def test_files_become_visible_together_and_no_debris_stays(tmp_path: Path) -> None:
    targets = [tmp_path / "a" / "one", tmp_path / "b" / "two"]
    with Publication() as publication:
        for target in targets:
            publication.reserve(target).write_text("x")
            assert not target.exists()
        publication.place()
        publication.keep()
    assert files_below(tmp_path) == ["a/one", "b/two"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_on_the_way_leaves_what_was_there(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "file"
    publish_bytes(target, b"before", replace=True)

    def half_way() -> None:
        with Publication() as publication:
            publication.reserve(target).write_text("after")
            raise error

    with pytest.raises(error):
        half_way()
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_was_never_written_cannot_be_published(tmp_path: Path) -> None:
    with Publication() as publication:
        publication.reserve(tmp_path / "file")
        with pytest.raises(WriteError, match="was never written"):
            publication.place()
    assert list(tmp_path.iterdir()) == []


def test_a_dropped_file_stays_away(tmp_path: Path) -> None:
    with Publication() as publication:
        publication.reserve(tmp_path / "gone").write_text("x")
        publication.reserve(tmp_path / "kept").write_text("x")
        publication.drop(tmp_path / "gone")
        publication.place()
        publication.keep()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_each_file_is_synced_then_renamed_then_its_folder_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def watch(path: Path) -> None:
        seen.append("folder" if path.is_dir() else "file")
        if path.is_dir() and path == tmp_path:
            seen.append("visible" if (tmp_path / "t").exists() else "hidden")
        sync(path)

    monkeypatch.setattr(publish, "sync_file", watch)
    monkeypatch.setattr(publish, "sync_folder", watch)
    publish_bytes(tmp_path / "t", b"x", replace=True)
    assert seen == ["file", "folder", "visible"]


def test_folders_that_cannot_be_made_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataRootError, match="cannot be created"):
        publish_bytes(tmp_path / "file" / "x" / "y", b"text", replace=True)


def test_scratch_is_made_by_need(tmp_path: Path) -> None:
    with scratch_folder(tmp_path, "me") as folder:
        assert not folder.exists()


def test_scratch_is_removed_after_an_interrupt(tmp_path: Path) -> None:
    def half_way() -> None:
        with scratch_folder(tmp_path, "me") as folder:
            folder.mkdir()
            (folder / "x").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half_way()
    assert list(tmp_path.iterdir()) == []


def test_paths_of_one_promote_share_their_number(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    names = []
    for folder in ("a", "b", "a"):
        paths = batch_files([tmp_path / "a", tmp_path / "b"], "x")
        names.append([path.name for path in paths])
        (tmp_path / folder / paths[0].name).touch()
    assert names == [["x.parquet"] * 2, ["x.2.parquet"] * 2, ["x.3.parquet"] * 2]
    taken = {"x.4.parquet"}
    assert batch_files([tmp_path / "a"], "x", taken)[0].name == "x.2.parquet"
    assert batch_files([tmp_path / "a", tmp_path / "b"], "x", taken)[0].name == "x.5.parquet"


def test_a_file_that_is_there_is_never_replaced_unasked(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with Publication() as publication:
        publication.reserve(target).write_text("late")
        target.write_text("first")
        with pytest.raises(PublishConflictError, match="meanwhile"):
            publication.place()
        publication.keep()
    assert target.read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]


def test_a_lock_is_waited_for_and_leaves_nothing(tmp_path: Path) -> None:
    seen: list[str] = []
    started = threading.Event()

    def other() -> None:
        started.set()
        with file_lock(tmp_path / "locked"):
            seen.append("other")

    (tmp_path / "locked").touch()
    with file_lock(tmp_path / "locked"):
        thread = threading.Thread(target=other)
        thread.start()
        started.wait()
        thread.join(timeout=0.05)
        seen.append("first")
    thread.join()
    assert seen == ["first", "other"]
    assert files_below(tmp_path) == ["locked"]


def test_records_name_files_below_the_root(tmp_path: Path) -> None:
    assert relative_to_root(tmp_path / "r" / "x" / "y", tmp_path / "r") == "x/y"
    assert relative_to_root(tmp_path / "z", tmp_path / "r") == (tmp_path / "z").as_posix()


def test_what_was_placed_goes_again_unless_it_is_kept(tmp_path: Path) -> None:
    def interrupted() -> None:
        with Publication() as publication:
            publication.reserve(tmp_path / "file").write_text("x")
            publication.place()
            assert (tmp_path / "file").read_text() == "x"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_what_somebody_refers_to_stays(tmp_path: Path) -> None:
    def interrupted() -> None:
        with Publication(lambda: True) as publication:
            publication.reserve(tmp_path / "file").write_text("x")
            publication.place()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert files_below(tmp_path) == ["file"]


def test_a_file_of_another_writer_is_not_removed_with_ours(tmp_path: Path) -> None:
    with Publication() as publication:
        publication.reserve(tmp_path / "file").write_text("x")
        publication.place()
        (tmp_path / "file").unlink()
        (tmp_path / "file").write_text("theirs")
    assert (tmp_path / "file").read_text() == "theirs"


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o700, 0o770])
def test_files_get_the_permissions_of_their_folder(tmp_path: Path, mode: int) -> None:
    root = tmp_path / "root"
    root.mkdir()
    root.chmod(mode)
    publish_bytes(root / "new" / "file", b"x", replace=True)
    assert (root / "new").stat().st_mode & 0o777 == mode
    assert (root / "new" / "file").stat().st_mode & 0o777 == mode & 0o666


def test_unfinished_files_are_readable_by_nobody_else(tmp_path: Path) -> None:
    with Publication() as publication:
        temp = publication.reserve(tmp_path / "file")
        assert temp.stat().st_mode & 0o077 == 0


def test_only_abandoned_files_are_swept(tmp_path: Path) -> None:
    (tmp_path / ".old.123.tmp").write_text("of a process that is gone")
    (tmp_path / "data.tmp").write_text("not one of ours")
    with Publication() as publication:
        temp = publication.reserve(tmp_path / "file")
        assert set(temporaries(tmp_path)) == {temp, tmp_path / ".old.123.tmp"}
        assert sweep(tmp_path) == [tmp_path / ".old.123.tmp"]
        assert temp.exists()
    assert files_below(tmp_path) == ["data.tmp"]
    assert sweep(tmp_path / "nowhere") == []


def test_a_marker_is_taken_over_only_from_nobody(tmp_path: Path) -> None:
    marker = mark(tmp_path / "running" / "me")
    assert take_over(marker.path) is None
    marker.release()
    taken = take_over(marker.path)
    assert taken is not None
    assert take_over(marker.path) is None
    taken.done()
    assert take_over(marker.path) is None
    assert files_below(tmp_path) == []


def test_a_record_is_changed_by_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "records" / "counter"

    def add(data: bytes | None) -> bytes:
        return str(int(data or b"0") + 1).encode()

    def many() -> None:
        for _ in range(20):
            rewrite(path, add)

    threads = [threading.Thread(target=many) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() == b"160"
    assert files_below(tmp_path) == ["records/counter"]


def test_a_record_can_be_left_as_it_is(tmp_path: Path) -> None:
    rewrite(tmp_path / "record", lambda _: None)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "record").write_bytes(b"x")
    rewrite(tmp_path / "record", lambda _: None)
    assert (tmp_path / "record").read_bytes() == b"x"
