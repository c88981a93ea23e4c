"""Source files: hashed, watched, refused where they are none."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from jobforge.errors import (
    EmptySourceError,
    SourceChangedError,
    SourceNotFoundError,
    SourceUnreadableError,
)
from jobforge.storage.source import SourceFile


def test_the_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(os.urandom(3_000_000))
    source = SourceFile(path)
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert SourceFile(path).read_bytes() == path.read_bytes()
    source.check_unchanged()


def test_a_change_is_seen_also_behind_the_same_time_stamps(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for change in (b"longer than before", b"same!"):
        path.write_bytes(b"value")
        source = SourceFile(path)
        assert source.sha256
        stamp = path.stat()
        path.write_bytes(change)
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        with pytest.raises(SourceChangedError, match="changed while it was read"):
            source.check_unchanged()


def test_a_replaced_or_removed_file_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"value")
    source = SourceFile(path)
    (tmp_path / "g").write_bytes(b"value")
    (tmp_path / "g").replace(path)
    with pytest.raises(SourceChangedError):
        source.check_unchanged()
    path.unlink()
    with pytest.raises(SourceChangedError):
        source.check_unchanged()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError):
        SourceFile(tmp_path / "missing")
    with pytest.raises(SourceUnreadableError, match="is a folder"):
        SourceFile(tmp_path)
    with pytest.raises(SourceUnreadableError, match="no regular file"):
        SourceFile(Path("/dev/null"))
    with pytest.raises(SourceUnreadableError):
        SourceFile(Path("a\0b"))
    (tmp_path / "e").touch()
    with pytest.raises(EmptySourceError):
        SourceFile(tmp_path / "e")
