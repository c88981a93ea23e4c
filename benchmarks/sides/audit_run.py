"""Questions to a large table, in one warm process: traces, impacts, a check of everything."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import polars as pl
from jobforge_run import SCHEMA, STEPS, money

from jobforge import PipelineConfig, PipelineEngine
from jobforge.pipeline import events

GRAIN = ["region", "order_month"]


def revenue(lf: pl.LazyFrame) -> pl.LazyFrame:
    """Gold: one row a region and month."""
    return lf.group_by(GRAIN).agg(pl.col("net").sum(), orders=pl.len())


def run(
    engine: PipelineEngine,
    source: Path,
    table: str,
    gold: Sequence[Callable[[pl.LazyFrame], pl.LazyFrame]],
    grain: Sequence[str] = (),
) -> None:
    """The orders job, with some gold."""
    engine.run_full_pipeline(
        source,
        table,
        bronze_schema=SCHEMA,
        silver_transforms=STEPS["declared"],
        gold_transforms=gold,
        grain=grain,
    )


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def often(work: Callable[[], object], runs: int) -> list[float]:
    """Wall seconds of some calls, after one that does not count."""
    return [seconds(work) for _ in range(runs + 1)][1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--runs", type=int, required=True)
    chosen = parser.parse_args()
    events.configure(quiet=True)
    engine = PipelineEngine(PipelineConfig(chosen.target))
    run(engine, chosen.source, "orders", [money])
    gold = [money, revenue]
    pairs = [
        [
            seconds(partial(run, engine, chosen.source, "revenue", gold, grain))
            for grain in ((), GRAIN)
        ]
        for _ in range(chosen.runs + 1)
    ][1:]
    rows = engine.read("orders").select(pl.col("order_id", "_source_row")).collect()
    key, record = rows.row(rows.height // 2)
    group = engine.read("revenue").sort("orders").select(GRAIN).collect().row(0, named=True)
    name = chosen.source.name
    told = {
        "trace of one row, by a condition": lambda: engine.trace("orders", f"order_id = {key}"),
        "trace of an aggregate, ten records": lambda: engine.trace("revenue", key=group),
        "impact of one record": lambda: engine.impact(name, record=record),
        "verify, all bytes": engine.verify,
        "verify, sizes alone": lambda: engine.verify(since=engine.head().number + 1),  # type: ignore[union-attr] # there is one
    }
    questions = {what: often(work, chosen.runs) for what, work in told.items()}
    print(json.dumps({"runs": pairs, "questions": questions}))


if __name__ == "__main__":
    main()
