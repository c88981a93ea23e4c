"""Files that nobody needs any more: shown, and removed only when asked.

Kept are the files of every version that is to be retained, of every batch that
work goes on for or that can still be promoted, the whole staged archive and
every quarantine file that a record names. What no record and no version names
is an orphan; one that is younger than a day is never touched.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from jobforge.errors import InvalidOptionError, WriteError
from jobforge.pipeline import lineage, query, recovery
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.maintenance.begin import begin
from jobforge.pipeline.models import BatchRecord, FileRef, Operation, TransitionStatus
from jobforge.pipeline.provenance import generate_batch_id
from jobforge.pipeline.source_archive import unnamed
from jobforge.pipeline.table_record import TableMetadata
from jobforge.pipeline.transition import Clock, utc_now
from jobforge.pipeline.versions import table_folder, table_store
from jobforge.storage.debris import is_abandoned, is_temporary, scratch_owner, take_over
from jobforge.storage.paths import is_batch_file
from jobforge.storage.source import hash_file
from jobforge.storage.store import Commit
from jobforge.storage.sync import sync_folder

_DAY_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Removable:
    """What of one layer of a table could go.

    Args:
        table: The table.
        layer: Which layer of it.
        versions: Versions that would no longer open.
        files: Files that would go, relative to the data root, with their bytes.
    """

    table: TableMetadata
    layer: Layer
    versions: tuple[int, ...]
    files: dict[str, int]

    @property
    def size_bytes(self) -> int:
        """Bytes that would be free."""
        return sum(self.files.values())


@dataclass(frozen=True)
class CleanPlan:
    """What `clean` would remove.

    Args:
        removable: Layer files, by table and layer.
        debris: Unfinished files and folders of processes that are gone, and kept
            source files of ingests that failed.
    """

    removable: tuple[Removable, ...]
    debris: tuple[Path, ...]


def plan_clean(
    config: PipelineConfig,
    keep_versions: int | None = None,
    older_than: timedelta | None = None,
    clock: Clock = utc_now,
) -> CleanPlan:
    """What could go; nothing is touched.

    A version is retained where it is the newest, or one of the last
    `keep_versions`, or was the newest within `older_than`. Where neither is
    given, every version is retained, and only orphans could go.

    Args:
        config: Where the data root is.
        keep_versions: How many of the newest versions of each table to keep.
        older_than: How far back every version is to open.
        clock: Gives the time in UTC.

    Raises:
        InvalidOptionError: `keep_versions` is below 1, or `older_than` below zero.
        TableDamagedError: The log of a table cannot be read.
        RecordError: A record cannot be read.
    """
    if keep_versions is not None and not _is_number(keep_versions):
        raise InvalidOptionError(
            f"keep_versions is {keep_versions!r}",
            hint="the newest always stays: use 1 or more",
        )
    since = _since(older_than, clock)
    found = [
        _removable(config, table, layer, keep_versions, since)
        for table in query.tables(config)
        for layer in (Layer.BRONZE, Layer.SILVER, Layer.GOLD)
    ]
    return CleanPlan(
        tuple(part for part in found if part.files), (*_debris(config), *_unnamed_sources(config))
    )


def clean(
    config: PipelineConfig,
    keep_versions: int | None = None,
    older_than: timedelta | None = None,
    clock: Clock = utc_now,
) -> CleanPlan:
    """Remove what `plan_clean` shows.

    Returns:
        What was removed; the batch records say so too.

    Raises:
        JobforgeError: As for `plan_clean`, or a file cannot be removed.
    """
    query.tables(config)
    recovery.recover(config, clock)
    plan = plan_clean(config, keep_versions, older_than, clock)
    since = _since(older_than, clock)
    for path in plan.debris:
        _remove_debris(path)
    # A batch belongs to one table.
    batches: dict[tuple[str, str], str] = {}
    for part in plan.removable:
        name = (part.table.domain, part.table.table)
        batch_id = batches.setdefault(name, generate_batch_id())
        _remove(config, part, clock, batch_id, keep_versions, since)
    return plan


def _remove_debris(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    elif is_temporary(path.name):
        marker = take_over(path)  # held, so that nobody writes it while it goes
        if marker is not None:
            marker.done()
    else:
        path.unlink(missing_ok=True)


def _remove(
    config: PipelineConfig,
    part: Removable,
    clock: Clock,
    batch_id: str,
    keep_versions: int | None,
    since: datetime | None,
) -> None:
    transition = begin(config, part.table, part.layer, Operation.CLEAN, clock, batch_id=batch_id)

    def body(_: Path) -> None:
        with table_store(config, part.layer, part.table.domain, part.table.table).lock():
            # Since the plan was made, somebody may have gone back to an old version.
            now = _removable(config, part.table, part.layer, keep_versions, since)
            going = {file: size for file, size in part.files.items() if file in now.files}
            # The record names the files before the first is gone.
            transition.record(
                removed=tuple(
                    FileRef(
                        file=file,
                        size_bytes=size,
                        content_hash=f"sha256:{hash_file(config.data_root / file)}",
                    )
                    for file, size in going.items()
                )
            )
            remove_files(config.data_root / file for file in going)
        transition.publish(TransitionStatus.SUCCESS)

    transition.run(body)


def remove_files(paths: Iterable[Path]) -> None:
    """Remove files, and put that on the disk.

    Raises:
        WriteError: The operating system refused.
    """
    folders = set()
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise WriteError(
                f"{path} could not be removed: {error.strerror}",
                hint="look at permissions of the data root, then do it again",
            ) from error
        folders.add(path.parent)
    for folder in folders:
        sync_folder(folder)


def _removable(
    config: PipelineConfig,
    table: TableMetadata,
    layer: Layer,
    keep_versions: int | None,
    since: datetime | None,
) -> Removable:
    records = [
        record
        for record in lineage.all_records(config)
        if (record.domain, record.table) == (table.domain, table.table)
    ]
    folder = table_folder(config, layer, table.domain, table.table)
    store = table_store(config, layer, table.domain, table.table)
    history = store.replayed()
    by_version = {number: files for number, _, files in history}
    commits = [(number, commit) for number, commit, _ in history]
    retained = _retained(commits, keep_versions, since)
    opening = store.opening()
    if opening and not opening & retained:
        retained.add(max(opening))  # the retained ones are damaged: this is the way back
    needed = {name for number in retained for name in by_version[number]}
    needed |= {Path(file).name for file in _open_files(config, table, layer, records)}
    named = {name for files in by_version.values() for name in files}
    going = {name for name in named - needed if (folder / name).exists()}
    versions = [n for n, files in by_version.items() if n not in retained and going & files.keys()]
    paths = [folder / name for name in sorted(going)]
    rejects = config.quarantine_path() / layer / table.domain / table.table
    for place, kept in ((folder, named), (rejects, set[str]())):
        paths += _orphans(config, place, kept, records)
    root = config.data_root
    return Removable(
        table,
        layer,
        tuple(versions),
        {path.relative_to(root).as_posix(): path.stat().st_size for path in paths if path.exists()},
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _since(older_than: object, clock: Clock) -> datetime | None:
    """The time from which on every version is to open."""
    if older_than is None:
        return None
    if not isinstance(older_than, timedelta) or older_than < timedelta(0):
        raise InvalidOptionError(
            f"older_than is {older_than!r}", hint="use a timedelta, not below 0"
        )
    try:
        return clock() - older_than
    except OverflowError:  # before any time that there is: everything
        return datetime.min.replace(tzinfo=UTC)


def _retained(
    commits: list[tuple[int, Commit]], keep_versions: int | None, since: datetime | None
) -> set[int]:
    """Versions to be kept: a version was the newest until the next one was published."""
    numbers = [number for number, _ in commits]
    if keep_versions is None and since is None:
        return set(numbers)
    kept = set(numbers[-(keep_versions or 1) :])
    if since is not None:
        followed = zip(numbers, [commit.published_at for _, commit in commits[1:]], strict=False)
        kept |= {number for number, until in followed if until >= since}
    return kept


def _open_files(
    config: PipelineConfig, table: TableMetadata, layer: Layer, records: list[BatchRecord]
) -> set[str]:
    """Files that a batch still needs: one that is worked on, or that can be promoted further."""
    order = list(Layer)
    top = max((order.index(known) for known in table.layers), default=0)
    busy = {batch for batch, _ in recovery.running(config)}
    needed = set()
    later = {
        new.instead_of: new.file for r in records for log in r.transitions for new in log.added
    }
    for record in records:
        published = [log for log in record.transitions if log.target_file is not None]
        files = {log.target_file for log in published if log.target_layer is layer}
        reached = max((order.index(log.target_layer) for log in published), default=0)
        here = order.index(layer)
        if record.batch_id in busy or (here == reached and here < top):
            for file in files:
                while file is not None and file not in needed:
                    needed.add(file)
                    file = later.get(file)  # noqa: PLW2901 - written anew by an erasure
    return needed


def _orphans(
    config: PipelineConfig, folder: Path, named: set[str], records: list[BatchRecord]
) -> list[Path]:
    """Files of ours that no version and no record names, and that are older than a day."""
    known = {Path(file).name for record in records for file in _files_of(record)}
    busy = {batch for batch, _ in recovery.running(config)}
    old = time.time() - _DAY_SECONDS
    return [
        path
        for path in sorted(folder.glob("*.parquet"))
        if path.exists()
        and is_batch_file(path.name)
        and path.name not in named | known
        and path.name.split(".")[0] not in busy
        and path.stat().st_mtime < old
    ]


def _files_of(record: BatchRecord) -> Iterable[str]:
    for log in record.transitions:
        yield from (file for file in (log.target_file, log.quarantine_file) if file is not None)
        if log.status is TransitionStatus.RUNNING:
            yield from log.planned
        yield from (added.file for added in log.added)


def _unnamed_sources(config: PipelineConfig) -> list[Path]:
    """Kept source files that no batch names, older than a day."""
    old = time.time() - _DAY_SECONDS
    found = []
    for path in unnamed(config, lineage.all_records(config)):
        with contextlib.suppress(OSError):  # somebody else may remove it just now
            if path.stat().st_mtime < old:
                found.append(path)
    return found


def _debris(config: PipelineConfig) -> list[Path]:
    """Unfinished files and scratch folders of processes that are gone.

    What may be somebody else's, by its name, has to be older than a day.
    """
    old = time.time() - _DAY_SECONDS
    busy = {transition for _, transition in recovery.running(config)}
    found = recovery.left_behind(config)
    for folder, folders, files in os.walk(config.data_root):
        for name in [name for name in sorted([*folders, *files]) if is_temporary(name)]:
            path = Path(folder) / name
            owner = scratch_owner(path)
            with contextlib.suppress(OSError):  # its owner may remove it just now
                if path in found or path.lstat().st_mtime >= old:
                    continue
                if owner not in busy if owner is not None else is_abandoned(path):
                    found.append(path)
    return found
