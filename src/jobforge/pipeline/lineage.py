"""Batch records on disk: `catalog/lineage/{batch_id}.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from jobforge.errors import RecordError, TableNotFoundError
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.models import RECORD_FORMAT, BatchRecord
from jobforge.storage.publish import publish_text

_BATCH_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def record_path(config: PipelineConfig, batch_id: str) -> Path:
    """Where the record of a batch stands.

    Raises:
        TableNotFoundError: The text is no batch id.
    """
    if not _BATCH_ID.fullmatch(batch_id):
        raise TableNotFoundError(
            f"{batch_id!r} is no batch id", hint="`jobforge history` lists the batches"
        )
    return config.catalog_lineage_path() / f"{batch_id}.json"


def save(config: PipelineConfig, record: BatchRecord) -> None:
    """Publish a batch record atomically, in place of the one before."""
    text = record.model_dump_json(indent=2)
    publish_text(record_path(config, record.batch_id), text + "\n")


def load(config: PipelineConfig, batch_id: str) -> BatchRecord | None:
    """The record of a batch, or None where there is none.

    Raises:
        RecordError: The record is damaged, or a newer jobforge wrote it.
    """
    path = record_path(config, batch_id)
    return _read(path) if path.is_file() else None


def all_records(config: PipelineConfig) -> Iterator[BatchRecord]:
    """Every batch record, oldest ingest first.

    Raises:
        RecordError: A record is damaged, or a newer jobforge wrote it.
    """
    folder = config.catalog_lineage_path()
    found = [_read(path) for path in folder.glob("*.json")] if folder.is_dir() else []
    yield from sorted(found, key=lambda record: (record.created_at, record.batch_id))


def _read(path: Path) -> BatchRecord:
    try:
        raw = json.loads(path.read_bytes())
        version = raw.get("format_version") if isinstance(raw, dict) else None
        if isinstance(version, int) and version > RECORD_FORMAT:
            raise RecordError(
                f"{path} has record format {version}, and this jobforge reads up to "
                f"{RECORD_FORMAT}",
                hint="upgrade jobforge",
            )
        return BatchRecord.model_validate_json(path.read_bytes())
    except (OSError, ValueError, ValidationError) as error:
        raise RecordError(
            f"the batch record {path} cannot be read ({str(error).splitlines()[0]})",
            hint="restore it from a backup; the data files beside it are not affected",
        ) from error
