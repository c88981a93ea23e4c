"""Staged ingest against plain Polars, which reads the same file and writes it as Parquet."""

from __future__ import annotations

from harness import Aim, Bench, Check, Outcome, lines_of, say, take_turns

from groups import sides

AIMS = {"csv": Aim("cpu_s", 1.25), "ndjson": Aim("cpu_s", 2.0), "parquet": Aim("wall_s", 1.5)}
SIZES = {"csv": (1_000_000, 10_000_000), "ndjson": (1_000_000,), "parquet": (1_000_000, 10_000_000)}


def measure(bench: Bench) -> Outcome:
    outcome = Outcome()
    for kind, sizes in SIZES.items():
        for rows in (200_000,) if bench.quick else sizes:
            source = bench.source(kind, rows)
            say(f"staged: {kind}, {rows:,} rows")
            # The other formats have types, which each side may keep in its own way.
            check: Check = "contents" if kind == "csv" else "rows"
            turns = take_turns(sides.staged_alone(kind, bench), source, bench, check=check)
            lines = lines_of(f"{kind}, {rows:,} rows", turns, {"jobforge": [AIMS[kind]]})
            outcome.add(turns, lines)
    return outcome
