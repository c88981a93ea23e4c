"""Batch records on disk: `catalog/lineage/{batch_id}.json`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from jobforge.errors import InvalidNameError, TableNotFoundError
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.models import BatchRecord, LayerTransitionLog, SourceInfo
from jobforge.pipeline.records import RECORD_FORMAT, parse_record, read_record
from jobforge.storage.paths import UUID
from jobforge.storage.rewrite import rewrite

_BATCH_ID = re.compile(UUID)


def record_path(config: PipelineConfig, batch_id: str) -> Path:
    """Where the record of a batch stands.

    Raises:
        InvalidNameError: The text is no batch id.
    """
    check_batch_id(batch_id)
    return config.catalog_lineage_path() / f"{batch_id}.json"


def check_batch_id(batch_id: object) -> None:
    """Refuse what is no batch id.

    Raises:
        InvalidNameError: It is not the 36-character text form of a UUID.
    """
    if not isinstance(batch_id, str) or not _BATCH_ID.fullmatch(batch_id):
        raise InvalidNameError(
            f"{batch_id!r} is no batch id",
            hint="`jobforge history` lists the batches",
        )


def record_log(
    config: PipelineConfig,
    log: LayerTransitionLog,
    sources: tuple[SourceInfo, ...] = (),
    plan: Callable[[BatchRecord], tuple[str, ...]] | None = None,
    cures: str | None = None,
) -> BatchRecord:
    """Put a transition into the record of its batch, in place of what it said before.

    The record is read and written under a lock, so that two transitions of one
    batch at the same time both stay in it.

    Args:
        config: Where the data root is.
        log: The transition.
        sources: The source files, where they are known.
        plan: Gives the names of the files that it will write, which no other
            transition of the batch may use; asked under the lock.
        cures: The batch whose rejects this one brings in, corrected.

    Returns:
        The record, whose last transition of this id is the log as it is recorded.

    Raises:
        RecordError: The record is damaged, or a newer jobforge wrote it.
        InvalidNameError: The batch id belongs to another table.
    """
    path = record_path(config, log.batch_id)

    made: list[BatchRecord] = []

    def change(data: bytes | None) -> bytes:
        record = (
            parse_record(path, data, BatchRecord)
            if data is not None
            else BatchRecord(
                batch_id=log.batch_id,
                table=log.table,
                domain=log.domain,
                created_at=log.started_at,
                cures=cures,
            )
        )
        if (record.table, record.domain) != (log.table, log.domain):
            raise InvalidNameError(
                f"the batch {log.batch_id} is one of {record.domain}/{record.table}",
                hint="use another batch id; a batch belongs to one table",
                table=log.table,
            )
        if sources:
            record = record.model_copy(update={"sources": sources})
        whole = log if plan is None else log.model_copy(update={"planned": plan(record)})
        made.append(record.with_log(whole))
        return made[-1].as_json()

    rewrite(path, change)
    return made[-1]


def amend(
    config: PipelineConfig, batch_id: str, change: Callable[[BatchRecord], BatchRecord]
) -> BatchRecord:
    """Change the record of a batch, under its lock.

    Returns:
        The record as it is now.

    Raises:
        TableNotFoundError: There is no such batch.
        RecordError: The record is damaged, or a newer jobforge wrote it.
    """
    path = record_path(config, batch_id)
    made: list[BatchRecord] = []

    def rewritten(data: bytes | None) -> bytes:
        if data is None:
            raise unknown_batch(batch_id)
        record = change(parse_record(path, data, BatchRecord))
        made.append(record.model_copy(update={"format_version": RECORD_FORMAT}))
        return made[-1].as_json()

    rewrite(path, rewritten)
    return made[-1]


def known(config: PipelineConfig, batch_id: str) -> BatchRecord:
    """The record of a batch.

    Raises:
        TableNotFoundError: There is no such batch.
        RecordError: The record is damaged, or a newer jobforge wrote it.
    """
    record = load(config, batch_id)
    if record is None:
        raise unknown_batch(batch_id)
    return record


def unknown_batch(batch_id: str) -> TableNotFoundError:
    """The error for a batch that the data root does not know."""
    return TableNotFoundError(
        f"there is no batch {batch_id}", hint="`jobforge history` lists the batches"
    )


def load(config: PipelineConfig, batch_id: str) -> BatchRecord | None:
    """The record of a batch, or None where there is none.

    Raises:
        RecordError: The record is damaged, or a newer jobforge wrote it.
    """
    path = record_path(config, batch_id)
    return read_record(path, BatchRecord) if path.is_file() else None


def all_records(config: PipelineConfig) -> Iterator[BatchRecord]:
    """Every batch record, oldest ingest first.

    Raises:
        RecordError: A record is damaged, or a newer jobforge wrote it.
    """
    folder = config.catalog_lineage_path()
    found = (
        [read_record(path, BatchRecord) for path in folder.glob("*.json")]
        if folder.is_dir()
        else []
    )
    yield from sorted(found, key=lambda record: (record.created_at, record.batch_id))
