"""The chain: one entry for each finished transition, which never changes.

Records are views, and may change: a reject is cured later. An entry of the chain,
`catalog/chain/{number}.json`, is written once. It holds what the record says of the
transition at its end, the hash of every file that it made, and the SHA-256 of the
bytes of the entry before; so nothing can be changed, left out or put in later
without changing every entry after it. Its own seal shows damage to the last one.
Whoever keeps the hash of the last one, the head, can tell whether the chain is
still the one that was there.

A writer takes the next free number, and tries again where another was quicker:
nobody waits for the work of anybody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, Field, NonNegativeInt

from jobforge.errors import PublishConflictError, RecordError
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.models import BatchRecord, LayerTransitionLog, SourceInfo, Waiver
from jobforge.pipeline.records import RECORD_FORMAT, Record, Sha256
from jobforge.storage.delta.log import LOG, entry_path
from jobforge.storage.publish import publish_bytes
from jobforge.storage.source import hash_file

_DIGITS = 8
_PREFIX = "sha256:"
_UNSEALED = "0" * 64
_TAIL = 64 + len('"\n}\n')
"""Bytes from the start of the seal to the end of the file."""


class ChainedFile(Record):
    """A file as it was when the transition ended."""

    file: str
    """Relative to the data root."""
    sha256: Sha256
    size_bytes: NonNegativeInt


class ChainEntry(Record):
    """What happened, sealed."""

    format_version: int = RECORD_FORMAT
    number: int = Field(ge=1)
    previous: Sha256 | None
    """SHA-256 of the bytes of the entry before; null for the first."""
    at: AwareDatetime
    """When the entry was written."""
    batch_id: str
    table: str
    domain: str
    batch_created_at: AwareDatetime
    cures: str | None = None
    sources: tuple[SourceInfo, ...] = ()
    """The source files of the batch, where the transition is an ingest."""
    log: LayerTransitionLog | None = None
    """The transition; null where somebody waived rejects."""
    waiver: Waiver | None = None
    files: tuple[ChainedFile, ...] = ()
    """Files that it made; they stay as they are until a later transition removes them."""
    views: tuple[ChainedFile, ...] = ()
    """Files that later transitions write anew, as they were."""
    seal: Sha256 = _UNSEALED
    """SHA-256 of the bytes of this entry with 64 zeros in this place."""

    def sealed(self) -> bytes:
        """The entry as its file has it."""
        data = self.as_json()
        return _with_seal(data, sha256(data))


class Head(Record):
    """The last entry of a chain."""

    number: int
    sha256: Sha256


def chain_entry_path(config: PipelineConfig, number: int) -> Path:
    """Where an entry stands."""
    return config.chain_path() / f"{number:0{_DIGITS}}.json"


def chain_numbers(config: PipelineConfig) -> list[int]:
    """The numbers of the entries that are there, ascending."""
    try:
        names = {path.name for path in config.chain_path().glob("*.json")}
    except OSError:
        return []
    stems = (name.removesuffix(".json") for name in names)
    numbers = {int(stem) for stem in stems if stem.isdecimal()} - {0}
    # A number may be written in many ways, and an entry has one name.
    return sorted(number for number in numbers if chain_entry_path(config, number).name in names)


def newest_number(config: PipelineConfig) -> int:
    """The number of the last entry, 0 where there is none, without listing them all.

    Raises:
        RecordError: This user may not look into the folder.
    """
    low, high = 0, 1
    try:
        while chain_entry_path(config, high).exists():
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            if chain_entry_path(config, middle).exists():
                low = middle
            else:
                high = middle
    except OSError as error:
        raise RecordError(
            f"the chain {config.chain_path()} cannot be read: {error.strerror}",
            hint="look at its permissions",
        ) from error
    return low


def head(config: PipelineConfig) -> Head | None:
    """The last entry and its hash; None where there is none.

    Raises:
        RecordError: It cannot be read.
    """
    number = newest_number(config)
    if not number:
        return None
    return Head(number=number, sha256=sha256(read_bytes(config, number)))


def read_bytes(config: PipelineConfig, number: int) -> bytes:
    """An entry as it stands on the disk.

    Raises:
        RecordError: It cannot be read.
    """
    path = chain_entry_path(config, number)
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecordError(
            f"the entry {path} of the chain cannot be read: {error.strerror}",
            hint="look at its permissions, or restore it from a backup",
        ) from error


def sha256(data: bytes) -> str:
    """The hash by which the next entry names an entry, as lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def is_whole(data: bytes) -> bool:
    """Whether the bytes of an entry are those that were sealed."""
    seal = data[-_TAIL : -_TAIL + 64]
    zeros = _with_seal(data, _UNSEALED)
    return sha256(zeros).encode() == seal


def _with_seal(data: bytes, seal: str) -> bytes:
    return data[:-_TAIL] + seal.encode() + data[-_TAIL + len(seal) :]


def add_transition(
    config: PipelineConfig,
    record: BatchRecord,
    log: LayerTransitionLog,
    clock: Callable[[], datetime],
) -> None:
    """Seal a transition that has its outcome.

    Args:
        config: Where the data root is.
        record: The record of its batch.
        log: The transition.
        clock: Gives the time in UTC.

    Raises:
        StorageError: The entry could not be written.
    """
    sources = record.sources if log.source_layer == "source" else ()
    files = tuple(_files(config, log, sources))
    views = tuple(_views(config, log))
    about = {"sources": sources, "log": log, "files": files, "views": views}
    _add(config, record, clock, about)


def add_waiver(
    config: PipelineConfig, record: BatchRecord, waiver: Waiver, clock: Callable[[], datetime]
) -> None:
    """Seal what somebody decided of rejected rows.

    Raises:
        StorageError: The entry could not be written.
    """
    _add(config, record, clock, {"waiver": waiver})


def is_sealed(config: PipelineConfig, log: LayerTransitionLog) -> bool:
    """Whether the chain has a transition; looked for from its end back to its start.

    Raises:
        RecordError: An entry cannot be read.
    """
    for number in range(newest_number(config), 0, -1):
        data = read_bytes(config, number)
        if log.transition_id.encode() in data:
            return True
        try:
            entry = ChainEntry.model_validate_json(data)
        except ValueError:
            continue  # whoever verifies the chain says so
        if entry.at < log.started_at:
            return False
    return False


def is_waiver_sealed(config: PipelineConfig, batch_id: str, waiver: Waiver, after: int) -> bool:
    """Whether an entry behind a number has a waiver.

    Raises:
        RecordError: An entry cannot be read.
    """
    for number in range(after + 1, newest_number(config) + 1):
        try:
            entry = ChainEntry.model_validate_json(read_bytes(config, number))
        except ValueError:
            continue  # whoever verifies the chain says so
        if (entry.batch_id, entry.waiver) == (batch_id, waiver):
            return True
    return False


def _add(
    config: PipelineConfig,
    record: BatchRecord,
    clock: Callable[[], datetime],
    about: dict[str, Any],
) -> None:
    while True:
        last = head(config)
        number = last.number + 1 if last is not None else 1
        made = ChainEntry(
            number=number,
            previous=last.sha256 if last is not None else None,
            at=clock(),
            batch_id=record.batch_id,
            table=record.table,
            domain=record.domain,
            batch_created_at=record.created_at,
            cures=record.cures,
            **about,
        )
        try:
            publish_bytes(chain_entry_path(config, number), made.sealed(), replace=False)
        except PublishConflictError:
            continue  # somebody was quicker: theirs is the one before
        return


def _files(
    config: PipelineConfig, log: LayerTransitionLog, sources: Iterable[SourceInfo]
) -> Iterator[ChainedFile]:
    """What the transition made and what will not change, with the hashes that it knows."""
    for info in sources:
        if info.archived is not None and (config.data_root / info.archived).is_file():
            yield _chained(config, info.archived, info.sha256)
    known = {log.target_file: log.content_hash}
    known |= {new.file: new.content_hash for new in log.added}
    made = [log.target_file, log.quarantine_file, log.edges_file, log.groups_file]
    for file in (*made, *(new.file for new in log.added), *_entries(log)):
        if file is None or not (config.data_root / file).is_file():
            continue
        yield _chained(config, file, known.get(file))


def _entries(log: LayerTransitionLog) -> Iterator[str]:
    """Entries of the table's own log that the transition made."""
    if log.table_version is None:
        return
    folder = Path(log.target_layer) / log.domain / log.table
    if log.table_version == 1:
        yield entry_path(folder, 0).as_posix()
    path = entry_path(folder, log.table_version)
    yield path.as_posix()
    yield path.with_suffix(".checkpoint.parquet").as_posix()


def _views(config: PipelineConfig, log: LayerTransitionLog) -> Iterator[ChainedFile]:
    name = f"{log.domain}/{log.table}"
    catalog = config.catalog_path().relative_to(config.data_root).as_posix()
    views = [
        f"{catalog}/root.json",
        f"{catalog}/tables/{name}.json",
        f"{catalog}/schemas/{name}.json",
    ]
    if log.target_layer is not Layer.STAGED:
        views.append(f"{log.target_layer}/{name}/{LOG}/_last_checkpoint")
    for file in views:
        if (config.data_root / file).is_file():
            yield _chained(config, file, None)


def _chained(config: PipelineConfig, file: str, known: str | None) -> ChainedFile:
    path = config.data_root / file
    digest = known.removeprefix(_PREFIX) if known is not None else hash_file(path)
    return ChainedFile(file=file, sha256=digest, size_bytes=path.stat().st_size)
