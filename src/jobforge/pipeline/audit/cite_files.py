"""The files of a version, held against what was published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jobforge.errors import TableDamagedError
from jobforge.pipeline import chain
from jobforge.pipeline.audit.citation import CitedFile
from jobforge.pipeline.chain import ChainEntry, chain_entry_path
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.records import parse_record
from jobforge.storage.source import hash_file


def cited_files(config: PipelineConfig, files: Sequence[str]) -> tuple[CitedFile, ...]:
    """Hash files, and look up what the chain says of them.

    Args:
        config: Where the data root is.
        files: Relative to the data root.

    Raises:
        TableDamagedError: The bytes of one are not those that were published.
        RecordError: An entry of the chain cannot be read.
        SourceUnreadableError: A file cannot be read.
    """
    known = _sealed(config, files)
    found = []
    for file in files:
        digest = hash_file(config.data_root / Path(file))
        entry, published = known.get(file, (None, digest))
        if digest != published:
            raise TableDamagedError(
                f"the bytes of {file} are not those that were published: no figure of it is cited",
                hint="restore it from a backup; `jobforge verify` says what else was changed",
                entry=entry or 0,
            )
        found.append(CitedFile(file=file, sha256=digest, entry=entry))
    return tuple(found)


def _sealed(config: PipelineConfig, files: Sequence[str]) -> dict[str, tuple[int, str]]:
    """The newest entry of the chain that made each file, and the hash that it has there."""
    missing = set(files)
    found: dict[str, tuple[int, str]] = {}
    for number in range(chain.newest_number(config), 0, -1):
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
