"""The orders job from CSV to gold, by every side that does all four layers."""

from __future__ import annotations

from harness import Aim, Bench, BenchError, Outcome, lines_of, say, take_turns

from groups import sides

_SMALLER, _LARGER = 1_000_000, 10_000_000
AIMS = {
    _SMALLER: [Aim("wall_s", 1.35)],
    _LARGER: [Aim("wall_s", 1.25), Aim("peak_mb", 1.3)],
}
UNHASHED_AIMS = {_SMALLER: [Aim("wall_s", 1.25)], _LARGER: [Aim("wall_s", 1.15)]}


def measure(bench: Bench, sizes: tuple[int, ...] = (_SMALLER, _LARGER)) -> Outcome:
    outcome = Outcome()
    known = [side.name for side in sides.four_layers(bench)]
    if unknown := set(bench.sides) - set(known):
        raise BenchError(f"no side is called {', '.join(sorted(unknown))}; there is {known}")
    for rows in (200_000,) if bench.quick else bench.rows or sizes:
        source = bench.source("csv", rows)
        say(f"pipeline: {rows:,} rows")
        wanted = [side for side in sides.four_layers(bench) if bench.wants(side)]
        turns = take_turns(wanted, source, bench, check="contents")
        aims = {
            sides.JOBFORGE.name: AIMS.get(rows, []),
            sides.JOBFORGE_UNHASHED.name: UNHASHED_AIMS.get(rows, []),
        }
        outcome.add(turns, lines_of(f"{rows:,} rows", turns, aims))
    return outcome
