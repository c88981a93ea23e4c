"""A column of a table back to the columns of its source, layer by layer, as it was recorded."""

from __future__ import annotations

from jobforge.errors import TableNotFoundError, UnknownColumnError, nearest
from jobforge.pipeline import catalog, lineage, query
from jobforge.pipeline.column_lineage.record import ColumnLineage, Gap, Influence
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.models import BatchRecord, LayerTransitionLog
from jobforge.pipeline.records import Record
from jobforge.pipeline.root import check_root
from jobforge.pipeline.table_record import TableMetadata
from jobforge.pipeline.versions import table_store

_UNRECORDED = ColumnLineage(gap=Gap.NOT_RECORDED)


class ColumnOrigin(Record):
    """A column of a layer and what it comes from."""

    layer: Layer
    column: str
    influence: Influence | None = None
    """What it does for the column that comes from it; null for the one that was asked for."""
    sources: tuple[ColumnOrigin, ...] = ()
    """Columns of the layer before; none for a column of staged, and for a constant."""
    gap: Gap | None = None
    """Null where `sources` are all."""
    steps: tuple[str, ...] = ()
    """Steps of its layer that did more than pass it on."""


class TableLineage(Record):
    """Where the columns of one layer of a table come from, by the batch that made them last."""

    table: str
    domain: str
    layer: Layer
    version: int | None
    batch_id: str
    source_files: tuple[str, ...]
    columns: tuple[ColumnOrigin, ...]
    rows: dict[Layer, ColumnLineage]
    """For each layer the columns of the layer before that decided which rows it has."""


def column_lineage(
    config: PipelineConfig,
    table: str,
    column: str | None = None,
    layer: Layer | str | None = None,
) -> TableLineage:
    """See `PipelineEngine.column_lineage`."""
    found, wanted = query.find_layer(config, table, layer)
    state = found.layers[wanted]
    names = [known.name for known in state.columns]
    if column is not None and column not in names:
        raise UnknownColumnError(
            f"{found.domain}/{found.table} has no column {column!r} in {wanted}",
            hint=nearest(column, names),
            column=column,
        )
    chain = _chain(config, found, wanted)
    first = chain[0] if chain else None
    return TableLineage(
        table=found.table,
        domain=found.domain,
        layer=wanted,
        version=state.version,
        batch_id=first.batch_id if first is not None else state.batch_id,
        source_files=first.source_files if first is not None else found.source_files,
        columns=tuple(
            _origin(chain, wanted, name) for name in names if column is None or name == column
        ),
        rows={
            log.target_layer: log.column_lineage.rows if log.column_lineage else _UNRECORDED
            for log in chain
            if log.target_layer is not Layer.STAGED
        },
    )


def parse_address(config: PipelineConfig, address: str) -> tuple[str, str | None]:
    """The table, and the column if one is named, of `table.column`; both names may have dots.

    Raises:
        TableNotFoundError: No beginning of the address is a table.
    """
    check_root(config)
    parts = address.split(".")
    for end in range(len(parts), 0, -1):
        table = ".".join(parts[:end])
        try:
            catalog.find_table(config, table)
        except TableNotFoundError:
            continue
        return table, ".".join(parts[end:]) or None
    catalog.find_table(config, parts[0])
    return address, None


def _chain(config: PipelineConfig, table: TableMetadata, layer: Layer) -> list[LayerTransitionLog]:
    """The transitions that made a layer and those before it, last first."""
    found = _made_by(config, table, layer)
    chain: list[LayerTransitionLog] = []
    while found is not None:
        record, log = found
        chain.append(log)
        found = _before(record, log)
    return chain


def _made_by(
    config: PipelineConfig, table: TableMetadata, layer: Layer
) -> tuple[BatchRecord, LayerTransitionLog] | None:
    """The transition that wrote the rows of a layer; None where nothing is recorded of it.

    A version that brings an earlier one back, or has its rows in other files, has its columns.
    """
    state = table.layers[layer]
    if state.version is None:
        record = lineage.load(config, state.batch_id)
        return _log(record, layer, state.file)
    store = table_store(config, layer, table.domain, table.table)
    commit = store.version(state.version).commit
    while commit.of_version is not None:
        commit = store.version(commit.of_version).commit
    record = lineage.load(config, commit.batch_id)
    for log in record.transitions if record is not None else ():
        if record is not None and log.transition_id == commit.transition_id:
            return record, log
    return None


def _before(
    record: BatchRecord, log: LayerTransitionLog
) -> tuple[BatchRecord, LayerTransitionLog] | None:
    if not log.inputs:
        return None
    return _log(record, log.inputs[0].layer, log.inputs[0].file)


def _log(
    record: BatchRecord | None, layer: Layer, file: str
) -> tuple[BatchRecord, LayerTransitionLog] | None:
    """The transition of a batch that wrote a file."""
    if record is None:
        return None
    for log in reversed(record.transitions):
        written = {log.target_file, *(new.file for new in log.added)}
        if log.target_layer is layer and file in written:
            return record, log
    return None


def _origin(
    chain: list[LayerTransitionLog],
    layer: Layer,
    column: str,
    influence: Influence | None = None,
) -> ColumnOrigin:
    """A column and what it comes from, as the logs from its layer on say."""
    if layer is Layer.STAGED:
        return ColumnOrigin(layer=layer, column=column, influence=influence)
    log = chain[0] if chain else None
    recorded = log.column_lineage if log is not None else None
    told = recorded.of(column) if recorded is not None else _UNRECORDED
    before = log.inputs[0].layer if log is not None and log.inputs else None
    return ColumnOrigin(
        layer=layer,
        column=column,
        influence=influence,
        gap=told.gap,
        steps=told.steps,
        sources=tuple(
            _origin(chain[1:], before, source.column, source.influence)
            for source in told.sources
            if before is not None
        ),
    )
