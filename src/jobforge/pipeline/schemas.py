"""Schema versions on disk: which columns a source had and which contract it came by.

`catalog/schemas/{domain}/{table}.json` gets a version where a batch that was
published in bronze has other columns, or another contract, than the one before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, PositiveInt

from jobforge.contracts.compare import SchemaChange, compare_columns, compare_contracts
from jobforge.contracts.contract import Contract
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.models import LayerTransitionLog, Note
from jobforge.pipeline.records import RECORD_FORMAT, Record, parse_record, read_record
from jobforge.storage.rewrite import rewrite


class SchemaVersion(Record):
    """The columns of a source and the contract, as they were from one batch on."""

    number: PositiveInt
    batch_id: str
    """The first batch that came so."""
    recorded_at: AwareDatetime
    columns: dict[str, str]
    """Polars type by name, as the source had them, in order."""
    contract: dict[str, Any] | None = None
    """As `Contract.as_dict` writes it; null where none was given."""
    changes: tuple[SchemaChange, ...] = ()
    """What changed since the version before: in the source, then in the contract."""


class SchemaHistory(Record):
    """The schema versions of one table, oldest first."""

    format_version: int = RECORD_FORMAT
    table: str
    domain: str
    versions: tuple[SchemaVersion, ...] = ()


def load(config: PipelineConfig, domain: str, table: str) -> SchemaHistory | None:
    """The schema versions of a table, or None where there are none.

    Raises:
        RecordError: The record is damaged, or a newer jobforge wrote it.
    """
    path = _path(config, domain, table)
    return read_record(path, SchemaHistory) if path.is_file() else None


def drift_notes(known: SchemaHistory | None, columns: dict[str, str]) -> tuple[Note, ...]:
    """What is new in the columns of a source since the version before, for the log.

    Args:
        known: What was recorded of the table.
        columns: Polars type by name.
    """
    if known is None or not known.versions:
        return ()
    before = known.versions[-1]
    changes = compare_columns(before.columns, columns)
    if not changes:
        return ()
    listed = "; ".join(map(str, changes))
    return (Note(topic="schema", text=f"since batch {before.batch_id}: {listed}"),)


def record_schema(
    config: PipelineConfig,
    log: LayerTransitionLog,
    columns: dict[str, str],
    declared: dict[str, Any] | None,
) -> None:
    """Take over the columns and the contract of a batch that was published in bronze.

    What its first batch recorded already stays as it is.

    Args:
        config: Where the data root is.
        log: The transition.
        columns: Polars type by name, as the source has them.
        declared: The contract, as `Contract.as_dict` writes it.

    Raises:
        RecordError: The record is damaged, or a newer jobforge wrote it.
        WriteError: The operating system refused the write.
    """
    path = _path(config, log.domain, log.table)

    def change(data: bytes | None) -> bytes | None:
        known = (
            parse_record(path, data, SchemaHistory)
            if data is not None
            else SchemaHistory(table=log.table, domain=log.domain)
        )
        version = _next(known, log, columns, declared)
        if version is None:
            return None
        versions = (*known.versions, version)
        update = {"versions": versions, "format_version": RECORD_FORMAT}
        return known.model_copy(update=update).as_json()

    rewrite(path, change)


def _next(
    known: SchemaHistory,
    log: LayerTransitionLog,
    columns: dict[str, str],
    declared: dict[str, Any] | None,
) -> SchemaVersion | None:
    """The version that a batch makes; None where all is as it was."""
    changes: list[SchemaChange] = []
    if known.versions:
        before = known.versions[-1]
        changes = compare_columns(before.columns, columns)
        changes += compare_contracts(
            *(Contract.from_dict(d) if d else Contract({}) for d in (before.contract, declared))
        )
        if not changes and before.contract == declared:
            return None
    return SchemaVersion(
        number=len(known.versions) + 1,
        batch_id=log.batch_id,
        recorded_at=log.started_at,
        columns=columns,
        contract=declared,
        changes=tuple(changes),
    )


def _path(config: PipelineConfig, domain: str, table: str) -> Path:
    return config.catalog_schemas_path() / domain / f"{table}.json"
