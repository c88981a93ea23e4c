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

from jobforge.errors import AbandonedError, JobforgeError
from jobforge.pipeline import catalog, events, lineage
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.footer import open_layer_file
from jobforge.pipeline.models import (
    BatchRecord,
    ErrorRecord,
    LayerState,
    LayerTransitionLog,
    TransitionStatus,
)
from jobforge.pipeline.versions import table_folder, table_store
from jobforge.storage.debris import Marker, scratch_path, sweep, take_over
from jobforge.storage.delta.log import LOG

_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_MARKER = re.compile(rf"({_ID})\.({_ID})")


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


def recover(config: PipelineConfig, clock: Callable[[], datetime]) -> list[LayerTransitionLog]:
    """Settle every transition whose process is gone.

    One whose record cannot be read, or whose batch somebody works on, stays
    for later; it stops nobody else.

    Returns:
        What was recorded of each.
    """
    settled = []
    for batch_id, transition_id in running(config):
        marker = take_over(config.running_path() / marker_name(batch_id, transition_id))
        if marker is None:
            continue
        try:
            log = _settle(config, batch_id, transition_id, marker, clock)
        except (JobforgeError, OSError) as error:
            _tell("transition.not_recovered", batch=batch_id, error=str(error).splitlines()[0])
            continue
        finally:
            marker.release()
        if log is not None:
            settled.append(log)
            _tell("transition.recovered", batch=batch_id, layer=str(log.target_layer))
    return settled


def _settle(
    config: PipelineConfig,
    batch_id: str,
    transition_id: str,
    marker: Marker,
    clock: Callable[[], datetime],
) -> LayerTransitionLog | None:
    others = [t for b, t in running(config) if b == batch_id and t != transition_id]
    if any(_alive(config, batch_id, other) for other in others):
        return None
    record = lineage.load(config, batch_id)
    log = (
        next((t for t in record.transitions if t.transition_id == transition_id), None)
        if (record is not None)
        else None
    )
    shutil.rmtree(scratch_path(config.data_root, transition_id), ignore_errors=True)
    if record is not None and log is not None:
        if log.status is TransitionStatus.RUNNING:
            log = _closed(config, record, log, clock())
            lineage.record_log(config, log)
        _tidy(config, log)
    sweep(config.catalog_lineage_path())
    sweep(config.catalog_path())
    marker.done()
    return log


def _alive(config: PipelineConfig, batch_id: str, transition_id: str) -> bool:
    marker = take_over(config.running_path() / marker_name(batch_id, transition_id))
    if marker is None:
        return True
    marker.release()
    return False


def _closed(
    config: PipelineConfig, record: BatchRecord, log: LayerTransitionLog, at: datetime
) -> LayerTransitionLog:
    """The log with its outcome: what it published is kept and named, the rest goes."""
    known = {t.target_file for t in record.transitions}
    known |= {t.quarantine_file for t in record.transitions}
    known |= {added.file for t in record.transitions for added in t.added}
    folder = table_folder(config, log.target_layer, log.domain, log.table)
    rejects = config.quarantine_path() / log.target_layer / log.domain / log.table
    loose = _loose(config, folder, log.batch_id, known)
    loose_rejects = _loose(config, rejects, log.batch_id, known)
    found: dict[str, object] = {}
    what = "nothing of it was published"
    if log.target_layer is Layer.STAGED:
        if loose:
            found = {"target_file": _relative(config, loose[0])}
            what = f"{loose[0].name} was published, and stays"
    else:
        store = table_store(config, log.target_layer, log.domain, log.table)
        number = store.find(log.transition_id)
        needed = {name for files in store.files_by_version().values() for name in files}
        if number is not None:
            what = f"version {number} was published, and stays"
            found = {"table_version": number}
            mine = [path for path in loose if path.name in needed]
            if mine:
                found["target_file"] = _relative(config, mine[0])
        else:
            _remove([path for path in loose if path.name not in needed])
    if found:
        if loose_rejects:
            found["quarantine_file"] = _relative(config, loose_rejects[0])
    else:
        _remove(loose_rejects)
    settled = settle_replaced(config, log)
    worker = log.worker
    error = AbandonedError(
        f"process {worker.pid} on {worker.host} ended before it recorded an outcome; {what}",
        hint="promote again" if not found else "go on from there, or promote again",
    )
    closed = log.model_copy(
        update={
            **found,
            **settled,
            "status": TransitionStatus.FAILED,
            "errors": (ErrorRecord.of(error),),
            "completed_at": max(at, log.started_at),
        }
    )
    if found:
        _catalogue(config, closed)
    return closed


def settle_replaced(config: PipelineConfig, log: LayerTransitionLog) -> dict[str, object]:
    """What of the files that were to take the place of others stands, and what of those is gone.

    Where the old file is still there, the new one goes, unless a version has it.

    Args:
        config: Where the data root is.
        log: The log of work that was broken off.
    """
    if not log.added and not log.removed:
        return {}
    store = table_store(config, log.target_layer, log.domain, log.table)
    needed = {name for files in store.files_by_version().values() for name in files}
    root = config.data_root
    for added in log.added:
        old_stands = added.instead_of is not None and (root / added.instead_of).exists()
        if old_stands and Path(added.file).name not in needed:
            _remove([root / added.file])
    return {
        "added": tuple(added for added in log.added if (root / added.file).exists()),
        "removed": tuple(gone for gone in log.removed if not (root / gone.file).exists()),
    }


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
        file=_relative(config, path),
        batch_id=log.batch_id,
        version=log.table_version,
        rows=version.commit.rows if version else opened.rows,
        size_bytes=version.commit.size_bytes if version else path.stat().st_size,
        updated_at=log.started_at,
        columns=catalog.columns_of(opened.frame.collect_schema(), {}),
    )
    catalog.update(config, log, state)


def _tidy(config: PipelineConfig, log: LayerTransitionLog) -> None:
    """Remove the unfinished files that the transition left behind."""
    folder = table_folder(config, log.target_layer, log.domain, log.table)
    for place in (
        folder,
        folder / LOG,
        config.quarantine_path() / log.target_layer / log.domain / log.table,
        config.catalog_tables_path() / log.domain,
    ):
        sweep(place)


def _loose(
    config: PipelineConfig, folder: Path, batch_id: str, known: set[str | None]
) -> list[Path]:
    """Files of a batch that none of its transitions names."""
    return [
        path
        for path in sorted(folder.glob(f"{batch_id}*.parquet"))
        if _relative(config, path) not in known
    ]


def _relative(config: PipelineConfig, path: Path) -> str:
    return path.relative_to(config.data_root).as_posix()


def _remove(paths: list[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()


def _tell(event: str, **about: object) -> None:
    with contextlib.suppress(OSError, ValueError):
        events.get_logger().warning(event, **about)
