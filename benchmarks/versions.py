"""What versions cost: publishing, its growth over a thousand versions, appends, time travel.

    python benchmarks/versions.py [--rows N] [--versions N] [--runs N] [--json FILE]

Times are wall seconds in a warm process; the two sides of a ratio take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from jobforge import PipelineConfig, PipelineEngine
from jobforge.pipeline import events

APPENDED = 100_000


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def make_orders(folder: Path, rows: int) -> Path:
    source = folder / f"orders{rows}.parquet"
    maker = Path(__file__).with_name("sources.py")
    subprocess.run([sys.executable, str(maker), "parquet", str(rows), str(source)], check=True)
    return source


def promote(engine: PipelineEngine, staged: Path, load: str) -> None:
    """Bronze, silver and gold of one batch."""
    bronze = engine.promote_to_bronze(staged, load=load)
    silver = engine.promote_to_silver(bronze["bronze_path"], load=load)
    engine.promote_to_gold(silver["silver_path"], load=load)


def read(engine: PipelineEngine, version: int) -> None:
    engine.read("ten", "bronze", version).collect()


def growth(engine: PipelineEngine, folder: Path, versions: int) -> dict[str, float]:
    """Milliseconds to publish ten rows to bronze, at the beginning and at the end."""
    source = folder / "ten.csv"
    source.write_text("a,b\n" + "1,x\n" * 10)
    times = []
    for _ in range(versions):
        staged = engine.ingest(source, "ten")["staged_path"]
        times.append(seconds(partial(engine.promote_to_bronze, staged)))
    span = min(100, max(1, versions // 4))
    early = statistics.median(times[1 : span + 1]) * 1000
    late = statistics.median(times[-span:]) * 1000
    opened = []
    for number in (1, versions // 2, versions):
        look = partial(read, engine, number)
        reads = [seconds(look) for _ in range(5)]
        opened.append(statistics.median(reads) * 1000)
    return {
        "versions": versions,
        "publish_first_ms": early,
        "publish_last_ms": late,
        "growth": late / early,
        "read_version_1_ms": opened[0],
        "read_version_middle_ms": opened[1],
        "read_version_newest_ms": opened[2],
    }


def full_run(engine: PipelineEngine, folder: Path, runs: int) -> dict[str, float]:
    """Milliseconds of ten rows through all four layers, warm."""
    source = folder / "ten.csv"
    source.write_text("a,b\n" + "1,x\n" * 10)
    engine.run_full_pipeline(source, "small")
    times = [seconds(lambda: engine.run_full_pipeline(source, "small")) for _ in range(4 * runs)]
    return {"run_ms": statistics.median(times) * 1000}


def appends(engine: PipelineEngine, folder: Path, rows: int, runs: int) -> dict[str, float]:
    """Seconds to append onto a large table, and onto an empty one."""
    large = engine.ingest(make_orders(folder, rows), "large")["staged_path"]
    promote(engine, large, "replace")
    small = make_orders(folder, APPENDED)
    onto_large, onto_empty = [], []
    for number in range(runs + 1):
        empty = engine.ingest(small, f"empty{number}")["staged_path"]
        onto_empty.append(seconds(partial(promote, engine, empty, "append")))
        more = engine.ingest(small, "large")["staged_path"]
        onto_large.append(seconds(partial(promote, engine, more, "append")))
    pairs = list(zip(onto_large, onto_empty, strict=True))[1:]
    return {
        "rows": rows,
        "append_to_large_s": statistics.median(a for a, _ in pairs),
        "append_to_empty_s": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(a / b for a, b in pairs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--versions", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    events.configure(quiet=True)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        engine = PipelineEngine(PipelineConfig(folder / "root"))
        results = {
            "full_run": full_run(engine, folder, chosen.runs),
            "growth": growth(engine, folder, chosen.versions),
            "appends": appends(engine, folder, chosen.rows, chosen.runs),
        }
    for title, row in results.items():
        print(title, "  ".join(f"{key} {value:.3g}" for key, value in row.items()), flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
