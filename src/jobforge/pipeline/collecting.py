"""Rows of files of a data root, or which of the files cannot be read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from jobforge.errors import TableDamagedError

_DAMAGE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


def collected(rows: pl.LazyFrame, paths: Iterable[Path]) -> pl.DataFrame:
    """Rows that are computed from files by what cannot fail but by them.

    Raises:
        TableDamagedError: A file cannot be read; names it.
    """
    try:
        return rows.collect(engine="streaming")
    except _DAMAGE as error:
        files = list(paths)
        # Polars does not say by which file it failed.
        found = [path for path in files if len(files) == 1 or _is_damaged(path)]
        raise TableDamagedError(
            f"{', '.join(map(str, found or files))} cannot be read "
            f"({(str(error).splitlines() or [''])[0]})",
            hint="restore it from a backup; `jobforge verify` says what else is damaged",
        ) from error


def _is_damaged(path: Path) -> bool:
    """Whether a file cannot be read to its end."""
    try:
        pl.scan_parquet(path, glob=False).select(pl.all().null_count()).collect(engine="streaming")
    except _DAMAGE:
        return True
    return False
