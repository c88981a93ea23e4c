"""The floor of staged alone: plain Polars reads a file and writes it as Parquet."""

from __future__ import annotations

from pathlib import Path

import clock
import polars as pl


def scanned(source: Path) -> pl.LazyFrame:
    """The file as Polars reads it: CSV as text, the others with their types."""
    if source.suffix == ".csv":
        return pl.scan_csv(source, infer_schema=False, glob=False)
    if source.suffix == ".ndjson":
        return pl.scan_ndjson(source, infer_schema_length=None)
    return pl.scan_parquet(source, glob=False)


def work(source: Path, target: Path) -> Path:
    written = target / "staged.parquet"
    scanned(source).sink_parquet(written, compression="zstd")
    return written


def made(written: Path) -> clock.Made:
    rows = pl.scan_parquet(written).select(pl.len()).collect().item()
    return clock.Made({"staged": rows}, {"staged": str(written)})


if __name__ == "__main__":
    chosen = clock.arguments(__doc__).parse_args()
    clock.run(chosen, lambda: work(chosen.source, chosen.target), made)
