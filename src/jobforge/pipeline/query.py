"""Questions to a data root: which tables, which batches. Reads only."""

from __future__ import annotations

from jobforge.errors import InvalidOptionError, TableDamagedError, TableNotFoundError
from jobforge.pipeline import catalog, lineage, schemas
from jobforge.pipeline.config import Layer, PipelineConfig, parse_layer
from jobforge.pipeline.models import BatchRecord
from jobforge.pipeline.root import check_root
from jobforge.pipeline.table_record import LayerState, TableMetadata
from jobforge.pipeline.versions import table_store


def tables(config: PipelineConfig) -> list[TableMetadata]:
    """Every table of the data root, by domain and name.

    Raises:
        DataRootError: There is no such folder.
        RecordError: A record cannot be read.
    """
    check_root(config)
    return [_up_to_date(config, table) for table in catalog.all_tables(config)]


def batches(config: PipelineConfig, table: str | None = None) -> list[BatchRecord]:
    """Every batch, or those of one table, oldest first.

    Args:
        config: Where the data root is.
        table: `table` or `domain/table`; every table unless given.

    Raises:
        DataRootError: There is no such folder.
        TableNotFoundError: No batch is of that table.
        RecordError: A record cannot be read.
    """
    check_root(config)
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


def find_layer(
    config: PipelineConfig, table: str, layer: Layer | str | None
) -> tuple[TableMetadata, Layer]:
    """A table that has reached a layer; its highest one unless one is named.

    Raises:
        TableNotFoundError: There is no such table, or it never reached the layer.
        InvalidConfigError: There is no such layer.
    """
    check_root(config)
    wanted = parse_layer(layer) if layer is not None else None
    found = _up_to_date(config, catalog.find_table(config, table))
    reached = [member for member in Layer if member in found.layers]
    wanted = wanted or reached[-1]
    if wanted not in found.layers:
        raise TableNotFoundError(
            f"{found.domain}/{found.table} has no {wanted} layer yet",
            hint="it has " + ", ".join(reached),
        )
    return found, wanted


def schema_versions(config: PipelineConfig, table: str) -> list[schemas.SchemaVersion]:
    """The schema versions of a table, oldest first; none where it never reached bronze.

    Raises:
        TableNotFoundError: There is no such table.
        RecordError: The record is damaged, or a newer jobforge wrote it.
    """
    check_root(config)
    found = catalog.find_table(config, table)
    known = schemas.load(config, found.domain, found.table)
    return list(known.versions) if known is not None else []


def versioned(layer: Layer) -> Layer:
    """The layer, where it has versions.

    Raises:
        InvalidOptionError: It is staged.
    """
    if layer is Layer.STAGED:
        raise InvalidOptionError(
            "staged has no versions: it is an archive of one file a batch",
            hint="name bronze, silver or gold",
        )
    return layer


def _up_to_date(config: PipelineConfig, table: TableMetadata) -> TableMetadata:
    """The record of a table with what the newest versions say.

    The record is written after a version is published; in between, or where a
    process died there, the log of the table knows better.
    """
    layers = dict(table.layers)
    for layer in (Layer.BRONZE, Layer.SILVER, Layer.GOLD):
        state = table.layers.get(layer)
        store = table_store(config, layer, table.domain, table.table)
        try:
            latest = store.latest()
            if latest is None or (state is not None and state.version == latest):
                continue
            version = store.version(latest)
            schema = store.scan(version).collect_schema()
        except TableDamagedError:
            continue  # whoever reads the rows is told
        layers[layer] = LayerState(
            layer=layer,
            file=f"{layer}/{table.domain}/{table.table}/{version.files[-1].name}",
            batch_id=version.commit.batch_id,
            version=latest,
            rows=version.commit.rows,
            size_bytes=version.commit.size_bytes,
            updated_at=version.commit.published_at,
            columns=catalog.columns_of(schema),
        )
    return table.model_copy(update={"layers": layers})
