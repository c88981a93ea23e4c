"""Eight rules and a deduplication that keeps the losers, against the same without them."""

from __future__ import annotations

from pathlib import Path

from harness import Aim, Bench, Outcome, Side, lines_of, say, script, take_turns

AIMS = {"all": [Aim("cpu_s", 1.25), Aim("peak_mb", 3_000, ratio=False)], "silver": []}


def pair(part: str) -> list[Side]:
    """Without rules, which is the floor here, and with them."""
    options = ("--part", part, "--steps")
    return [
        Side("without rules", "jobforge_run.py", (*options, "none")),
        Side("eight rules", "jobforge_run.py", (*options, "eight")),
    ]


def bronze(source: Path, bench: Bench) -> Path:
    """A bronze file for silver alone to start from."""
    target = bench.folder / "bronze-for-rules"
    told = script("jobforge_run.py", source, target, "--part", "bronze", cwd=bench.folder)
    return Path(told["files"]["bronze"])


def measure(bench: Bench, size: int = 10_000_000) -> Outcome:
    rows = 200_000 if bench.quick else size
    source = bench.source("csv", rows)
    starts = {"all": source, "silver": bronze(source, bench)}
    titles = {"all": "CSV to gold", "silver": "silver alone"}
    outcome = Outcome()
    for part, start in starts.items():
        say(f"rules: {titles[part]}, {rows:,} rows")
        turns = take_turns(pair(part), start, bench, check="nothing")
        what = f"{titles[part]}, {rows:,} rows"
        outcome.add(turns, lines_of(what, turns, {"eight rules": AIMS[part]}))
    return outcome
