"""Source files kept beside the layers, byte for byte: `sources/{2 digits}/{SHA-256}{ending}`.

A file keeps the ending of its name, by which readers tell what it is. The same
bytes are kept once. A file that no batch has is one of an ingest that failed:
`clean` removes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from jobforge.errors import SourceChangedError, SourceUnreadableError, WriteError
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.models import BatchRecord, SourceInfo
from jobforge.readers.text import COMPRESSIONS
from jobforge.storage.debris import is_temporary
from jobforge.storage.publish import SPACE, Publication
from jobforge.storage.source import BLOCK_BYTES, hash_file

_ENDING = re.compile(r"\.[a-z0-9]{1,11}")


def archive_name(name: str, sha256: str) -> str:
    """Where a source of a name is kept, relative to the data root."""
    endings = [end for end in Path(name.lower()).suffixes if _ENDING.fullmatch(end)]
    # `.csv.gz` is an ending; in `2024.csv` only the last part is.
    kept = endings[-2:] if endings and endings[-1] in COMPRESSIONS else endings[-1:]
    return f"sources/{sha256[:2]}/{sha256}{''.join(kept)}"


def keep(config: PipelineConfig, info: SourceInfo, path: Path) -> None:
    """Copy a source into the archive; what is there already is looked at, and stays.

    Args:
        config: Where the data root is.
        info: The source as it was read; `archived` says where it goes.
        path: The source.

    Raises:
        SourceChangedError: Its bytes are no longer those that were read.
        StorageError: It cannot be written.
    """
    if info.archived is None:
        return
    target = config.data_root / info.archived
    if target.is_file() and hash_file(target) == info.sha256:
        with contextlib.suppress(OSError):
            os.utime(target)  # `clean` takes it for new until a record names it
        return
    # Whoever keeps the same bytes at the same time writes the same file.
    with Publication(final=True) as publication:
        temp = publication.reserve(target, replace=True)
        if _copied(path, temp) != info.sha256:
            raise SourceChangedError(
                f"{path} changed while it was read",
                hint="wait until whoever writes it has finished, then run again",
            )
        publication.place()
        publication.keep()


def copies(config: PipelineConfig, sha256: str) -> list[Path]:
    """Files of the archive with these bytes: one for each ending that they were read under."""
    return sorted((config.sources_path() / sha256[:2]).glob(f"{sha256}*"))


def unnamed(config: PipelineConfig, records: Iterable[BatchRecord]) -> Iterator[Path]:
    """Files of the archive that no batch has, unless as one whose ingest failed."""
    named = {
        info.archived
        for record in records
        for info in record.sources
        if any(log.target_file or log.completed_at is None for log in record.transitions)
    }
    root = config.data_root
    for path in sorted(config.sources_path().glob("*/*")):
        if not is_temporary(path.name) and path.relative_to(root).as_posix() not in named:
            yield path


def _copied(path: Path, target: Path) -> str:
    """Copy a file; the SHA-256 of its bytes."""
    digest = hashlib.sha256()
    try:
        source = path.open("rb", buffering=0)
    except OSError as error:
        raise SourceUnreadableError(
            f"{path} cannot be read: {error}", hint="look at the path and its permissions"
        ) from error
    with source:
        try:
            with target.open("wb") as file:
                while block := source.read(BLOCK_BYTES):
                    digest.update(block)
                    file.write(block)
        except OSError as error:
            raise WriteError(
                f"the source {path} could not be copied to {target.parent}: {error}", hint=SPACE
            ) from error
    return digest.hexdigest()
