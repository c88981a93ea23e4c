"""What `verify` once found falsely or did not see, each as a test."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from jobforge import PipelineConfig, PipelineEngine, expect
from jobforge.pipeline import chain
from jobforge.pipeline.audit import going_on, recorded, verify
from jobforge.pipeline.audit.findings import Finding
from jobforge.pipeline.root import prepare_root
from jobforge.storage.debris import Marker, take_over
from support import write_csv

ROWS = [["id", "n"], ["1", "1"], ["2", "2"]]


def run(engine: PipelineEngine, folder: Path, **more: Any) -> str:
    schema = {"cast": {"n": "Int64"}}
    source = write_csv(folder / "t.csv", ROWS)
    return engine.run_full_pipeline(source, "t", bronze_schema=schema, **more)["batch_id"]


@pytest.fixture
def engine(tmp_path: Path) -> PipelineEngine:
    return PipelineEngine(PipelineConfig(tmp_path / "root"))


def said(engine: PipelineEngine) -> list[tuple[str, str, str]]:
    found: tuple[Finding, ...] = engine.verify().findings
    return [(finding.kind, finding.subject, finding.message) for finding in found]


# ---- the text of records ------------------------------------------------------------------


@pytest.mark.parametrize("tolerance", [1e-7, 0.00001, 1e-300, 0.25])
def test_any_tolerance_is_as_it_was_written(
    engine: PipelineEngine, tmp_path: Path, tolerance: float
) -> None:
    step = expect("few", pl.col("n") < 99, tolerance=tolerance)
    run(engine, tmp_path, silver_transforms=[step])
    assert said(engine) == []


@given(value=st.floats(allow_nan=False, allow_infinity=False), other=st.text())
def test_what_a_writer_writes_is_as_written(value: float, other: str) -> None:
    written = to_json({"a": [value, {"b": other}], "c": 1}, indent=2) + b"\n"
    assert recorded.is_as_written(written)


@pytest.mark.parametrize("text", ["1e-7", "1e-07", "1e16", "1e+16", "0.00001", "1e-05", "-0.0"])
def test_a_float_may_be_as_any_version_of_a_writer_writes_it(text: str) -> None:
    assert recorded.is_as_written(f'{{\n  "a": {text}\n}}\n'.encode())


@pytest.mark.parametrize(
    "text",
    ["1E-7", "1e-007", "10e-8", "0.10", "1.00", "1e999", "-0", "0.30000000000000000", "1.0e16"],
)
def test_a_float_that_no_writer_writes_is_found(text: str) -> None:
    assert not recorded.is_as_written(f'{{\n  "a": {text}\n}}\n'.encode())


@pytest.mark.parametrize(
    "text",
    [
        '{\n  "a": 1,\n  "a": 1\n}\n',
        '{\n  "a":  1\n}\n',
        '{\n  "a": "\\u0041"\n}\n',
        '{\n  "a": 1\n}',
    ],
)
def test_other_text_of_the_same_meaning_is_found(text: str) -> None:
    assert not recorded.is_as_written(text.encode())


def test_what_is_nested_too_deeply_is_named(engine: PipelineEngine, tmp_path: Path) -> None:
    batch = run(engine, tmp_path)
    names = [f"catalog/lineage/{batch}.json", "catalog/chain/00000002.json"]
    for name in names:
        (engine.config.data_root / name).write_bytes(b"[" * 100_000)
    assert set(names) <= {subject for _, subject, _ in said(engine)}


# ---- the chain ----------------------------------------------------------------------------


def test_a_gap_is_one_finding_however_wide(engine: PipelineEngine, tmp_path: Path) -> None:
    run(engine, tmp_path)
    (engine.config.chain_path() / "99999999.json").write_text("{}")
    start = time.monotonic()
    found = said(engine)
    assert time.monotonic() - start < 10
    assert [(subject, text[:35]) for _, subject, text in found] == [
        ("catalog/chain/00000005.json", "entries 5 to 99,999,998 are missing"),
        ("catalog/chain/99999999.json", "the entry cannot be read: the recor"),
    ]
    assert chain.newest_number(engine.config) == 4


@pytest.mark.parametrize("name", ["00000000.json", "1.json", "\u0663.json"])
def test_a_name_that_no_entry_has_is_unknown(
    engine: PipelineEngine, tmp_path: Path, name: str
) -> None:
    run(engine, tmp_path)
    (engine.config.chain_path() / name).write_text("{}")
    assert said(engine) == [("unknown", f"catalog/chain/{name}", "this is no entry of the chain")]


# ---- what is on the disk ------------------------------------------------------------------


def test_a_root_in_which_a_first_run_begins_is_sound(engine: PipelineEngine) -> None:
    prepare_root(engine.config, datetime.now(UTC))
    assert said(engine) == []
    stray = engine.config.data_root / "gold/default/t/a.parquet"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"")
    assert len(said(engine)) == 2


@pytest.mark.parametrize("name", ["evil", "gold/evil", "gold/default/evil", "gold/default/t/evil"])
def test_a_link_that_nobody_made_is_named_and_not_followed(
    engine: PipelineEngine, tmp_path: Path, name: str
) -> None:
    run(engine, tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").write_text("x")
    (engine.config.data_root / name).symlink_to(tmp_path / "other")
    assert said(engine) == [("unknown", name, "no transition made this link")]


@pytest.mark.parametrize("name", ["gold", "quarantine", "gold/default", "gold/default/t"])
def test_a_folder_on_another_disk_is_checked_behind_its_link(
    engine: PipelineEngine, tmp_path: Path, name: str
) -> None:
    run(engine, tmp_path)
    place, other = engine.config.data_root / name, tmp_path / "other"
    if place.exists():
        place.rename(other)
    else:
        other.mkdir()
    place.symlink_to(other)
    assert said(engine) == []
    (other / "stray").write_text("x")
    assert said(engine) == [("unknown", f"{name}/stray", "no transition made this file")]


MADE: list[Callable[[Path], object]] = [
    lambda path: (path / "junk").write_text("x"),
    lambda path: (path / "junk").mkdir(),
    lambda path: (path / f"{'0' * 8}-0000-0000-0000-{'0' * 12}.replay").mkdir(),
    lambda path: (path / f"{'0' * 8}-0000-0000-0000-{'0' * 12}.replay").symlink_to("/"),
]


@pytest.mark.parametrize("make", MADE)
def test_what_is_no_marker_is_named(
    engine: PipelineEngine, tmp_path: Path, make: Callable[[Path], object]
) -> None:
    run(engine, tmp_path)
    make(engine.config.running_path())
    (found,) = said(engine)
    assert (found[0], found[2]) == ("unknown", "this is no marker of work")


def test_a_marker_of_corrections_is_no_finding(engine: PipelineEngine, tmp_path: Path) -> None:
    batch = run(engine, tmp_path)
    (engine.config.running_path() / f"{batch}.replay").touch()
    assert said(engine) == []


@pytest.mark.parametrize("kind", ["", ".waiver"])
def test_a_marker_that_is_not_locked_yet_is_looked_at_again(
    engine: PipelineEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    batch = run(engine, tmp_path)
    path = engine.config.running_path() / f"{batch}.{batch}{kind}"
    path.touch()
    held: list[Marker | None] = []
    look = going_on.find_going_on

    def then_locked(*given: Any) -> Any:
        found = look(*given)
        held.extend([take_over(path)] if not held else [])
        return found

    monkeypatch.setattr(verify, "find_going_on", then_locked)
    assert said(engine) == []
    (marker,) = held
    assert marker is not None
    marker.done()
