"""Memory does not grow with the number of rows, and a limit is enough for many."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

MAKER = Path(__file__).parents[2] / "benchmarks" / "sources.py"
# Private memory only: pages of the source file that the kernel keeps are not ours.
CHILD = """
import json, sys, threading, time
from pathlib import Path
import polars as pl
from jobforge import PipelineConfig, PipelineEngine, deduplicate, expect, trim
from jobforge.pipeline import events

peak = 0
done = threading.Event()

def watch():
    global peak
    while not done.wait(0.01):
        for line in open("/proc/self/status"):
            if line.startswith("RssAnon"):
                peak = max(peak, int(line.split()[1]))

events.configure(quiet=True)
threading.Thread(target=watch, daemon=True).start()
engine = PipelineEngine(PipelineConfig(Path(sys.argv[2])))
if sys.argv[3] == "ingest":
    log = engine.ingest(sys.argv[1], "orders")["log"]
else:
    casts = {"Order ID": "Int64", "Order Date": "Date", "Quantity": "Int32", "Discount": "Float64"}
    keys = [deduplicate("Order ID")] if sys.argv[3] == "all" else []
    logs = engine.run_full_pipeline(
        sys.argv[1],
        "orders",
        bronze_schema={"cast": casts},
        silver_transforms=[trim("Status"), expect("sold", pl.col("Quantity") > 0), *keys],
        gold_transforms=[lambda lf: lf.with_columns(whole=pl.col("Discount") * 100)],
    )["logs"]
    log = logs[0]
    left = logs[2].account
    assert left.quarantined and bool(left.deduplicated) == bool(keys)
done.set()
print(json.dumps([peak, log.row_count_out]))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]


def peak_kib(
    kind: str,
    rows: int,
    folder: Path,
    *,
    uneven: bool = False,
    work: str = "ingest",
    limit: int = resource.RLIM_INFINITY,
) -> int:
    """Highest private memory of a child that ingests that many rows, or takes them to gold.

    Args:
        work: `ingest`, or a full run: `all`, or `no keys` without a deduplication.
        limit: Bytes of address space that the child gets.
    """
    source = folder / f"orders-{rows}.{kind}"
    subprocess.run([sys.executable, str(MAKER), kind, str(rows), str(source)], check=True)
    if uneven:
        # A blank line after the header sends a file to the exact reader, record by record.
        head, rest = source.read_bytes().split(b"\n", 1)
        source.write_bytes(head + b"\n\n" + rest)
    command = [sys.executable, "-c", CHILD, str(source), str(folder / f"root-{rows}"), work]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        # Each thread reserves address space, used or not.
        env=os.environ | {"POLARS_MAX_THREADS": "2"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    peak, counted = json.loads(done.stdout)
    assert counted == rows
    source.unlink()
    return int(peak)


@pytest.mark.parametrize(
    ("kind", "uneven", "rows"),
    [
        # Polars' own buffers for a CSV file are full at some three million rows.
        ("csv", False, 3_000_000),
        ("csv", True, 250_000),
        ("ndjson", False, 250_000),
        ("parquet", False, 500_000),
    ],
)
def test_three_times_the_rows_take_little_more_memory(
    tmp_path: Path, kind: str, rows: int, *, uneven: bool
) -> None:
    small = peak_kib(kind, rows, tmp_path, uneven=uneven)
    large = peak_kib(kind, 3 * rows, tmp_path, uneven=uneven)
    assert large < 1.4 * small, f"{small} KiB for {rows:,} rows, {large} KiB for {3 * rows:,}"


def test_a_full_run_takes_no_more_memory_for_more_rows(tmp_path: Path) -> None:
    """Apart from the keys of a deduplication, which have to be known."""
    # The buffers of Polars are full at some three million rows.
    small = peak_kib("csv", 4_000_000, tmp_path, work="no keys")
    large = peak_kib("csv", 10_000_000, tmp_path, work="no keys")
    assert large < 1.2 * small, f"{small} KiB, and {large} KiB for more rows"


def test_five_million_rows_in_four_gibibytes_of_address_space(tmp_path: Path) -> None:
    """Most of it is reserved and never used: the peak is a fifth of that."""
    peak = peak_kib("csv", 5_000_000, tmp_path, work="all", limit=4 << 30)
    assert peak < 1 << 20


def test_the_limit_is_one(tmp_path: Path) -> None:
    """Under half of it the same run fails, so that the limit means something."""
    with pytest.raises(subprocess.CalledProcessError) as failed:
        peak_kib("csv", 5_000_000, tmp_path, work="all", limit=2 << 30)
    assert "memory" in failed.value.stderr.lower()
