"""What tests share: where the real files are, and an engine in a folder of its own."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from jobforge.pipeline.column_lineage.flow import Flow
from jobforge.pipeline.column_lineage.trace import traced
from jobforge.pipeline.column_lineage.watch import watched

SHARED = Path(os.environ.get("JOBFORGE_SHARED", Path(__file__).parents[2] / "shared")) / "data"
"""Real source files as published; tests that need them are skipped where they are not."""

NOC = SHARED / "noc"

needs_noc = pytest.mark.skipif(not NOC.is_dir(), reason=f"no published NOC files in {NOC}")

PROVENANCE = ["_source_row", "_source_file", "_ingested_at", "_batch_id", "_layer"]


def write_csv(path: Path, rows: list[list[str]]) -> Path:
    """A CSV file as Python's own writer makes it."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return path


def data(path: Path) -> pl.DataFrame:
    """The data columns of a layer file."""
    return pl.read_parquet(path).drop(PROVENANCE, strict=False)


def files_below(folder: Path) -> list[str]:
    """Every file below a folder, relative, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def debris(folder: Path) -> list[str]:
    """Temporary files that somebody left behind."""
    return [name for name in files_below(folder) if ".tmp" in name]


def follow(change: Callable[[pl.LazyFrame], pl.LazyFrame], frame: pl.LazyFrame) -> Flow:
    """The flow of a function, watched as a layer watches it."""
    with watched(frame) as watch:
        result = change(frame)
    return traced(result, frame, computed=watch.computed)
