"""Publishing many versions of a small table, and appends to a large one, in one warm process."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from jobforge import PipelineConfig, PipelineEngine
from jobforge.pipeline import events

READS = 5


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def promote(engine: PipelineEngine, staged: Path, load: str) -> None:
    """Bronze, silver and gold of one batch."""
    bronze = engine.promote_to_bronze(staged, load=load)
    silver = engine.promote_to_silver(bronze["bronze_path"], load=load)
    engine.promote_to_gold(silver["silver_path"], load=load)


def publish(engine: PipelineEngine, small: Path, versions: int) -> list[float]:
    """Seconds that each version of a small bronze table takes."""
    times = []
    for _ in range(versions):
        staged = engine.ingest(small, "small")["staged_path"]
        times.append(seconds(partial(engine.promote_to_bronze, staged)))
    return times


def read(engine: PipelineEngine, version: int) -> list[float]:
    """Seconds to read one version."""

    def look() -> None:
        engine.read("small", "bronze", version).collect()

    return [seconds(look) for _ in range(READS)]


def appends(
    engine: PipelineEngine, large: Path, more: Path, runs: int
) -> list[tuple[float, float]]:
    """Seconds to append a file to nothing and to the large table, in turn, after a warm-up."""
    promote(engine, engine.ingest(large, "large")["staged_path"], "replace")
    pairs = []
    for number in range(runs + 1):
        empty = engine.ingest(more, f"empty{number}")["staged_path"]
        to_empty = seconds(partial(promote, engine, empty, "append"))
        batch = engine.ingest(more, "large")["staged_path"]
        pairs.append((to_empty, seconds(partial(promote, engine, batch, "append"))))
    return pairs[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("small", "large", "more", "target"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--versions", type=int, required=True)
    parser.add_argument("--runs", type=int, required=True)
    chosen = parser.parse_args()
    events.configure(quiet=True)
    engine = PipelineEngine(PipelineConfig(chosen.target))
    looked_at = (1, chosen.versions // 2, chosen.versions)
    told = {
        "publish": publish(engine, chosen.small, chosen.versions),
        "read": {version: read(engine, version) for version in looked_at},
        "append": appends(engine, chosen.large, chosen.more, chosen.runs),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
