"""Bronze written to Parquet with some settings, or such a file read back, on the clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import clock
import polars as pl

SETTINGS: dict[str, dict[str, Any]] = {
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


def write(source: Path, target: Path, settings: str) -> Path:
    """The file, copied with other settings."""
    path = target / "copy.parquet"
    pl.scan_parquet(source).sink_parquet(path, **SETTINGS[settings])
    return path


if __name__ == "__main__":
    parser = clock.arguments(__doc__)
    parser.add_argument("--settings", choices=list(SETTINGS), required=True)
    parser.add_argument("--read", action="store_true", help="time the reading of the copy")
    chosen = parser.parse_args()
    if chosen.read:
        chosen.target.mkdir(parents=True, exist_ok=True)
        made = write(chosen.source, chosen.target, chosen.settings)
        clock.run(
            chosen,
            lambda: pl.scan_parquet(made).select(pl.all().max()).collect(engine="streaming"),
            lambda _: clock.Made(),
        )
    else:
        clock.run(
            chosen,
            lambda: write(chosen.source, chosen.target, chosen.settings),
            lambda path: clock.Made({}, {"size": str(path.stat().st_size)}),
        )
