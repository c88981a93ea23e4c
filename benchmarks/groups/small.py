"""Ten rows through all four layers in a warm process."""

from __future__ import annotations

from dataclasses import replace

from harness import Aim, Bench, Outcome, Side, lines_of, say, take_turns

from groups import sides

ROWS, WARM, RUNS = 10, 5, 30


def repeated(side: Side) -> Side:
    """The same side, many times in one process."""
    return replace(side, options=(*side.options, "--warm", str(WARM), "--repeat", str(RUNS)))


def measure(bench: Bench) -> Outcome:
    say(f"small: {ROWS} rows, {RUNS} runs")
    compared = [sides.FLOOR, sides.JOBFORGE, sides.DUCKDB, sides.PANDAS]
    turns = take_turns(
        [repeated(side) for side in compared],
        bench.source("csv", ROWS),
        bench,
        check="contents",
        rounds=1,
        warm_up=False,
    )
    aims = {"jobforge": [Aim("wall_ms", 100, ratio=False)]}
    figures = ["wall_s", "cpu_s"]
    lines = lines_of(f"{ROWS} rows", turns, aims, figures=figures, milliseconds=True)
    return Outcome([replace(line, runs=RUNS, paired=False) for line in lines], turns.skipped)
