"""The benchmark: what jobforge takes beside hand-written Polars and beside other tools.

    python benchmarks/bench.py [--quick] [--only NAME ...] [--runs N] [--rows N ...]
        [--sides SIDE ...] [--json FILE] [--plot FILE] [--dbt-python PATH] [--dlt-python PATH]

Every side of a job runs in processes of its own, in turn with the others; the
clock starts after the imports. Quote the ratios: they are taken run by run
against the side in the same round, and hold where the machine's speed drifts.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import machine
import plot
import tables
from groups import audit, memory, parquet, pipeline, rules, small, staged, start, versions
from harness import Bench, BenchError, Outcome, say

GROUPS: dict[str, tuple[Callable[[Bench], Outcome], str | None]] = {
    "pipeline": (pipeline.measure, pipeline.__doc__),
    "memory": (memory.measure, memory.__doc__),
    "small": (small.measure, small.__doc__),
    "start": (start.measure, start.__doc__),
    "rules": (rules.measure, rules.__doc__),
    "staged": (staged.measure, staged.__doc__),
    "parquet": (parquet.measure, parquet.__doc__),
    "versions": (versions.measure, versions.__doc__),
    "audit": (audit.measure, audit.__doc__),
}
NOT_QUICK = {"memory"}
RUNS, QUICK_RUNS = 5, 3


def interpreter(name: str) -> str:
    """The path of an interpreter that sides can start from any folder; links stay links."""
    found = shutil.which(name)
    return str(Path(found).absolute()) if found else name


def parse() -> argparse.Namespace:
    text = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=text)
    parser.add_argument("--quick", action="store_true", help="200,000 rows: about two minutes")
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), metavar="NAME", help="groups")
    parser.add_argument("--runs", type=int, help=f"{RUNS} unless given, {QUICK_RUNS} if quick")
    parser.add_argument("--rows", nargs="+", type=int, help="sizes for pipeline and memory")
    parser.add_argument(
        "--sides",
        nargs="+",
        metavar="SIDE",
        help="sides of pipeline: 'duckdb'; the floor runs always",
    )
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--plot", type=Path, help="draw the ratios of wall time as SVG")
    parser.add_argument("--dbt-python", default=sys.executable, help="interpreter with dbt-duckdb")
    parser.add_argument("--dlt-python", default=sys.executable, help="interpreter with dlt")
    chosen = parser.parse_args()
    if chosen.plot and not plot.available():
        parser.error(plot.MISSING)
    if chosen.quick and NOT_QUICK & set(chosen.only or ()):
        parser.error(f"not in a quick run: {', '.join(sorted(NOT_QUICK))}")
    if chosen.runs is not None and chosen.runs < 1:
        parser.error("--runs is at least 1")
    return chosen


def heading(record: dict[str, Any]) -> str:
    """What was measured on."""
    told = record["machine"]
    cores = f"{told['cores']} cores, {told['memory_gib']} GiB, {told['system']}"
    load = f"load at the start {told['load_at_start']}"
    parts = [f"{told['arch']} ({told['processor']}), {cores}, {load}"]
    for tool, libraries in record["versions"].items():
        words = [f"{name} {number}" for name, number in libraries.items()]
        parts.append(f"{tool}: {', '.join(words)}")
    return "\n".join(["# Benchmark", "", *(f"- {part}" for part in parts)])


def run_group(name: str, bench: Bench) -> Outcome | None:
    """One group and its table; None where it has nothing to report."""
    work, title = GROUPS[name]
    print(f"\n## {name}\n\n{title}", flush=True)
    start = time.perf_counter()
    try:
        outcome = work(bench)
    except BenchError as error:
        print(f"No figures: {error}", flush=True)
        return None
    print(tables.markdown(outcome, judged=not bench.quick), flush=True)
    say(f"{name} took {time.perf_counter() - start:.0f} s")
    return outcome


def main() -> None:
    chosen = parse()
    names = chosen.only or [n for n in GROUPS if not (chosen.quick and n in NOT_QUICK)]
    dbt, dlt = interpreter(chosen.dbt_python), interpreter(chosen.dlt_python)
    record: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": chosen.quick,
        "machine": machine.machine(),
        "versions": machine.versions(dbt, dlt),
        "groups": {},
        "failed": [],
    }
    print(heading(record), flush=True)
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="jobforge-bench-") as folder:
        runs = chosen.runs or (QUICK_RUNS if chosen.quick else RUNS)
        rows, sides = tuple(chosen.rows or ()), tuple(chosen.sides or ())
        bench = Bench(Path(folder), chosen.quick, runs, dbt, dlt, rows, sides)
        for name in names:
            outcome = run_group(name, bench)
            if outcome is None:
                record["failed"].append(name)
            else:
                outcomes[name] = outcome
                record["groups"][name] = tables.plain(outcome)
            if chosen.json:  # after each group: a long run that is stopped keeps what it has
                chosen.json.write_text(json.dumps(record, indent=2) + "\n")
    if chosen.plot and not plot.draw(outcomes, chosen.plot):
        say("nothing to draw: no ratio of wall time was measured")
    if record["failed"]:
        sys.exit(f"without figures: {', '.join(record['failed'])}")


if __name__ == "__main__":
    main()
