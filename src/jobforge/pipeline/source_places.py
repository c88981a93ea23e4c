"""From a source record to its place in the source file, and back, where the file is there.

A file is looked into only where it is what was read. Up to 64 MiB that is told
by its SHA-256; of a larger one, which takes more than a second for each GB, by
its size and time of last change, unless more is asked for.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal, TypeVar

from jobforge.errors import (
    InvalidOptionError,
    JobforgeError,
    RecordNotFoundError,
    nearest,
)
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.models import BatchRecord, SourceInfo
from jobforge.readers.base import Locating, ReadContext, ReadOptions
from jobforge.readers.places import NOWHERE, RecordPlace
from jobforge.readers.registry import reader_named
from jobforge.storage.source import SourceFile, hash_file

ALWAYS_HASHED = 64 << 20
"""Bytes up to which a file is always hashed: that takes less than a tenth of a second."""

Verified = Literal["sha256", "size and time", "size"]
Result = TypeVar("Result")


class SourceState(StrEnum):
    """Where the bytes of a source are by now."""

    ORIGINAL = "original"
    """Where they were read."""
    ARCHIVED = "archived"
    """In the data root (`PipelineConfig.keep_source`), and no longer where they were read."""
    CHANGED = "changed"
    """Nowhere: the file has others."""
    MISSING = "missing"
    """Nowhere: the file is gone, or damaged."""
    UNREADABLE = "unreadable"
    """Not to be told: this user may not read the file, or not look into its folder."""


@dataclass(frozen=True)
class FoundSource:
    """A source of a batch, and where its bytes are by now.

    Args:
        info: The source as it was read.
        state: Where its bytes are.
        path: The file that has them, or None.
        verified: How that was told; None where there is no file.
        why: Why the file that was read is not looked into, in words; or empty.
    """

    info: SourceInfo
    state: SourceState
    path: Path | None = None
    verified: Verified | None = None
    why: str = ""


@dataclass(frozen=True)
class SourcePlaces:
    """Where records of a source stand.

    Args:
        source: The source.
        places: In the order of the records that were asked for; empty where
            they cannot be told.
        why: Why they cannot, in words; or empty.
    """

    source: FoundSource
    places: tuple[RecordPlace, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class SourceRecords:
    """Which records of a source have a part on a line.

    Args:
        source: The source.
        records: Their numbers; empty where there are none, or it cannot be told.
        why: Why it cannot, in words; or empty.
    """

    source: FoundSource
    records: range = NOWHERE
    why: str = ""


def find_source(
    config: PipelineConfig, record: BatchRecord, source_file: str, *, verify: bool = False
) -> FoundSource:
    """Where the bytes of a source of a batch are by now.

    Args:
        config: Where the data root is.
        record: The batch.
        source_file: The source, as `_source_file` has it.
        verify: Whether to hash large files too.

    Raises:
        RecordNotFoundError: The batch has no such source.
    """
    info = next((info for info in record.sources if info.name == source_file), None)
    if info is None:
        raise RecordNotFoundError(
            f"the batch {record.batch_id} has no source file {source_file!r}",
            hint=nearest(source_file, [info.name for info in record.sources])
            if record.sources
            else "its sources are not on record: it was promoted from a file of another data root",
        )
    found = _judge(info, info.place, timed=True, verify=verify)
    if found.path is not None or info.archived is None:
        return found
    kept = _judge(info, config.data_root / info.archived, timed=False, verify=verify)
    if kept.path is None:
        return found
    return FoundSource(info, SourceState.ARCHIVED, kept.path, kept.verified, found.why)


def find_places(
    config: PipelineConfig,
    record: BatchRecord,
    source_file: str,
    records: Sequence[int],
    *,
    verify: bool = False,
) -> SourcePlaces:
    """Where records of a source of a batch stand in its file.

    Args:
        config: Where the data root is.
        record: The batch.
        source_file: The source, as `_source_file` has it.
        records: Record numbers, as `_source_row` has them.
        verify: Whether to hash large files too before they are looked into.

    Raises:
        RecordNotFoundError: The batch has no such source, or the source no such record.
        SourceError: The file cannot be read.
    """
    source = find_source(config, record, source_file, verify=verify)

    def ask(reader: Locating, file: SourceFile, options: ReadOptions, at: ReadContext) -> None:
        places.extend(reader.places(file, options, records, at))

    places: list[RecordPlace] = []
    why = _asked(source, ask)
    return SourcePlaces(source, tuple(places), why)


def find_records(
    config: PipelineConfig,
    record: BatchRecord,
    source_file: str,
    line: int,
    *,
    verify: bool = False,
) -> SourceRecords:
    """Which records of a source of a batch have a part on a line.

    Args:
        config: Where the data root is.
        record: The batch.
        source_file: The source, as `_source_file` has it.
        line: Physical line from 1; of a workbook the row of the sheet, of a
            format without lines the row of the file.
        verify: Whether to hash large files too before they are looked into.

    Raises:
        RecordNotFoundError: The batch has no such source.
        SourceError: The file cannot be read.
    """
    source = find_source(config, record, source_file, verify=verify)

    def ask(reader: Locating, file: SourceFile, options: ReadOptions, at: ReadContext) -> None:
        found.append(reader.records_at(file, options, line, at))

    found: list[range] = []
    why = _asked(source, ask)
    return SourceRecords(source, found[0] if found else NOWHERE, why)


def _judge(info: SourceInfo, path: Path, *, timed: bool, verify: bool) -> FoundSource:
    """Whether a file has the bytes that were read.

    Args:
        info: What was read.
        path: The file.
        timed: Whether its time of last change says something.
        verify: Whether to hash it, whatever its size.
    """
    try:
        verified = _same_bytes(info, path, timed=timed, verify=verify)
    except FileNotFoundError:
        return FoundSource(info, SourceState.MISSING, why=f"there is no file {path}")
    except (OSError, ValueError) as error:
        first = error.message if isinstance(error, JobforgeError) else str(error)
        closed = isinstance(error, PermissionError) or isinstance(error.__cause__, PermissionError)
        state = SourceState.UNREADABLE if closed else SourceState.MISSING
        return FoundSource(info, state, why=f"{path} cannot be looked at: {first}")
    if verified is None:
        why = f"the bytes of {path} are not those that were read"
        return FoundSource(info, SourceState.CHANGED, why=why)
    return FoundSource(info, SourceState.ORIGINAL, path, verified)


def _same_bytes(info: SourceInfo, path: Path, *, timed: bool, verify: bool) -> Verified | None:
    """How it is told that a file has the bytes that were read; None where it has others."""
    found = path.stat()
    if found.st_size != info.size_bytes:
        return None
    if info.size_bytes > ALWAYS_HASHED and not verify:
        if not timed:
            return "size"
        if datetime.fromtimestamp(found.st_mtime_ns / 1e9, UTC) == info.modified_at:
            return "size and time"
    return "sha256" if hash_file(path) == info.sha256 else None


def _asked(
    source: FoundSource,
    ask: Callable[[Locating, SourceFile, ReadOptions, ReadContext], None],
) -> str:
    """Ask the reader of a source; gives why it could not be asked, or nothing."""
    info = source.info
    if source.path is None:
        return source.why
    if info.reader is None:
        return "an older jobforge read the file, and how is not on record"
    if info.options is None:
        return "an option that the file was read with is no JSON, and not on record"
    try:
        reader = reader_named(info.reader)
        options = reader.options(**info.options)
    except InvalidOptionError as error:
        return f"the file cannot be read again as it was: {error.message}"
    if not isinstance(reader, Locating):
        return f"the reader {info.reader} does not tell places"
    with tempfile.TemporaryDirectory(prefix="jobforge-") as folder:
        try:
            file = SourceFile(source.path)
            known = ReadContext(Path(folder), checkpoints=info.checkpoints, detected=info.detected)
            ask(reader, file, options, known)
            file.check_unchanged()
        except JobforgeError as error:
            raise error.at(file=str(source.path)) from error
    return ""
