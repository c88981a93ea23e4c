"""What versions cost: publishing and its growth, time travel, appends to a large table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from harness import Aim, Bench, Line, Outcome, Run, Turns, lines_of, say, script

APPENDED = 100_000
_SPAN = 100
"""How many versions the first and the last median are taken of, at most."""


def line(what: str, seconds: Sequence[float], first: Sequence[float] | None = None) -> Line:
    """A median in milliseconds, and how it compares with that of the first versions."""
    median = statistics.median(seconds)
    ratios = {"wall_ms": median / statistics.median(first)} if first else {}
    against = "the first versions" if first else ""
    return Line(
        what, "jobforge", len(seconds), {"wall_ms": median * 1000}, ratios, against, paired=False
    )


def measure(bench: Bench, size: int = 10_000_000, count: int = 1_000) -> Outcome:
    rows, versions = (200_000, 100) if bench.quick else (size, count)
    say(f"versions: {versions:,} of a small table, appends to {rows:,} rows")
    sources = [
        bench.source("csv", 10),
        bench.source("parquet", rows),
        bench.source("parquet", APPENDED),
    ]
    options = ["--versions", versions, "--runs", bench.runs]
    told = script(
        "versions_run.py", *sources, bench.folder / "versions", *options, cwd=bench.folder
    )
    times: list[float] = told["publish"]
    span = min(_SPAN, max(1, versions // 4))
    early, late = times[1 : span + 1], times[-span:]
    lines = [
        line(f"10 rows to bronze, versions 2 to {span + 1}", early),
        line(f"10 rows to bronze, versions {versions - span + 1} to {versions}", late, early),
    ]
    lines += [line(f"reading version {version}", each) for version, each in told["read"].items()]
    floor, ours = "onto nothing", f"onto {rows:,} rows"
    pairs: list[tuple[float, float]] = told["append"]
    turns = Turns(
        floor,
        {
            name: [Run({"wall_s": pair[at]}) for pair in pairs]
            for at, name in enumerate((floor, ours))
        },
    )
    aims = {ours: [Aim("wall_ms", 1.3)]}
    what = f"append of {APPENDED:,} rows, bronze to gold"
    return Outcome(lines + lines_of(what, turns, aims, milliseconds=True))
