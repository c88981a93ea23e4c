"""How work on a whole table begins and ends: a batch of its own, recorded like any other."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from jobforge.errors import TableDamagedError
from jobforge.pipeline import catalog, lineage, query
from jobforge.pipeline.adoption import newest_version
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.models import InputRef, Operation
from jobforge.pipeline.provenance import generate_batch_id
from jobforge.pipeline.table_record import LayerState, TableMetadata
from jobforge.pipeline.transition import Clock, Move, Transition
from jobforge.pipeline.versions import table_store
from jobforge.storage.delta import DeltaStore
from jobforge.storage.paths import relative_to_root
from jobforge.storage.source import hash_file
from jobforge.storage.store import Commit, Version


def open_table(
    config: PipelineConfig, table: str, layer: Layer | str
) -> tuple[TableMetadata, Layer, DeltaStore]:
    """A table and the versions of one of its layers, before work on it.

    Raises:
        TableNotFoundError: There is no such table, or it never reached the layer.
        InvalidConfigError: There is no such layer, or it has no versions.
        TableDamagedError: The log of the table is damaged or gone.
    """
    found, wanted = query.find_layer(config, table, layer)
    newest_version(config, query.versioned(wanted), found.domain, found.table)
    return found, wanted, table_store(config, wanted, found.domain, found.table)


def check_bytes(config: PipelineConfig, table: TableMetadata, paths: Iterable[Path]) -> None:
    """Refuse to work on files whose bytes are not those that were published.

    Raises:
        TableDamagedError: One was altered, or is gone.
    """
    hashes: dict[str, str] = {}
    for record in lineage.all_records(config):
        if (record.domain, record.table) == (table.domain, table.table):
            for log in record.transitions:
                if log.target_file is not None and log.content_hash is not None:
                    hashes[log.target_file] = log.content_hash
                hashes |= {new.file: new.content_hash for new in log.added if new.content_hash}
    for path in paths:
        known = hashes.get(relative_to_root(path, config.data_root))
        if known is not None and f"sha256:{hash_file(path)}" != known:
            raise TableDamagedError(
                f"the bytes of {path} are not those that were published",
                hint="restore it from a backup; nothing was done",
            )


def begin(
    config: PipelineConfig,
    table: TableMetadata,
    layer: Layer,
    operation: Operation,
    clock: Clock,
    *,
    batch_id: str | None = None,
    version: Version | None = None,
) -> Transition:
    """A transition that makes a version of a table out of one that it has.

    Args:
        config: Where the data root is.
        table: The table.
        layer: Which layer of it.
        operation: What is done.
        clock: Gives the time in UTC.
        batch_id: The batch that it belongs to; a new one unless given.
        version: The version that it starts from.
    """
    folder = f"{layer}/{table.domain}/{table.table}"
    files = version.files if version is not None else ()
    return Transition(
        config,
        Move(
            batch_id=batch_id or generate_batch_id(),
            table=table.table,
            domain=table.domain,
            source_layer=layer.value,
            target_layer=layer,
            source_files=table.source_files,
            operation=operation,
            inputs=tuple(
                InputRef(
                    table=table.table,
                    domain=table.domain,
                    layer=layer,
                    file=f"{folder}/{file.name}",
                    version=version.number if version is not None else None,
                )
                for file in files
            ),
            of_version=version.number if version is not None else None,
        ),
        clock,
    )


def commit_of(transition: Transition) -> Commit:
    """What the version that a transition makes says of itself."""
    move = transition.move
    return Commit(
        operation=move.operation,
        batch_id=move.batch_id,
        transition_id=transition.transition_id,
        started_at=transition.started_at,
        published_at=transition.finished_at(),
        of_version=move.of_version,
    )


def catalogue(transition: Transition, table: TableMetadata, version: Version) -> None:
    """Make a version that has the columns of an earlier one the current content of its layer."""
    move, layer = transition.move, transition.move.target_layer
    store = transition.store
    if store is None:
        return
    columns = catalog.columns_of(store.scan(version).collect_schema())
    known = table.layers[layer]
    if [(c.name, c.data_type) for c in columns] == [(c.name, c.data_type) for c in known.columns]:
        columns = known.columns  # with what is known of their origin
    state = LayerState(
        layer=layer,
        file=f"{layer}/{move.domain}/{move.table}/{version.files[-1].name}",
        batch_id=move.batch_id,
        version=version.number,
        rows=version.commit.rows,
        size_bytes=version.commit.size_bytes,
        updated_at=transition.finished_at(),
        columns=columns,
    )
    catalog.update(transition.config, transition.log, state)
