"""Memory of a streaming ingest does not grow with the number of rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

MAKER = Path(__file__).parents[2] / "benchmarks" / "sources.py"
# Private memory only: pages of the source file that the kernel keeps are not ours.
CHILD = """
import json, sys, threading, time
from pathlib import Path
from jobforge import PipelineConfig, PipelineEngine
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
log = PipelineEngine(PipelineConfig(Path(sys.argv[2]))).ingest(sys.argv[1], "orders")["log"]
done.set()
print(json.dumps([peak, log.row_count_out]))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]


def peak_kib(kind: str, rows: int, folder: Path, *, uneven: bool = False) -> int:
    """Highest private memory of a child that ingests that many rows."""
    source = folder / f"orders-{rows}.{kind}"
    subprocess.run([sys.executable, str(MAKER), kind, str(rows), str(source)], check=True)
    if uneven:
        # A blank line after the header sends a file to the exact reader, record by record.
        head, rest = source.read_bytes().split(b"\n", 1)
        source.write_bytes(head + b"\n\n" + rest)
    command = [sys.executable, "-c", CHILD, str(source), str(folder / f"root-{rows}")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
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
