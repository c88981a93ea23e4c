"""What another user asks of a data root or source that is closed to them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobforge import PipelineConfig, PipelineEngine
from jobforge.errors import DataRootError, RecordError
from support import write_csv

_NOBODY = 65534
_SAID = "may not be read|Permission denied"


@contextmanager
def another_user() -> Iterator[None]:
    """For the time of the block nothing is read with the rights of root."""
    root = os.name == "posix" and os.geteuid() == 0
    if root:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def filled() -> Iterator[Path]:
    """A folder that everybody may read, unlike the one of a test."""
    if os.name != "posix":
        pytest.skip("no such permissions")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        source = write_csv(folder / "in.csv", [["code"], ["a"], ["b"]])
        PipelineEngine(PipelineConfig(folder / "data")).run_full_pipeline(source, "t")
        yield folder


@pytest.mark.parametrize("closed", ["data", "data/catalog", "data/catalog/chain"])
@pytest.mark.parametrize(
    "ask",
    [
        lambda engine: engine.trace("t", row=1),
        lambda engine: engine.cite("SELECT count(*) FROM t"),
        lambda engine: engine.history("t"),
        lambda engine: engine.verify(),
        lambda engine: engine.head(),
    ],
)
def test_a_closed_folder_is_named(
    filled: Path, closed: str, ask: Callable[[PipelineEngine], object]
) -> None:
    folder = filled / closed
    mode = folder.stat().st_mode
    folder.chmod(0)
    try:
        with another_user(), pytest.raises((DataRootError, RecordError), match=_SAID) as caught:
            ask(PipelineEngine(PipelineConfig(filled / "data")))
    finally:
        folder.chmod(mode)
    assert str(folder) in caught.value.message


def test_a_closed_source_is_told_from_one_that_is_gone(filled: Path) -> None:
    engine = PipelineEngine(PipelineConfig(filled / "data"))
    (filled / "in.csv").chmod(0)
    with another_user():
        found = engine.trace("t", row=1)
    assert [trace.source.state for row in found.rows for trace in row.traces] == ["unreadable"]
    (filled / "in.csv").unlink()
    found = engine.trace("t", row=1)
    assert [trace.source.state for row in found.rows for trace in row.traces] == ["missing"]
