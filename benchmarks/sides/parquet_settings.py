"""Bronze written to Parquet with some settings, or such a file read back, on the clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import clock
import polars as pl
import pyarrow.parquet as pq

POLARS: dict[str, dict[str, Any]] = {
    "zstd 3": {"compression": "zstd", "compression_level": 3},
    "zstd 1": {"compression": "zstd", "compression_level": 1},
    "lz4": {"compression": "lz4"},
    "snappy": {"compression": "snappy"},
    "zstd 1, no statistics": {
        "compression": "zstd",
        "compression_level": 1,
        "statistics": False,
    },
    "zstd 1, groups of 250,000": {
        "compression": "zstd",
        "compression_level": 1,
        "row_group_size": 250_000,
    },
}
PYARROW: dict[str, dict[str, Any]] = {
    "pyarrow, zstd 1, dictionaries": {"use_dictionary": True},
    "pyarrow, zstd 1, no dictionaries": {"use_dictionary": False},
    "pyarrow, zstd 1, dictionaries, order declared": {"use_dictionary": True, "order": True},
}
"""What Polars has no switch for, by an encoder that has."""


def write(source: Path, target: Path, settings: str) -> Path:
    """The file, copied with other settings."""
    path = target / "copy.parquet"
    if settings in POLARS:
        pl.scan_parquet(source).sink_parquet(path, **POLARS[settings])
        return path
    with pq.ParquetFile(source) as opened:
        wanted = dict(PYARROW[settings])
        if wanted.pop("order", False):
            place = opened.schema_arrow.names.index("_source_row")
            wanted["sorting_columns"] = [pq.SortingColumn(place)]
        with pq.ParquetWriter(
            path, opened.schema_arrow, compression="zstd", compression_level=1, **wanted
        ) as writer:
            for group in range(opened.num_row_groups):
                writer.write_table(opened.read_row_group(group))
    return path


def everything(path: Path) -> pl.DataFrame:
    """The greatest value of every column: the whole file, decoded."""
    return pl.scan_parquet(path).select(pl.all().max()).collect(engine="streaming")


def records(path: Path) -> list[pl.DataFrame]:
    """Twenty records from all over the file, one by one, as an audit looks them up."""
    rows = int(pl.scan_parquet(path).select(pl.len()).collect().item())
    return [
        pl.scan_parquet(path).filter(pl.col("_source_row") == wanted).collect(engine="streaming")
        for wanted in range(1, rows, rows // 20)
    ]


if __name__ == "__main__":
    parser = clock.arguments(__doc__)
    parser.add_argument("--settings", choices=[*POLARS, *PYARROW], required=True)
    parser.add_argument("--read", choices=["everything", "records"], help="time a read instead")
    chosen = parser.parse_args()
    if chosen.read:
        chosen.target.mkdir(parents=True, exist_ok=True)
        made = write(chosen.source, chosen.target, chosen.settings)
        read = {"everything": everything, "records": records}[chosen.read]
        clock.run(chosen, lambda: read(made), lambda _: clock.Made())
    else:
        clock.run(
            chosen,
            lambda: write(chosen.source, chosen.target, chosen.settings),
            lambda path: clock.Made({}, {"size": str(path.stat().st_size)}),
        )
