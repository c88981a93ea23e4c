"""How work on a whole table begins and ends: a batch of its own, recorded like any other."""

from __future__ import annotations

from jobforge.pipeline import catalog
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.models import InputRef, LayerState, Operation, TableMetadata
from jobforge.pipeline.provenance import generate_batch_id
from jobforge.pipeline.transition import Clock, Move, Transition
from jobforge.storage.store import Commit, Version


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
    columns = catalog.columns_of(store.scan(version).collect_schema(), {})
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
