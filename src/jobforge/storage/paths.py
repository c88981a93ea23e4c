"""Paths inside a data root, and what a path is allowed to be."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from jobforge.errors import NotAJobforgeFileError

UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
"""Pattern of the id of a batch or transition (https://www.rfc-editor.org/rfc/rfc9562#section-4)."""
_BATCH_FILE = re.compile(rf"{UUID}(\.[0-9]+)?\.parquet")


def is_batch_file(name: str) -> bool:
    """Whether a file name is one that jobforge gives to the rows of a batch."""
    return _BATCH_FILE.fullmatch(name) is not None


def batch_files(folders: Sequence[Path], batch_id: str, taken: Collection[str] = ()) -> list[Path]:
    """Paths for the next files of a batch, one in each folder, all with one number.

    The first is `{batch_id}.parquet`; where a batch is promoted again it is
    `{batch_id}.2.parquet`, then `.3`.

    Args:
        folders: Where the files will be.
        batch_id: The batch.
        taken: Names that somebody else will use.
    """
    attempt = 1
    while True:
        name = f"{batch_id}.parquet" if attempt == 1 else f"{batch_id}.{attempt}.parquet"
        paths = [folder / name for folder in folders]
        if name not in taken and not any(path.exists() for path in paths):
            return paths
        attempt += 1


def relative_to_root(path: Path, root: Path) -> str:
    """The path as records keep it: relative to the data root, so that a root can move.

    A path outside the root stays absolute.
    """
    # As it is written first: a folder of the root may be a link to another disk.
    if path.absolute().is_relative_to(root.absolute()):
        return path.absolute().relative_to(root.absolute()).as_posix()
    place, base = path.resolve(), root.resolve()
    return (place.relative_to(base) if place.is_relative_to(base) else place).as_posix()


def existing_file(path: Path | str) -> Path:
    """The path, where a regular file stands there.

    Raises:
        NotAJobforgeFileError: There is none.
    """
    try:
        place = Path(path)
        there = place.is_file()
    except (OSError, TypeError, ValueError) as error:
        raise NotAJobforgeFileError(
            f"{path!r} is no path", hint="pass the path that an earlier step returned"
        ) from error
    if not there:
        raise NotAJobforgeFileError(
            f"there is no file {place}" if not place.exists() else f"{place} is no file",
            hint="pass the path that an earlier step returned",
        )
    return place
