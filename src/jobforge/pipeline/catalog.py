"""Table metadata on disk: `catalog/tables/{domain}/{table}.json`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from jobforge.errors import TableNotFoundError, nearest
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.models import (
    ColumnMetadata,
    LayerState,
    LayerTransitionLog,
    TableMetadata,
    read_record,
)
from jobforge.storage.locks import folder_lock
from jobforge.storage.paths import relative_to_root
from jobforge.storage.publish import make_folder, publish_text


def update(
    config: PipelineConfig,
    log: LayerTransitionLog,
    target: Path,
    schema: pl.Schema,
    source_columns: dict[str, tuple[str, ...]],
) -> None:
    """Make a published file the current content of its layer.

    Args:
        config: Where the catalog is.
        log: The transition that published it.
        target: The file.
        schema: Its columns.
        source_columns: For each column, the columns of the layer before it
            that it is known to come from.
    """
    path = _path(config, log)
    moment = log.completed_at or log.started_at
    columns = tuple(
        ColumnMetadata(
            name=name,
            data_type=str(dtype),
            position=position,
            source_columns=source_columns.get(name, ()),
        )
        for position, (name, dtype) in enumerate(schema.items())
    )
    state = LayerState(
        layer=log.target_layer,
        file=relative_to_root(target, config.data_root),
        batch_id=log.batch_id,
        rows=log.row_count_out or 0,
        size_bytes=target.stat().st_size,
        updated_at=moment,
        columns=columns,
    )
    with folder_lock(path.parent):
        current = (read_record(path, TableMetadata) if path.is_file() else None) or TableMetadata(
            table=log.table, domain=log.domain, created_at=moment, updated_at=moment
        )
        ingested = log.target_layer is Layer.STAGED
        changed = current.model_copy(
            update={
                "updated_at": moment,
                "layers": {**current.layers, log.target_layer: state},
                "source_files": log.source_files if ingested else current.source_files,
            }
        )
        publish_text(path, changed.model_dump_json(indent=2) + "\n")


def check(config: PipelineConfig, log: LayerTransitionLog) -> None:
    """Refuse a table record that could not be updated, before anything is published.

    Raises:
        RecordError: It is damaged, or a newer jobforge wrote it.
        DataRootError: Its folder cannot be made.
    """
    path = _path(config, log)
    make_folder(path.parent)
    if path.is_file():
        read_record(path, TableMetadata)


def _path(config: PipelineConfig, log: LayerTransitionLog) -> Path:
    return config.catalog_tables_path() / log.domain / f"{log.table}.json"


def all_tables(config: PipelineConfig) -> Iterator[TableMetadata]:
    """Every table, by domain and name.

    Raises:
        RecordError: A record is damaged, or a newer jobforge wrote it.
    """
    for path in sorted(config.catalog_tables_path().glob("*/*.json")):
        yield read_record(path, TableMetadata)


def find_table(config: PipelineConfig, address: str) -> TableMetadata:
    """The table at `table`, or `domain/table` where the bare name is not unique.

    Raises:
        TableNotFoundError: There is none, or the bare name is not unique.
    """
    tables = list(all_tables(config))
    if not tables:
        raise TableNotFoundError(
            f"there is no table {address!r}: the data root {config.data_root} holds none",
            hint="run `jobforge run FILE --table NAME`, or name another data root",
        )
    found = [t for t in tables if address in (t.table, f"{t.domain}/{t.table}")]
    exact = [t for t in found if f"{t.domain}/{t.table}" == address]
    found = exact or found
    if not found:
        known = [t.table for t in tables] + [f"{t.domain}/{t.table}" for t in tables]
        raise TableNotFoundError(f"there is no table {address!r}", hint=nearest(address, known))
    if len(found) > 1:
        raise TableNotFoundError(
            f"{address!r} is the name of {len(found)} tables",
            hint="use " + " or ".join(f"{t.domain}/{t.table}" for t in found),
        )
    return found[0]
