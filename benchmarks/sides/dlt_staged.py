"""Staged alone by dlt: the CSV file as Parquet files, through Arrow tables, all columns as text."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["RUNTIME__LOG_LEVEL"] = "CRITICAL"
os.environ["DATA_WRITER__COMPRESSION"] = "zstd"  # as the other sides; dlt's own is snappy

import clock
import job
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

DLT = import_module("dlt")
_BLOCK = 16 * 1024**2  # larger than pyarrow's own, which makes dlt write very many small tables


def tables(source: Path) -> Iterator[pa.Table]:
    """The file, a block at a time."""
    with csv.open_csv(
        source,
        read_options=csv.ReadOptions(block_size=_BLOCK),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(job.NAMES, pa.string()), strings_can_be_null=True
        ),
    ) as reader:
        for batch in reader:
            yield pa.Table.from_batches([batch])


def work(source: Path, target: Path) -> list[Path]:
    pipeline = DLT.pipeline(
        "orders",
        pipelines_dir=str(target / "state"),
        destination=DLT.destinations.filesystem(bucket_url=(target / "out").as_uri()),
        dataset_name="staged",
    )
    pipeline.run(DLT.resource(tables(source), name="orders"), loader_file_format="parquet")
    return sorted((target / "out" / "staged" / "orders").glob("*.parquet"))


def made(paths: list[Path]) -> clock.Made:
    """Rows as the files have them."""
    rows = sum(pq.read_metadata(path).num_rows for path in paths)
    return clock.Made({"staged": rows}, {"staged": str(paths[0].with_name("*.parquet"))})


if __name__ == "__main__":
    chosen = clock.arguments(__doc__).parse_args()
    clock.run(chosen, lambda: work(chosen.source, chosen.target), made)
