"""How a layer comes to have versions, and what it means where it has none."""

from __future__ import annotations

import uuid
from contextlib import suppress

from jobforge.errors import PublishConflictError, TableDamagedError
from jobforge.pipeline import catalog
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.footer import open_layer_file
from jobforge.pipeline.models import Operation
from jobforge.pipeline.versions import table_store
from jobforge.storage.delta import DeltaStore
from jobforge.storage.source import hash_file
from jobforge.storage.store import Change, Commit, DataFile


def known_store(
    config: PipelineConfig, layer: Layer, domain: str, table: str, wanted: int | None = None
) -> DeltaStore:
    """The versions of one layer of a table; reads only.

    Args:
        config: Where the data root is.
        layer: bronze, silver or gold.
        domain: Business domain of the table.
        table: Its name.
        wanted: The version that is asked for; the newest where None is given.

    Raises:
        TableDamagedError: The catalog knows of a version that the log no longer has.
    """
    store = table_store(config, layer, domain, table)
    record = catalog.load(config, domain, table)
    state = record.layers.get(layer) if record is not None else None
    known = state.version if state is not None else None
    if known is None:
        return store
    latest = store.latest()
    if latest is None:
        raise TableDamagedError(
            f"the log of {store.folder} is gone, and the catalog knows of version {known}",
            hint="restore the folder _delta_log from a backup",
        )
    if latest < known and (wanted is None or wanted > latest):
        raise TableDamagedError(
            f"the log of {store.folder} ends at version {latest}, and the catalog knows of "
            f"version {known}",
            hint=f"restore the missing entries from a backup; version {latest} opens",
            opens=latest,
        )
    return store


def newest_version(config: PipelineConfig, layer: Layer, domain: str, table: str) -> int | None:
    """The newest version of a table, before work on it; None where it has none yet.

    A file that an older jobforge published, when layers were single files,
    becomes the first version.

    Raises:
        TableDamagedError: The log is damaged or gone.
    """
    store = known_store(config, layer, domain, table)
    latest = store.latest()
    if latest is not None:
        return latest
    record = catalog.load(config, domain, table)
    state = record.layers.get(layer) if record is not None else None
    path = config.data_root / state.file if state is not None else None
    if state is None or path is None or not path.is_file():
        return None
    opened = open_layer_file(path, layer)
    commit = Commit(
        operation=Operation.ADOPT,
        batch_id=state.batch_id,
        transition_id=str(uuid.uuid4()),
        started_at=state.updated_at,
        published_at=state.updated_at,
        content_hash=f"sha256:{hash_file(path)}",
    )
    file = DataFile(path.name, opened.rows, path.stat().st_size)
    with suppress(PublishConflictError):  # somebody was quicker: theirs holds the same file
        return store.publish(Change(commit, (file,), opened.frame.collect_schema()), None)
    return store.latest()
