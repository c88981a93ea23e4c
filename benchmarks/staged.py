"""Staged ingest against plain Polars on the same file: CPU, wall time, peak memory.

    python benchmarks/staged.py [--rows N] [--runs N] [--json FILE]

Every run is a child process of its own, the two sides in turn; the clock
starts after the imports. Quote the ratios: they are taken pair by pair in one
run of this program, and hold where the machine's speed drifts.
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

FLOORS = {
    "csv": "pl.scan_csv(source, infer_schema=False, glob=False)",
    "ndjson": "pl.scan_ndjson(source, infer_schema_length=None)",
    "parquet": "pl.scan_parquet(source, glob=False)",
}
AIMS = {"csv": ("cpu", 1.25), "ndjson": ("cpu", 2.0), "parquet": ("wall", 1.5)}


def measured(side: str, kind: str, source: Path, target: Path) -> dict[str, float]:
    """One run in this process: seconds and bytes."""
    import polars as pl

    from jobforge import PipelineConfig, PipelineEngine
    from jobforge.pipeline import events
    from jobforge.readers.registry import reader_for

    events.configure(quiet=True)
    reader_for(source.name, None)
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    if side == "jobforge":
        PipelineEngine(PipelineConfig(target)).ingest(source, "orders")
    else:
        frame: pl.LazyFrame = eval(FLOORS[kind], {"pl": pl, "source": source})  # noqa: S307 - text above
        target.mkdir()
        frame.sink_parquet(target / "floor.parquet", compression="zstd")
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu, "peak_mb": after.ru_maxrss / 1024}


def run(side: str, kind: str, source: Path) -> dict[str, float]:
    """One run in a child process."""
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        command = [sys.executable, __file__, "--one", side, kind, str(source), f"{folder}/root"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def compare(kind: str, rows: int, runs: int, folder: Path) -> dict[str, object]:
    """Both sides in turn, and the medians and ratios."""
    source = folder / f"orders.{kind}"
    maker = Path(__file__).with_name("sources.py")
    subprocess.run([sys.executable, str(maker), kind, str(rows), str(source)], check=True)
    pairs = [(run("jobforge", kind, source), run("floor", kind, source)) for _ in range(runs + 1)][
        1:
    ]
    size = source.stat().st_size
    source.unlink()
    row: dict[str, object] = {"kind": kind, "rows": rows, "bytes": size, "runs": runs}
    for figure in ("cpu", "wall", "peak_mb"):
        row[f"{figure}_jobforge"] = statistics.median(ours[figure] for ours, _ in pairs)
        row[f"{figure}_floor"] = statistics.median(floor[figure] for _, floor in pairs)
        row[f"{figure}_ratio"] = statistics.median(o[figure] / f[figure] for o, f in pairs)
    return row


def show(row: dict[str, object]) -> None:
    figure, aim = AIMS[str(row["kind"])]
    parts = [f"{row['kind']:8} {row['rows']:>11,} rows"]
    for name, unit in (("cpu", "s"), ("wall", "s"), ("peak_mb", "MB")):
        ours, floor = row[f"{name}_jobforge"], row[f"{name}_floor"]
        parts.append(f"{name} {ours:.2f} / {floor:.2f} {unit} = {row[f'{name}_ratio']:.2f}")
    print("   ".join([*parts, f"aim {figure} {aim}"]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--kinds", nargs="+", default=list(FLOORS), choices=list(FLOORS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=4, metavar=("SIDE", "KIND", "SOURCE", "TARGET"))
    chosen = parser.parse_args()
    if chosen.one:
        side, kind, source, target = chosen.one
        print(json.dumps(measured(side, kind, Path(source), Path(target))))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for kind in chosen.kinds:
            rows.append(compare(kind, chosen.rows, chosen.runs, Path(folder)))
            show(rows[-1])
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
