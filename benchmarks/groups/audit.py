"""Questions of an auditor to a table of ten million rows, in a warm process."""

from __future__ import annotations

import statistics

from harness import Bench, Line, Outcome, say, script


def measure(bench: Bench, size: int = 10_000_000) -> Outcome:
    rows = 200_000 if bench.quick else size
    say(f"audit: {rows:,} rows")
    source = bench.source("csv", rows)
    told: dict[str, list[float]] = script(
        "audit_run.py", source, bench.folder / "audit", "--runs", bench.runs, cwd=bench.folder
    )
    return Outcome([_line(f"{what}, {rows:,} rows", times) for what, times in told.items()])


def _line(what: str, seconds: list[float]) -> Line:
    median = statistics.median(seconds)
    return Line(what, "jobforge", len(seconds), {"wall_s": median}, {}, "", paired=False)
