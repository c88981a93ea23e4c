"""Eight rules and a deduplication that keeps the losers, against the same without them.

    python benchmarks/rules.py [--rows N] [--runs N] [--json FILE]

An orders table with 2% repeated keys and 0.5% invalid rows: once from CSV
through all four layers (`run`), once from bronze to silver alone (`silver`).
Every run is a child process of its own, the two sides in turn; the clock
starts after the imports. Quote the ratios, which are taken pair by pair.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from sources import orders

from jobforge import PipelineConfig, PipelineEngine, deduplicate, expect
from jobforge.pipeline import events
from jobforge.quality.declared import DeclaredStep

AIM_CPU, AIM_MB = 1.25, 3_000
_CHUNK = 500_000
_EVERY = {"repeated": 50, "nobody": 401, "nothing": 399}
"""How often a key stands twice, a customer is missing, and a quantity is zero."""
CASTS = {
    "cast": {
        "order_date": "Date",
        "shipped_at": "Datetime('us')",
        "quantity": "Int32",
        "unit_price": "Float64",
        "discount": "Float64",
        "gift": "Boolean",
    }
}
STEPS: list[DeclaredStep] = [
    expect("customer_known", pl.col("customer_id").is_not_null()),
    expect("quantity_positive", pl.col("quantity") > 0),
    expect("price_positive", pl.col("unit_price") > 0),
    expect("discount_is_a_share", pl.col("discount").is_between(0, 1)),
    expect("country_known", pl.col("country").is_in(["CA", "FR", "US", "DE", "JP"])),
    expect("email_plausible", pl.col("email").str.contains("@"), on_fail="warn"),
    expect("shipped_after_ordered", pl.col("shipped_at") >= pl.col("order_date")),
    expect("status_known", pl.col("status").is_in(["A", "  B", "C ", "D"]), on_fail="fail"),
    deduplicate("order_id"),
]


def write_source(rows: int, path: Path) -> None:
    """Orders as bronze has them: every fiftieth key stands twice, 0.5% of the rows are invalid."""
    every = {name: pl.int_range(pl.len()) % n == 0 for name, n in _EVERY.items()}
    parts = [
        orders(min(_CHUNK, rows - at), at).select(
            pl.when(every["repeated"])
            .then(pl.col("order_id").shift(-1))
            .otherwise("order_id")
            .alias("order_id"),
            pl.when(~every["nobody"]).then("customer_id").alias("customer_id"),
            pl.col("order_date").str.to_date(),
            pl.col("shipped_at").str.to_datetime(time_unit="us"),
            pl.when(every["nothing"]).then(0).otherwise("quantity").alias("quantity"),
            pl.exclude("order_id", "customer_id", "order_date", "shipped_at", "quantity"),
        )
        for at in range(0, rows, _CHUNK)
    ]
    pl.concat(parts).write_parquet(path, compression="zstd")


def measured(kind: str, side: str, source: Path, target: Path) -> dict[str, float]:
    """One run in this process: seconds and bytes."""
    events.configure(quiet=True)
    engine = PipelineEngine(PipelineConfig(target))
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    steps = STEPS if side == "rules" else []
    if kind == "silver":
        log = engine.promote_to_silver(source, steps)["log"]
    else:
        log = engine.run_full_pipeline(
            source, "orders", bronze_schema=CASTS, silver_transforms=steps
        )["logs"][2]
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    account = log.account
    if account is None or (side == "rules") != bool(account.quarantined and account.deduplicated):
        raise SystemExit(f"the run did something else than it should: {account}")
    return {"wall": wall, "cpu": cpu, "peak_mb": after.ru_maxrss / 1024}


def run(kind: str, side: str, source: Path, folder: Path) -> dict[str, float]:
    """One run in a child process."""
    with tempfile.TemporaryDirectory(dir=folder) as target:
        command = [sys.executable, __file__, "--one", kind, side, str(source), f"{target}/root"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def prepare(rows: int, folder: Path) -> dict[str, Path]:
    """What each kind of run starts from."""
    typed, text = folder / "orders.parquet", folder / "orders.csv"
    write_source(rows, typed)
    pl.scan_parquet(typed).sink_csv(text)
    engine = PipelineEngine(PipelineConfig(folder / "root"))
    staged = engine.ingest(typed, "orders")["staged_path"]
    return {"run": text, "silver": engine.promote_to_bronze(staged)["bronze_path"]}


def compare(kind: str, source: Path, runs: int, folder: Path) -> dict[str, float]:
    """Both sides in turn, and the medians and ratios."""
    pairs = [
        (run(kind, "rules", source, folder), run(kind, "plain", source, folder))
        for _ in range(runs + 1)
    ][1:]
    row: dict[str, float] = {"runs": runs}
    for figure in ("cpu", "wall", "peak_mb"):
        row[f"{figure}_rules"] = statistics.median(ours[figure] for ours, _ in pairs)
        row[f"{figure}_plain"] = statistics.median(floor[figure] for _, floor in pairs)
        row[f"{figure}_ratio"] = statistics.median(o[figure] / f[figure] for o, f in pairs)
    shown = [
        f"{name} {row[f'{name}_rules']:.2f} / {row[f'{name}_plain']:.2f} = "
        f"{row[f'{name}_ratio']:.2f}"
        for name in ("cpu", "wall", "peak_mb")
    ]
    print(f"{kind:7}", *shown, f"aim cpu {AIM_CPU}, {AIM_MB} MB", sep="   ", flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=4, metavar=("KIND", "SIDE", "SOURCE", "TARGET"))
    chosen = parser.parse_args()
    if chosen.one:
        kind, side, source, target = chosen.one
        print(json.dumps(measured(kind, side, Path(source), Path(target))))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{chosen.rows:,} rows")
    events.configure(quiet=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = {
            kind: compare(kind, source, chosen.runs, folder)
            for kind, source in prepare(chosen.rows, folder).items()
        }
    if chosen.json:
        chosen.json.write_text(json.dumps({"rows": chosen.rows, **rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
