"""Questions to a data root: which tables, which batches, which rows. Reads only."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from jobforge.errors import DataRootError, TableNotFoundError
from jobforge.pipeline import catalog, lineage
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.footer import open_layer_file
from jobforge.pipeline.models import BatchRecord, LayerState, TableMetadata


def tables(config: PipelineConfig) -> list[TableMetadata]:
    """Every table of the data root, by domain and name.

    Raises:
        DataRootError: There is no such folder.
        RecordError: A record cannot be read.
    """
    _existing(config)
    return list(catalog.all_tables(config))


def history(config: PipelineConfig, table: str | None = None) -> list[BatchRecord]:
    """Every batch, or those of one table, oldest first.

    Args:
        config: Where the data root is.
        table: `table` or `domain/table`; every table unless given.

    Raises:
        DataRootError: There is no such folder.
        TableNotFoundError: No batch is of that table.
        RecordError: A record cannot be read.
    """
    _existing(config)
    records = list(lineage.all_records(config))
    if table is None:
        return records
    found = [r for r in records if table in (r.table, f"{r.domain}/{r.table}")]
    if not found:
        # A table without batches is unknown; the catalog says what there is instead.
        catalog.find_table(config, table)
        raise TableNotFoundError(
            f"no batch of table {table!r} is recorded", hint="restore its records from a backup"
        )
    return found


def current(
    config: PipelineConfig, table: str, layer: Layer | None = None
) -> tuple[TableMetadata, LayerState, pl.LazyFrame]:
    """The current rows of a table.

    Args:
        config: Where the data root is.
        table: `table` or `domain/table`.
        layer: The layer; the highest that the table has unless given.

    Raises:
        TableNotFoundError: There is no such table, or it never reached the layer.
        NotAJobforgeFileError: Its file is gone or damaged.
    """
    _existing(config)
    found = catalog.find_table(config, table)
    reached = [member for member in Layer if member in found.layers]
    wanted = layer or reached[-1]
    if wanted not in found.layers:
        raise TableNotFoundError(
            f"{found.domain}/{found.table} has no {wanted} layer yet",
            hint="it has " + ", ".join(reached),
        )
    state = found.layers[wanted]
    path = config.data_root / Path(state.file)
    return found, state, open_layer_file(path, wanted).frame


def first_rows(frame: pl.LazyFrame, rows: int) -> pl.DataFrame:
    """The first rows of a frame."""
    return frame.head(rows).collect(engine="streaming")


def _existing(config: PipelineConfig) -> None:
    if not config.data_root.is_dir():
        raise DataRootError(
            f"there is no data root {config.data_root}",
            hint="name another with --data-root, or make one: `jobforge run FILE --table NAME`",
        )
