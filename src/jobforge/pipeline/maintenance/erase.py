"""Named source records leave every file: for a request to be forgotten.

Files that hold them are written anew under new paths, without them, and the old
ones are removed: versions that had those no longer open, and say so. The record
of the erasure names the source records and the old and new files with their
hashes, never a value.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from jobforge.errors import (
    InvalidOptionError,
    JobforgeError,
    PublishConflictError,
    TableDamagedError,
    WriteError,
)
from jobforge.pipeline import lineage, query, recovery
from jobforge.pipeline.adoption import newest_version
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.footer import read_footer
from jobforge.pipeline.maintenance.begin import begin, catalogue, check_bytes, commit_of
from jobforge.pipeline.maintenance.clean import remove_files
from jobforge.pipeline.maintenance.source_records import SourceRecord, Wanted
from jobforge.pipeline.models import FileRef, LayerTransitionLog, Note, Operation, TransitionStatus
from jobforge.pipeline.passes import one_interrupt
from jobforge.pipeline.provenance import SOURCE_ROW, generate_batch_id
from jobforge.pipeline.source_archive import copies
from jobforge.pipeline.table_record import TableMetadata
from jobforge.pipeline.transition import Clock, Transition, utc_now
from jobforge.pipeline.versions import conflict, table_folder, table_store
from jobforge.pipeline.writing import landed
from jobforge.quality.account import RowAccount
from jobforge.storage.paths import is_batch_file
from jobforge.storage.publish import Publication
from jobforge.storage.source import hash_file
from jobforge.storage.store import Change, DataFile, Version

_SHOWN = 20
_STEP = "erase"
_ROUNDS = 3


@dataclass(frozen=True)
class _Found:
    """A file that holds records to be erased."""

    path: Path
    beside: str
    """`quarantine` or `groups`, where it is no file of the table itself."""
    rows: int
    hits: int


@dataclass(frozen=True)
class _Replacement:
    """A file without the records, in the place of one with them."""

    old: _Found
    target: Path
    data: DataFile
    content_hash: str


def erase(
    config: PipelineConfig,
    table: str,
    records: Sequence[SourceRecord],
    why: str,
    clock: Clock = utc_now,
) -> list[LayerTransitionLog]:
    """Remove source records from staged, every version of every layer, and quarantine.

    Rows that no longer name their source record (aggregates) keep what went
    into them: the log names the files, a new promote of the batch makes them
    anew, and `clean` removes the old ones.
    A source file that was kept in the data root goes as a whole, whichever
    batches it is of; the source file itself is not jobforge's, and stays.

    Args:
        config: Where the data root is.
        table: `table` or `domain/table`.
        records: What is to be forgotten.
        why: The reason, for the record; put no personal data in it.
        clock: Gives the time in UTC.

    Returns:
        A log for each layer that held one of them, from staged on.

    Raises:
        RecordNotFoundError: One of them is in no file of the table; nothing is erased.
        InvalidOptionError: No record or no reason is given.
        PublishConflictError: Somebody works on the table; erase again.
        StorageError: A file cannot be read, written or removed.
    """
    _check(records, why)
    found, _ = query.find_layer(config, table, None)
    recovery.recover(config, clock)
    for layer in Layer:  # an unfinished file may hold the records too
        recovery.sweep_table(config, layer, found.domain, found.table)
    wanted = Wanted(list(records))
    logs: list[LayerTransitionLog] = []
    for attempt in range(_ROUNDS):
        _refuse_if_busy(config, found, begun=bool(logs))
        for layer in (Layer.BRONZE, Layer.SILVER, Layer.GOLD):
            newest_version(config, layer, found.domain, found.table)
        holding = {layer: _holding(config, found, layer, wanted) for layer in Layer}
        if attempt == 0:
            wanted.check()
        if not any(files for files, _ in holding.values()):
            return sorted(logs, key=lambda log: list(Layer).index(log.target_layer))
        nameless = [path for _, paths in holding.values() for path in paths]
        files = [file.path for each, _ in holding.values() for file in each]
        try:
            check_bytes(config, found, files)
        except JobforgeError as error:
            _refuse_if_gone(files, error)
            raise
        batch_id = generate_batch_id()
        # From gold back to staged: where it breaks off, doing it again finds what is left.
        for layer in [layer for layer in reversed(Layer) if holding[layer][0]]:
            transition = begin(config, found, layer, Operation.ERASE, clock, batch_id=batch_id)
            work = _Erasure(transition, found, wanted, why, nameless)
            logs.append(transition.run(work.run))
    raise PublishConflictError(
        f"what was erased from {found.domain}/{found.table} comes back again and again",
        hint="erase again while nobody else works on the table",
    )


def _check(records: object, why: object) -> None:
    known = isinstance(records, (list, tuple)) and all(
        isinstance(record, SourceRecord) for record in records
    )
    if not known or not records or not isinstance(why, str) or not why.strip():
        raise InvalidOptionError(
            "erase needs the records and a reason",
            hint="erase(table, [SourceRecord(batch_id, source_row)], why='request of ...')",
        )


def _refuse_if_busy(
    config: PipelineConfig, table: TableMetadata, *, begun: bool, own: str = ""
) -> None:
    """Refuse to go on while somebody works on the table, and may bring back what was erased.

    Raises:
        PublishConflictError: Somebody does.
    """
    busy = [b for b in recovery.working_on(config, table.domain, table.table) if b != own]
    if busy:
        done = "what was there is erased, but " if begun else ""
        raise PublishConflictError(
            f"{done}the batch {busy[0]} of {table.domain}/{table.table} is being worked on",
            hint="erase again once that is done; it may hold what is to be forgotten",
            batch=busy[0],
        )


def _refuse_if_gone(paths: Sequence[Path], error: Exception) -> None:
    """Tell a file that somebody removed while it was looked through from a damaged one.

    Raises:
        PublishConflictError: One is no longer there.
    """
    for path in paths:
        if not os.path.lexists(path):
            raise PublishConflictError(
                f"{path} was removed while records to erase were looked for in it",
                hint="erase again once nobody else works on the table; nothing is half done",
            ) from error


def _holding(
    config: PipelineConfig, table: TableMetadata, layer: Layer, wanted: Wanted
) -> tuple[list[_Found], list[Path]]:
    """Every file of a layer, and of its quarantine, that holds one of the records.

    And those that may hold one, in rows that do not name their record.
    """
    folders = [
        table_folder(config, layer, table.domain, table.table),
        config.quarantine_path() / layer / table.domain / table.table,
        config.catalog_groups_path() / layer / table.domain / table.table,
    ]
    found = []
    nameless = []
    paths = [path for folder in folders for path in sorted(folder.glob("*.parquet"))]
    # In this order: what becomes a version meanwhile is seen as busy, or as one.
    busy = {batch for batch, _ in recovery.running(config)}
    store = table_store(config, layer, table.domain, table.table)
    named = {name for files in store.files_by_version().values() for name in files}
    for path in [path for path in paths if is_batch_file(path.name)]:
        loose = layer is not Layer.STAGED and path.parent == store.folder
        if loose and path.name not in named and path.name.split(".")[0] in busy:
            continue  # it is about to become a version
        try:
            frame = pl.scan_parquet(path, glob=False)
            if wanted.nameless(frame):
                nameless.append(path)
            if SOURCE_ROW not in frame.collect_schema():
                continue
            if hits := wanted.hits(frame):
                rows = int(frame.select(pl.len()).collect().item())
                places = {folders[1]: "quarantine", folders[2]: "groups"}
                found.append(_Found(path, places.get(path.parent, ""), rows, hits))
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            _refuse_if_gone([path], error)
            raise TableDamagedError(
                f"{path} cannot be read ({(str(error).splitlines() or [''])[0]})",
                hint="nothing was erased; restore the file from a backup, or remove it",
            ) from error
    return found, nameless


def _archived(config: PipelineConfig, wanted: Wanted) -> list[Path]:
    """Source files in the data root that hold one of the records, whoever had them kept."""
    found: set[Path] = set()
    for batch, name in wanted.sources():
        record = lineage.load(config, batch)
        for info in record.sources if record is not None else ():
            if info.name == name:
                found.update(copies(config, info.sha256))
    return sorted(found)


class _Erasure:
    """The erasure of records from one layer."""

    def __init__(
        self,
        transition: Transition,
        table: TableMetadata,
        wanted: Wanted,
        why: str,
        nameless: list[Path],
    ) -> None:
        self._transition = transition
        self._table = table
        self._found: list[_Found] = []
        self._sources: list[Path] = []
        self._wanted = wanted
        self._why = why
        self._nameless = [transition.relative(path) for path in nameless]

    def run(self, _: Path) -> None:
        """Write, record, publish, remove: in this order."""
        transition = self._transition
        store = transition.store
        config, layer = transition.config, transition.move.target_layer
        # Now that this work is marked, nobody can begin without seeing it, or being seen.
        _refuse_if_busy(config, self._table, begun=False, own=transition.move.batch_id)
        with store.lock() if store is not None else nullcontext():
            self._found = _holding(config, self._table, layer, self._wanted)[0]
            if layer is Layer.STAGED:
                self._sources = _archived(config, self._wanted)
            newest = store.version() if store is not None and store.latest() else None
            current = {file.name for file in newest.files} if newest is not None else set[str]()
            # A file that only earlier versions have is not written anew.
            kept = [f for f in self._found if f.beside or store is None or f.path.name in current]
            with Publication(lambda: landed(transition)) as publication, one_interrupt():
                files = self._write(publication, kept)
                self._record(newest, files)
                # First of all: as long as staged has the record, a broken off erasure is repeated.
                remove_files(self._sources)
                publication.place()
                made = self._version(newest, files)
                publication.keep()
            if made is not None:
                catalogue(transition, self._table, made)
            recovery.catalogue_replaced(config, transition.log)
            remove_files(found.path for found in self._found)
        transition.publish(
            TransitionStatus.SUCCESS, table_version=made.number if made is not None else None
        )

    def _write(self, publication: Publication, kept: list[_Found]) -> list[_Replacement]:
        batch = self._transition.move.batch_id
        files = []
        for number, found in enumerate(kept, start=1):
            name = f"{batch}.parquet" if number == 1 else f"{batch}.{number}.parquet"
            target = found.path.with_name(name)
            temp = publication.reserve(target)
            frame = self._wanted.without(pl.scan_parquet(found.path, glob=False))
            metadata = read_footer(found.path).metadata()
            try:
                frame.sink_parquet(temp, compression="zstd", metadata=metadata)
            except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
                raise WriteError(
                    f"{found.path} could not be written anew "
                    f"({(str(error).splitlines() or [''])[0]})",
                    hint="look at free space and permissions of the data root",
                ) from error
            rows = int(pl.scan_parquet(temp, glob=False).select(pl.len()).collect().item())
            RowAccount(rows_in=found.rows, rows_out=rows, dropped={_STEP: found.hits}).check()
            data = DataFile(name, rows, temp.stat().st_size)
            files.append(_Replacement(found, target, data, f"sha256:{hash_file(temp)}"))
        return files

    def _record(self, newest: Version | None, files: list[_Replacement]) -> None:
        """Name what goes and what comes, before anything does."""
        transition = self._transition
        tables = [file for file in files if not file.old.beside]
        gone = sum(file.old.hits for file in tables)
        rows = newest.commit.rows if newest is not None else sum(f.old.rows for f in tables)
        transition.record(
            removed=tuple(
                FileRef(
                    file=transition.relative(path),
                    size_bytes=path.stat().st_size,
                    content_hash=f"sha256:{hash_file(path)}",
                )
                for path in [*self._sources, *(found.path for found in self._found)]
            ),
            added=tuple(
                FileRef(
                    file=transition.relative(file.target),
                    size_bytes=file.data.size_bytes,
                    content_hash=file.content_hash,
                    instead_of=transition.relative(file.old.path),
                )
                for file in files
            ),
            row_count_in=rows,
            row_count_out=rows - gone,
            account=RowAccount(
                rows_in=rows, rows_out=rows - gone, dropped={_STEP: gone} if gone else {}
            ),
            notes=self._notes(),
        )

    def _notes(self) -> tuple[Note, ...]:
        records = self._wanted.records
        named = "; ".join(map(str, records[:_SHOWN]))
        more = f"; and {len(records) - _SHOWN} more" if len(records) > _SHOWN else ""
        notes = [Note(topic="erased", text=named + more), Note(topic="why", text=self._why)]
        if self._nameless:
            files = ", ".join(self._nameless[:_SHOWN])
            text = f"rows that do not name their record may still hold it, in {files}"
            notes.append(Note(topic="aggregates", text=text))
        rejects = sum(found.hits for found in self._found if found.beside == "quarantine")
        if self._sources:
            text = f"{len(self._sources)} source files that were kept in the data root went too"
            notes.append(Note(topic="kept sources", text=text))
        if rejects:
            notes.append(Note(topic="quarantine", text=f"{rejects} rows of it went too"))
        return tuple(notes)

    def _version(self, newest: Version | None, files: list[_Replacement]) -> Version | None:
        store = self._transition.store
        by_name = {file.old.path.name: file.data for file in files if not file.old.beside}
        if store is None or newest is None or not by_name:
            return None
        schema = store.scan(newest).collect_schema()
        wanted = tuple(
            replace(by_name[file.name], order=file.order) if file.name in by_name else file
            for file in newest.files
        )
        try:
            change = Change(commit_of(self._transition), wanted, schema)
            return store.version(store.publish(change, newest.number))
        except PublishConflictError as error:
            raise conflict(newest.number + 1, store.commit(newest.number + 1)) from error
