"""Questions of an auditor to a table of ten million rows, in a warm process."""

from __future__ import annotations

import statistics

from harness import Bench, Line, Outcome, Run, Turns, lines_of, say, script


def measure(bench: Bench, size: int = 10_000_000) -> Outcome:
    rows = 200_000 if bench.quick else size
    say(f"audit: {rows:,} rows")
    source = bench.source("csv", rows)
    told = script(
        "audit_run.py", source, bench.folder / "audit", "--runs", bench.runs, cwd=bench.folder
    )
    pairs: list[tuple[float, float]] = told["runs"]
    names = ("no grain", "with the records of each group")
    runs = {name: [Run({"wall_s": pair[at]}) for pair in pairs] for at, name in enumerate(names)}
    lines = lines_of(f"CSV to an aggregate, {rows:,} rows", Turns(names[0], runs))
    questions: dict[str, list[float]] = told["questions"]
    lines += [_line(f"{what}, {rows:,} rows", times) for what, times in questions.items()]
    return Outcome(lines)


def _line(what: str, seconds: list[float]) -> Line:
    median = statistics.median(seconds)
    return Line(what, "jobforge", len(seconds), {"wall_s": median}, {}, "", paired=False)
