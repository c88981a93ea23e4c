"""Atomic publishing: whole or not at all, also when something gives way in between."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from jobforge.errors import DataRootError, PublishConflictError, WriteError
from jobforge.storage import publish
from jobforge.storage.locks import folder_lock
from jobforge.storage.paths import batch_files, relative_to_root
from jobforge.storage.publish import Publication, publish_text, scratch_folder
from support import files_below


def test_files_become_visible_together_and_no_debris_stays(tmp_path: Path) -> None:
    targets = [tmp_path / "a" / "one", tmp_path / "b" / "two"]
    with Publication() as publication:
        for target in targets:
            publication.reserve(target).write_text("x")
            assert not target.exists()
        publication.commit()
    assert files_below(tmp_path) == ["a/one", "b/two"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_on_the_way_leaves_what_was_there(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "file"
    publish_text(target, "before")

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
        with pytest.raises(WriteError, match="could not be published"):
            publication.commit()
    assert list(tmp_path.iterdir()) == []


def test_a_dropped_file_stays_away(tmp_path: Path) -> None:
    with Publication() as publication:
        publication.reserve(tmp_path / "gone").write_text("x")
        publication.reserve(tmp_path / "kept").write_text("x")
        publication.drop(tmp_path / "gone")
        publication.commit()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_each_file_is_synced_then_renamed_then_its_folder_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    sync = publish.sync_file

    def watch(path: Path) -> None:
        seen.append("folder" if path.is_dir() else "file")
        if path.is_dir() and path == tmp_path:
            seen.append("visible" if (tmp_path / "t").exists() else "hidden")
        sync(path)

    monkeypatch.setattr(publish, "sync_file", watch)
    publish_text(tmp_path / "t", "x")
    assert seen == ["file", "folder", "visible"]


def test_folders_that_cannot_be_made_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataRootError, match="cannot be created"):
        publish_text(tmp_path / "file" / "x" / "y", "text")


def test_scratch_is_made_by_need(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        assert not folder.exists()


def test_scratch_is_removed_after_an_interrupt(tmp_path: Path) -> None:
    def half_way() -> None:
        with scratch_folder(tmp_path) as folder:
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


def test_a_file_that_is_there_is_never_replaced_unasked(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with Publication() as publication:
        publication.reserve(target).write_text("late")
        target.write_text("first")
        with pytest.raises(PublishConflictError, match="meanwhile"):
            publication.commit()
    assert target.read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]


def test_a_lock_is_waited_for_and_leaves_nothing(tmp_path: Path) -> None:
    seen: list[str] = []
    started = threading.Event()

    def other() -> None:
        started.set()
        with folder_lock(tmp_path / "locked"):
            seen.append("other")

    with folder_lock(tmp_path / "locked"):
        thread = threading.Thread(target=other)
        thread.start()
        started.wait()
        thread.join(timeout=0.05)
        seen.append("first")
    thread.join()
    assert seen == ["first", "other"]
    assert list((tmp_path / "locked").iterdir()) == []


def test_records_name_files_below_the_root(tmp_path: Path) -> None:
    assert relative_to_root(tmp_path / "r" / "x" / "y", tmp_path / "r") == "x/y"
    assert relative_to_root(tmp_path / "z", tmp_path / "r") == (tmp_path / "z").as_posix()
