"""A typed file copied and read with other Parquet settings: time and size."""

from __future__ import annotations

import statistics
from dataclasses import replace

from harness import Bench, Line, Outcome, Side, lines_of, say, script, take_turns

SETTINGS = (
    "zstd 3",
    "zstd 1",
    "lz4",
    "snappy",
    "zstd 1, no statistics",
    "zstd 1, groups of 250,000",
    "pyarrow, zstd 1, dictionaries",
    "pyarrow, zstd 1, no dictionaries",
    "pyarrow, zstd 1, dictionaries, order declared",
)
_SCRIPT = "parquet_settings.py"


def measure(bench: Bench, size: int = 2_000_000) -> Outcome:
    rows = 200_000 if bench.quick else size
    say(f"parquet: {rows:,} rows")
    csv, target = bench.source("csv", rows), bench.folder / "bronze-for-parquet"
    told = script("jobforge_run.py", csv, target, "--part", "bronze", cwd=bench.folder)
    outcome = Outcome()
    for what, more in (
        ("write", ()),
        ("read everything", ("--read", "everything")),
        ("look up 20 records", ("--read", "records")),
    ):
        sides = [Side(name, _SCRIPT, ("--settings", name, *more)) for name in SETTINGS]
        turns = take_turns(sides, told["files"]["bronze"], bench, check="nothing")
        lines = lines_of(f"{what}, {rows:,} rows", turns)
        if what == "write":
            sizes = {
                name: statistics.median(int(run.files["size"]) for run in runs) / 2**20
                for name, runs in turns.runs.items()
            }
            lines = [with_size(line, sizes, SETTINGS[0]) for line in lines]
        outcome.add(turns, lines)
    return outcome


def with_size(line: Line, sizes: dict[str, float], floor: str) -> Line:
    """The line with the size of the file in place of the memory."""
    medians = {**line.medians, "size_mb": sizes[line.side]}
    ratios = {**line.ratios, "size_mb": sizes[line.side] / sizes[floor]} if line.ratios else {}
    return replace(line, medians=medians, ratios=ratios)
