"""Paths inside a data root, and what a path is allowed to be."""

from __future__ import annotations

from pathlib import Path

from jobforge.errors import NotAJobforgeFileError


def batch_file(folder: Path, batch_id: str) -> Path:
    """The path for the next file of a batch in a folder; a path is never used twice.

    The first is `{batch_id}.parquet`; where a batch is promoted again it is
    `{batch_id}.2.parquet`, then `.3`.
    """
    path = folder / f"{batch_id}.parquet"
    attempt = 2
    while path.exists():
        path = folder / f"{batch_id}.{attempt}.parquet"
        attempt += 1
    return path


def relative_to_root(path: Path, root: Path) -> str:
    """The path as records keep it: relative to the data root, so that a root can move.

    A path outside the root stays absolute.
    """
    place, base = path.resolve(), root.resolve()
    return (place.relative_to(base) if place.is_relative_to(base) else place).as_posix()


def existing_file(path: Path | str) -> Path:
    """The path, where a regular file stands there.

    Raises:
        NotAJobforgeFileError: There is none.
    """
    place = Path(path)
    if not place.is_file():
        raise NotAJobforgeFileError(
            f"there is no file {place}" if not place.exists() else f"{place} is no file",
            hint="pass the path that an earlier step returned",
        )
    return place
