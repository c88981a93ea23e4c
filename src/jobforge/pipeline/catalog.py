"""Table metadata on disk: `catalog/tables/{domain}/{table}.json`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from jobforge.errors import TableNotFoundError, nearest
from jobforge.pipeline.column_lineage.record import FrameLineage
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.models import LayerTransitionLog
from jobforge.pipeline.records import RECORD_FORMAT, parse_record, read_record
from jobforge.pipeline.table_record import ColumnMetadata, LayerState, TableMetadata
from jobforge.storage.rewrite import rewrite


def columns_of(
    schema: pl.Schema,
    lineage: FrameLineage | None = None,
    nulls: dict[str, int] | None = None,
) -> tuple[ColumnMetadata, ...]:
    """What the catalog says of the columns of a file.

    Args:
        schema: Its columns.
        lineage: Where they come from, where that was recorded.
        nulls: Nulls of each column among the rows that were written last.
    """
    origins = lineage or FrameLineage()
    return tuple(
        ColumnMetadata(
            name=name,
            data_type=str(dtype),
            position=position,
            source_columns=(origin := origins.of(name)).values,
            sources_known=None if lineage is None else origin.gap is None,
            null_count=(nulls or {}).get(name),
        )
        for position, (name, dtype) in enumerate(schema.items())
    )


def update(
    config: PipelineConfig, log: LayerTransitionLog, state: LayerState, *, late: bool = False
) -> None:
    """Make what a transition published the current content of its layer.

    What is known of a later version stays: two writers may get here in another
    order than they published.

    Args:
        config: Where the catalog is.
        log: The transition.
        state: What it published.
        late: Whether this is told after the fact: then a batch of staged that
            came since stays.

    Raises:
        RecordError: The record is damaged, or a newer jobforge wrote it.
        WriteError: The operating system refused the write.
    """
    path = _path(config, log)

    def change(data: bytes | None) -> bytes | None:
        current = (
            parse_record(path, data, TableMetadata)
            if data is not None
            else TableMetadata(
                table=log.table,
                domain=log.domain,
                created_at=state.updated_at,
                updated_at=state.updated_at,
            )
        )
        known = current.layers.get(state.layer)
        if known is not None and _later(known, state, late=late):
            return None
        ingested = state.layer is Layer.STAGED
        changed = current.model_copy(
            update={
                "format_version": RECORD_FORMAT,
                "updated_at": max(current.updated_at, state.updated_at),
                "layers": {**current.layers, state.layer: state},
                "source_files": log.source_files if ingested else current.source_files,
            }
        )
        return changed.as_json()

    rewrite(path, change)


def _later(known: LayerState, state: LayerState, *, late: bool) -> bool:
    if state.version is None:
        return late and known.updated_at > state.updated_at
    return known.version is not None and known.version >= state.version


def load(config: PipelineConfig, domain: str, table: str) -> TableMetadata | None:
    """The record of a table, or None where there is none.

    Raises:
        RecordError: It is damaged, or a newer jobforge wrote it.
    """
    path = config.catalog_tables_path() / domain / f"{table}.json"
    return read_record(path, TableMetadata) if path.is_file() else None


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
    if not isinstance(address, str):
        raise TableNotFoundError(f"{address!r} names no table", hint="use table or domain/table")
    # By the names of the records: a damaged one stops nobody who asks for another.
    paths = sorted(config.catalog_tables_path().glob("*/*.json"))
    names = [(path.parent.name, path.stem) for path in paths]
    if not names:
        raise TableNotFoundError(
            f"there is no table {address!r}: the data root {config.data_root} holds none",
            hint="run `jobforge run FILE --table NAME`, or name another data root",
        )
    found = [name for name in names if address in (name[1], "/".join(name))]
    found = [name for name in found if "/".join(name) == address] or found
    if not found:
        known = [name[1] for name in names] + ["/".join(name) for name in names]
        raise TableNotFoundError(f"there is no table {address!r}", hint=nearest(address, known))
    if len(found) > 1:
        raise TableNotFoundError(
            f"{address!r} is the name of {len(found)} tables",
            hint="use " + " or ".join("/".join(name) for name in found),
        )
    ((domain, table),) = found
    path = config.catalog_tables_path() / domain / f"{table}.json"
    return read_record(path, TableMetadata)
