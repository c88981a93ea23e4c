"""Transitions whose process is gone: recognised, recorded as failed, and tidied up after.

A transition holds the lock of its marker, `catalog/running/{batch}.{transition}`,
for as long as its process lives. A marker whose lock is free is one of a
process that ended without an outcome.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from jobforge.errors import AbandonedError, StorageError
from jobforge.pipeline import catalog, chain, events, lineage, schemas, waiving
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.footer import Footer, open_layer_file
from jobforge.pipeline.models import ErrorRecord, LayerTransitionLog, TransitionStatus
from jobforge.pipeline.provenance import data_columns
from jobforge.pipeline.table_record import LayerState
from jobforge.pipeline.versions import table_folder, table_store
from jobforge.storage import debris
from jobforge.storage.debris import Marker, scratch_owner, scratch_path, sweep, take_over
from jobforge.storage.delta.log import LOG
from jobforge.storage.paths import UUID, relative_to_root

_MARKER = re.compile(rf"({UUID})\.({UUID})")
_REPLAYING = re.compile(rf"{UUID}\.replay")


def marker_name(batch_id: str, transition_id: str) -> str:
    """The name of the marker of a transition."""
    return f"{batch_id}.{transition_id}"


def running(config: PipelineConfig) -> list[tuple[str, str]]:
    """Batch and transition of every marker, whether somebody holds it or not."""
    try:
        names = sorted(path.name for path in config.running_path().iterdir())
    except OSError:
        return []
    return [(found[1], found[2]) for name in names if (found := _MARKER.fullmatch(name))]


def is_marker(name: str) -> bool:
    """Whether a name is one of those that markers of work are given."""
    return any(kind.fullmatch(name) for kind in (_MARKER, waiving.MARKER, _REPLAYING))


def recover(config: PipelineConfig, clock: Callable[[], datetime]) -> list[LayerTransitionLog]:
    """Settle every transition whose process is gone.

    One whose record cannot be read, or whose batch somebody works on, stays
    for later; it stops nobody else.

    Returns:
        What was recorded of each.
    """
    settled = []
    sweep(config.catalog_path())
    _sweep_scratch(config)
    for batch_id, transition_id in running(config):
        marker = take_over(config.running_path() / marker_name(batch_id, transition_id))
        if marker is None:
            continue
        try:
            log = _settle(config, batch_id, transition_id, marker, clock)
        except Exception as error:  # noqa: BLE001 - whatever it is, it stops nobody else
            first = (str(error).splitlines() or [""])[0]
            about = _about(config, batch_id, transition_id)
            _tell("transition.not_recovered", **about, error=first)
            continue
        finally:
            marker.release()
        if log is not None:
            settled.append(log)
            _tell("transition.recovered", **_about(config, batch_id, transition_id))
    waiving.recover_waivers(config, clock)
    return settled


def _settle(
    config: PipelineConfig,
    batch_id: str,
    transition_id: str,
    marker: Marker,
    clock: Callable[[], datetime],
) -> LayerTransitionLog | None:
    others = [t for b, t in running(config) if b == batch_id and t != transition_id]
    if any(is_alive(config, batch_id, other) for other in others):
        return None
    record = lineage.load(config, batch_id)
    log = record.transition(transition_id) if record is not None else None
    shutil.rmtree(scratch_path(config.data_root, transition_id), ignore_errors=True)
    if record is not None and log is not None:
        if log.status is TransitionStatus.RUNNING:
            log = _closed(config, log, clock())
            record = lineage.record_log(config, log)
        if config.emits:
            from jobforge.pipeline.emission import runs  # only who asked for events needs it

            # Its process may have died between the record and the event: rather twice than never.
            runs.tell(config, log, record.sources)
        if log.table_version is not None or (
            log.target_layer is Layer.STAGED and log.target_file is not None
        ):
            _catalogue(config, log)
        catalogue_replaced(config, log)
        sweep_table(config, log.target_layer, log.domain, log.table)
        for place in config.sources_path().glob("*"):
            sweep(place)
        if not chain.is_sealed(config, log):
            chain.add_transition(config, record, log, clock)
    sweep(config.catalog_lineage_path())
    sweep(config.chain_path())
    sweep(config.catalog_openlineage_path())
    marker.done()
    return log


def is_alive(config: PipelineConfig, batch_id: str, transition_id: str) -> bool:
    """Whether a living process works on a transition that has a marker."""
    path = config.running_path() / marker_name(batch_id, transition_id)
    marker = take_over(path)
    if marker is None:
        return path.exists()  # it may have ended just now
    marker.release()
    return False


def working_on(config: PipelineConfig, domain: str, table: str) -> list[str]:
    """Batches of a table that a living process works on."""
    found = []
    for batch_id, transition_id in running(config):
        if is_alive(config, batch_id, transition_id):
            record = lineage.load(config, batch_id)
            if record is None or (record.domain, record.table) == (domain, table):
                found.append(batch_id)
    return found


def what_stands(config: PipelineConfig, log: LayerTransitionLog) -> dict[str, object]:
    """What a transition published before it was broken off, as fields of its log.

    Raises:
        TableDamagedError: The log of the table cannot be read.
    """
    target, rejects, edges, groups = (*log.planned, None, None, None, None)[:4]
    root = config.data_root
    found: dict[str, object] = {}
    if log.target_layer is not Layer.STAGED:
        store = table_store(config, log.target_layer, log.domain, log.table)
        number = store.find(log.transition_id)
        if number is None:
            return {}
        found["table_version"] = number
    if target is not None and (root / target).exists():
        found["target_file"] = target
    if found and rejects is not None and (root / rejects).exists():
        found["quarantine_file"] = rejects
    if found and edges is not None and (root / edges).exists():
        found["edges_file"] = edges
    if found and groups is not None and (root / groups).exists():
        found["groups_file"] = groups
    return found


def _closed(config: PipelineConfig, log: LayerTransitionLog, at: datetime) -> LayerTransitionLog:
    """The log with its outcome: what it published is kept and named, the rest goes."""
    found = what_stands(config, log)
    settled = settle_replaced(config, log)
    what = "nothing of it was published"
    if settled.get("added") or settled.get("removed"):
        what = "it had begun to remove and replace files: see `removed` and `added`"
    elif "table_version" in found:
        what = f"version {found['table_version']} was published, and stays"
    elif found:
        what = f"{found['target_file']} was published, and stays"
    else:
        # No other transition uses these names; a name that a version has stays all the same.
        store = table_store(config, log.target_layer, log.domain, log.table)
        versions = store.files_by_version().values()
        needed = {store.folder / name for files in versions for name in files}
        loose = {config.data_root / name for name in log.planned}
        _remove(sorted(loose - needed))
    worker = log.worker
    error = AbandonedError(
        f"process {worker.pid} on {worker.host} ended before it recorded an outcome; {what}",
        hint="promote again" if not found else "go on from there, or promote again",
    )
    return log.model_copy(
        update={
            **found,
            **settled,
            "status": TransitionStatus.FAILED,
            "errors": (ErrorRecord.of(error),),
            "completed_at": max(at, log.started_at),
        }
    )


def settle_replaced(config: PipelineConfig, log: LayerTransitionLog) -> dict[str, object]:
    """Files that were to take the place of others, once the work was broken off.

    Where both stand, a file of a table stays if a version has it, and goes else;
    any other one stays, and the one before it goes: then the work was nearly done.

    Args:
        config: Where the data root is.
        log: The log of work that was broken off.

    Returns:
        As fields of the log: what stands, and what is gone.
    """
    if not log.added and not log.removed:
        return {}
    store = table_store(config, log.target_layer, log.domain, log.table)
    root = config.data_root
    with store.lock():
        by_version = store.files_by_version()
        needed = {name for files in by_version.values() for name in files}
        newest = by_version[max(by_version)] if by_version else {}
        for added in log.added:
            new, old = root / added.file, root / (added.instead_of or added.file)
            if new == old or not new.exists() or not old.exists():
                continue
            of_table = log.target_layer is not Layer.STAGED and new.parent == store.folder
            if of_table and new.name not in needed:
                _remove([new])
            elif not (of_table and old.name in newest):  # somebody brought it back since
                _remove([old])
    return {
        "added": tuple(added for added in log.added if (root / added.file).exists()),
        "removed": tuple(gone for gone in log.removed if not (root / gone.file).exists()),
    }


def catalogue_replaced(config: PipelineConfig, log: LayerTransitionLog) -> None:
    """Let the catalog name the new file where the newest one of staged was written anew."""
    record = catalog.load(config, log.domain, log.table)
    if log.target_layer is not Layer.STAGED or record is None:
        return
    for added in log.added:
        state = record.layers[Layer.STAGED]
        path = config.data_root / added.file
        if added.instead_of == state.file and path.exists():
            rows = open_layer_file(path, Layer.STAGED).rows
            update = {"file": added.file, "rows": rows, "size_bytes": added.size_bytes}
            catalog.update(config, log, state.model_copy(update=update))


def _catalogue(config: PipelineConfig, log: LayerTransitionLog) -> None:
    """Let the catalog know of what was published, if it does not yet."""
    folder = table_folder(config, log.target_layer, log.domain, log.table)
    version = None
    path = config.data_root / (log.target_file or "")
    if log.table_version is not None:
        store = table_store(config, log.target_layer, log.domain, log.table)
        version = store.version(log.table_version)
        path = folder / version.files[-1].name
    opened = open_layer_file(path, log.target_layer)
    state = LayerState(
        layer=log.target_layer,
        file=relative_to_root(path, config.data_root),
        batch_id=log.batch_id,
        version=log.table_version,
        rows=version.commit.rows if version else opened.rows,
        size_bytes=version.commit.size_bytes if version else path.stat().st_size,
        updated_at=log.started_at,
        columns=catalog.columns_of(opened.frame.collect_schema()),
    )
    catalog.update(config, log, state, late=True)
    if log.target_layer is Layer.BRONZE and log.inputs:
        _record_schema(config, log, opened.footer)


def _record_schema(config: PipelineConfig, log: LayerTransitionLog, footer: Footer) -> None:
    """Take over the columns that the batch came with, and its contract, as its transition would."""
    staged = config.data_root / log.inputs[0].file
    record = lineage.load(config, log.batch_id)
    if not staged.is_file() or record is None or record.cures is not None:
        return
    types = open_layer_file(staged, Layer.STAGED).frame.collect_schema()
    columns = {name: str(types[name]) for name in data_columns(types.names())}
    schemas.record_schema(config, log, columns, footer.contract)


def sweep_table(config: PipelineConfig, layer: Layer, domain: str, table: str) -> None:
    """Remove unfinished files of a layer of a table that nobody writes any more.

    Work that was broken off while it tidied up leaves some, and no marker.
    """
    folder = table_folder(config, layer, domain, table)
    for place in (
        folder,
        folder / LOG,
        config.quarantine_path() / layer / domain / table,
        config.catalog_edges_path() / layer / domain / table,
        config.catalog_groups_path() / layer / domain / table,
        config.catalog_schemas_path() / domain,
        config.catalog_tables_path() / domain,
    ):
        sweep(place)


def _sweep_scratch(config: PipelineConfig) -> None:
    """Remove scratch folders of transitions that have no marker any more."""
    found = list(config.data_root.glob(scratch_path(Path(), "*").name))
    busy = {transition for _, transition in running(config)}  # its marker is older than its folder
    for path in found:
        owner = scratch_owner(path)
        if owner is not None and owner not in busy and re.fullmatch(UUID, owner):
            shutil.rmtree(path, ignore_errors=True)


def left_behind(config: PipelineConfig) -> list[Path]:
    """Unfinished files of the whole data root that nobody writes any more."""
    layers = [config.layer_path(layer) for layer in Layer]
    others = (config.quarantine_path(), config.sources_path(), config.catalog_path())
    return debris.left_behind([*layers, *others])


def _remove(paths: list[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()


def _about(config: PipelineConfig, batch_id: str, transition_id: str) -> dict[str, object]:
    """What an event says of a transition, as far as its record can be read."""
    about: dict[str, object] = {"batch": batch_id, "transition": transition_id}
    with contextlib.suppress(StorageError):
        record = lineage.load(config, batch_id)
        log = record.transition(transition_id) if record is not None else None
        if log is not None:
            return log.about
    return about


def _tell(event: str, **about: object) -> None:
    events.tell(event, about, "warning")
