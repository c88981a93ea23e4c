"""The files of a version, held against what was published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from jobforge.errors import InvalidQueryError, JobforgeError, RecordError, TableDamagedError
from jobforge.pipeline import chain, lineage
from jobforge.pipeline.audit.citation import CitedFile
from jobforge.pipeline.chain import ChainEntry, chain_entry_path
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.records import parse_record
from jobforge.storage.source import hash_file

_DAMAGE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
_BACKUP = "restore it from a backup; `jobforge verify` says what else was changed"


def cited_files(config: PipelineConfig, files: Sequence[str]) -> tuple[CitedFile, ...]:
    """Hash files, and look up what the chain says of them.

    Args:
        config: Where the data root is.
        files: Relative to the data root.

    Raises:
        TableDamagedError: The bytes of one are not those that were published.
        RecordError: An entry of the chain is missing, or cannot be read.
        SourceUnreadableError: A file cannot be read.
    """
    known = _sealed(config, files)
    recorded = _recorded(config) if any(file not in known for file in files) else {}
    found = []
    for file in files:
        digest = hash_file(config.data_root / Path(file))
        entry, published = known.get(file, (None, recorded.get(file, digest)))
        if digest != published:
            raise TableDamagedError(
                f"the bytes of {file} are not those that were published: no figure of it is cited",
                hint=_BACKUP,
                entry=entry or 0,
            )
        found.append(CitedFile(file=file, sha256=digest, entry=entry))
    return tuple(found)


@contextmanager
def damage_told(config: PipelineConfig, files: Sequence[CitedFile]) -> Iterator[None]:
    """Say which file is damaged, where reading fails by one.

    Polars says much the same of a damaged file and of a statement that fails, and does
    not always name the file. So the files are looked at, those that the chain does not
    know: the bytes of the others are the ones that were published.

    Raises:
        TableDamagedError: A file cannot be read.
    """
    try:
        yield
    except (*_DAMAGE, InvalidQueryError) as error:
        for file in files:
            why = _damage(config.data_root / file.file) if file.entry is None else None
            if why is not None:
                raise TableDamagedError(
                    f"{file.file} cannot be read ({why})", hint=_BACKUP
                ) from error
        if isinstance(error, JobforgeError):
            raise
        names = ", ".join(file.file for file in files)
        raise TableDamagedError(
            f"{names} cannot be read ({_first_line(error)})", hint=_BACKUP
        ) from error


def _damage(path: Path) -> str | None:
    """Why a file cannot be read to its end; None where it can."""
    try:
        for _ in pl.scan_parquet(path, glob=False).collect_batches(engine="streaming"):
            pass
    except _DAMAGE as error:
        return _first_line(error)
    return None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _recorded(config: PipelineConfig) -> dict[str, str]:
    """The hashes that the records have of files."""
    found: dict[str, str | None] = {}
    for record in lineage.all_records(config):
        for log in record.transitions:
            found |= {new.file: new.content_hash for new in log.added}
            if log.target_file is not None:
                found[log.target_file] = log.content_hash
    return {file: text.removeprefix("sha256:") for file, text in found.items() if text}


def _sealed(config: PipelineConfig, files: Sequence[str]) -> dict[str, tuple[int, str]]:
    """The newest entry of the chain that made each file, and the hash that it has there."""
    numbers = chain.chain_numbers(config)
    gone = next((n for n, there in enumerate(numbers, start=1) if n != there), None)
    if gone is not None:
        raise RecordError(
            f"entry {gone} of the chain is missing: what it says of files cannot be compared",
            hint="restore it from a backup; `jobforge verify` says what else was changed",
        )
    missing = set(files)
    found: dict[str, tuple[int, str]] = {}
    for number in reversed(numbers):
        if not missing:
            break
        data = chain.read_bytes(config, number)
        # Most entries are about other files, and need not be parsed.
        if not any(Path(file).name.encode() in data for file in missing):
            continue
        entry = parse_record(chain_entry_path(config, number), data, ChainEntry)
        for made in entry.files:
            if made.file in missing:
                found[made.file] = number, made.sha256
                missing.discard(made.file)
    return found
