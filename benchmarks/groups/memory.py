"""Peak memory of the orders job, and how it grows with the number of rows."""

from __future__ import annotations

from harness import Bench, Outcome, lines_of, say, take_turns

from groups import sides

_ROUNDS = 5
"""Peaks hardly vary, and the larger source takes minutes: no more, whatever is asked for."""


def measure(bench: Bench, sizes: tuple[int, ...] = (10_000_000, 40_000_000)) -> Outcome:
    outcome = Outcome()
    sizes = bench.rows or sizes
    for rows in sizes:
        source = bench.source("csv", rows)
        say(f"memory: {rows:,} rows")
        turns = take_turns(
            [sides.FLOOR, sides.JOBFORGE],
            source,
            bench,
            rounds=min(_ROUNDS, bench.runs),
            warm_up=False,
        )
        outcome.add(turns, lines_of(f"{rows:,} rows", turns, figures=["peak_mb"]))
        if rows == max(sizes):
            source.unlink()
    return outcome
