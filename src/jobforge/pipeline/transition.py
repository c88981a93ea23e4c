"""The life of one transition: marked, recorded, carried out, recorded again.

Whoever moves rows or makes a version, a layer class alone or the engine, goes
through here, so that there is one order of events: the record says `running`
before anything is written, and gets its outcome whatever happens.
"""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import polars as pl
import psutil

from jobforge._version import __version__
from jobforge.errors import (
    JobforgeError,
    PublishConflictError,
    SchemaMismatchError,
    StorageError,
    TransitionError,
    UsageError,
)
from jobforge.pipeline import chain, events, lineage, recovery, spans
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.models import (
    WITHHELD,
    BatchRecord,
    ContractRef,
    ErrorRecord,
    InputRef,
    LayerTransitionLog,
    Operation,
    SourceInfo,
    SourceLayer,
    TransitionStatus,
    Worker,
)
from jobforge.pipeline.root import prepare_root
from jobforge.pipeline.transform_ref import TransformRef
from jobforge.pipeline.versions import table_store
from jobforge.storage.debris import Marker, mark, scratch_folder, scratch_path
from jobforge.storage.delta import DeltaStore
from jobforge.storage.paths import batch_files, relative_to_root

Clock = Callable[[], datetime]
_PLACELESS = (UsageError, SchemaMismatchError, PublishConflictError)


def utc_now() -> datetime:
    """The clock that is used unless another is passed in."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Move:
    """Which rows go where."""

    batch_id: str
    table: str
    domain: str
    source_layer: SourceLayer
    target_layer: Layer
    source_files: tuple[str, ...]
    operation: Operation
    inputs: tuple[InputRef, ...] = ()
    transforms: tuple[TransformRef, ...] = ()
    grain: tuple[str, ...] = ()
    contract: ContractRef | None = None
    cures: str | None = None
    discreet: bool = False
    """Whether error texts that may hold personal values are withheld."""
    of_version: int | None = None


@dataclass(frozen=True)
class Outcome:
    """A transition that was published."""

    path: Path
    log: LayerTransitionLog


@dataclass
class Begun:
    """A transition whose rows are computed before it comes to its own turn.

    Args:
        transition_id: Its id.
        started_at: When the computation began.
        marker: Says that it is alive.
        scratch: Its folder for scratch files.
        running: Whether its turn has come, and the marker is its own.
    """

    transition_id: str
    started_at: datetime
    marker: Marker
    scratch: Path
    running: bool = False


class Transition:
    """One move of one batch, from its first record to its last.

    Args:
        config: Where the data root is.
        move: Which rows go where.
        clock: Read once at the start and once at the end, and where somebody asked
            for OpenLineage events also when the rows are counted; times are UTC.
        begun: What began earlier, where it did.
    """

    def __init__(
        self, config: PipelineConfig, move: Move, clock: Clock, begun: Begun | None = None
    ) -> None:
        self.config = config
        self.move = move
        self.started_at = clock() if begun is None else begun.started_at
        self.transition_id = str(uuid.uuid4()) if begun is None else begun.transition_id
        self._clock = clock
        self._begun = begun
        self.log = LayerTransitionLog(
            transition_id=self.transition_id,
            batch_id=move.batch_id,
            table=move.table,
            domain=move.domain,
            source_layer=move.source_layer,
            target_layer=move.target_layer,
            source_files=move.source_files,
            inputs=move.inputs,
            operation=move.operation,
            transforms_applied=move.transforms,
            grain=move.grain,
            contract=move.contract,
            started_at=self.started_at,
            status=TransitionStatus.RUNNING,
            worker=_worker(),
            jobforge_version=__version__,
            polars_version=pl.__version__,
        )
        self._sources: tuple[SourceInfo, ...] = ()
        self._complete = False

    @property
    def store(self) -> DeltaStore | None:
        """The versions of the layer's table; None for staged, which has none."""
        move = self.move
        if move.target_layer is Layer.STAGED:
            return None
        scratch = scratch_path(self.config.data_root, self.transition_id)
        return table_store(self.config, move.target_layer, move.domain, move.table, scratch)

    def run(self, body: Callable[[Path], None], *, writes: bool = False) -> LayerTransitionLog:
        """Carry the transition out.

        Args:
            body: Does the work and says what came of it with `note` and
                `publish`; gets a folder for scratch files, which it creates
                where it needs it and which is removed afterwards.
            writes: Whether it writes a file of the batch, and perhaps rejects:
                their names are then in `log.planned`.

        Raises:
            JobforgeError: The work was refused or failed. What was not
                published is gone, and the record says why.
        """
        with spans.of_transition(self.config, self.move.target_layer, self.log.about) as span:
            span.about({"operation": self.move.operation})
            try:
                self._carry_out(body, writes=writes)
            finally:
                span.about(self._counts())
        return self.log

    def _carry_out(self, body: Callable[[Path], None], *, writes: bool) -> None:
        prepare_root(self.config, self.started_at)
        recovery.recover(self.config, self._clock)
        move = self.move
        recovery.sweep_table(self.config, move.target_layer, move.domain, move.table)
        with self._marked():
            self._save(self._names if writes else None)
            try:
                self._emit()
                with scratch_folder(self.config.data_root, self.transition_id) as scratch:
                    body(scratch)
                self._seal(self._save())
                self._complete = True
            except JobforgeError as error:
                if isinstance(error, _PLACELESS):
                    # Whoever raises these does not know which table it is for.
                    here = {"layer": str(self.move.target_layer), "table": self.move.table}
                    error.place = {**here, **error.place}
                self._failed(error, error)
                raise
            except Exception as error:  # noqa: BLE001 - raised as ours
                # Nothing but errors of ours reaches a user; what was raised stays as the cause.
                wrapped = _unexpected(error, discreet=self.move.discreet)
                self._failed(error, wrapped)
                raise wrapped from (None if self.move.discreet else error)
            except BaseException as error:
                self._failed(error, None)
                raise
            self._emit()
        seconds = (self.finished_at() - self.started_at).total_seconds()
        self._tell("transition.finished", {**self._counts(), "seconds": round(seconds, 3)})

    def note(self, sources: tuple[SourceInfo, ...], **values: object) -> None:
        """Take over what is known once the rows were counted, whatever happens next."""
        counted = self.log.row_count_in is not None
        self._sources = sources
        self._set(**values)
        if not counted:
            self._emit(self._now)

    def record(self, **values: object) -> None:
        """Take over what is known, and put it into the record at once."""
        self._set(**values)
        self._save()

    def publish(self, status: TransitionStatus, **values: object) -> None:
        """Say that the work stands, and what came of it."""
        self._set(**values, status=status, completed_at=self.finished_at())

    def relative(self, path: Path) -> str:
        """A path as records keep it."""
        return relative_to_root(path, self.config.data_root)

    @contextmanager
    def _marked(self) -> Iterator[None]:
        """Hold a marker, by which others tell that this process still works.

        Where the outcome could not be recorded, or something was published and
        may not be in the catalog, the marker stays: then the next run finds it
        without an owner and sees to it.
        """
        if self._begun is not None:
            self._begun.running = True
            marker = self._begun.marker
        else:
            name = recovery.marker_name(self.move.batch_id, self.transition_id)
            marker = mark(self.config.running_path() / name)
        try:
            yield
        finally:
            if self._complete:
                marker.done()
            else:
                marker.release()

    def _failed(self, error: BaseException, known: JobforgeError | None) -> None:
        """Record the failure; an error while recording does not hide the first.

        What was published stays, and is recorded as published.
        """
        code = known.code if known is not None else type(error).__name__
        self._tell("transition.failed", {"error": code}, failed=True)
        stands: dict[str, object] = {}
        if self.log.status is TransitionStatus.RUNNING:
            with contextlib.suppress(StorageError):
                stands = recovery.what_stands(self.config, self.log)
            self._set(
                status=TransitionStatus.FAILED,
                errors=(ErrorRecord.of(known or error),),
                completed_at=self.finished_at(),
                **stands,
                **self._settled(),
            )
        try:
            record = self._save()
            failed = self.log.status is TransitionStatus.FAILED
            if failed and not stands and not self.log.added:
                self._seal(record)
                self._complete = True
        except JobforgeError as second:
            error.add_note(f"the outcome could not be recorded: {second}")
        else:
            self._emit()

    def _settled(self) -> dict[str, object]:
        """What of the files that it was to remove or to write in their place is so."""
        with contextlib.suppress(StorageError):
            return recovery.settle_replaced(self.config, self.log)
        return {}

    def finished_at(self) -> datetime:
        """The end of the transition: the clock is read once, and never before its start."""
        if self.log.completed_at is not None:
            return self.log.completed_at
        return self._now()

    def _now(self) -> datetime:
        return max(self._clock(), self.started_at)

    def _set(self, **values: object) -> None:
        self.log = self.log.model_copy(update=values)

    def _save(self, plan: Callable[[BatchRecord], tuple[str, ...]] | None = None) -> BatchRecord:
        move = self.move
        record = lineage.record_log(self.config, self.log, self._sources, plan, move.cures)
        self.log = record.transition(self.transition_id) or self.log
        return record

    def _seal(self, record: BatchRecord) -> None:
        """Put the transition into the chain; where that fails, the marker stays."""
        chain.add_transition(self.config, record, self.log, self._clock)

    def _names(self, record: BatchRecord) -> tuple[str, ...]:
        """Names for the file of the transition, its rejects, its edges and its groups."""
        move, config = self.move, self.config
        place = Path(move.domain) / move.table
        layer = move.target_layer
        folders = [
            config.layer_path(layer) / place,
            config.quarantine_path() / layer / place,
        ]
        if layer in (Layer.SILVER, Layer.GOLD):
            folders.append(config.catalog_edges_path() / layer / place)
        if layer is Layer.GOLD:
            folders.append(config.catalog_groups_path() / layer / place)
        store = self.store
        logs = [log for log in record.transitions if log.target_layer is layer]
        taken = {Path(name).name for log in logs for name in log.names}
        if store is not None and logs:  # a batch that is new to the layer has no file there
            taken |= {name for files in store.files_by_version().values() for name in files}
        paths = batch_files(folders, move.batch_id, taken)
        return tuple(self.relative(path) for path in paths)

    def _emit(self, counted_at: Clock | None = None) -> None:
        """Tell those who asked for OpenLineage events what the log says; never raises."""
        if self.config.emits:
            from jobforge.pipeline.emission import runs  # only who asked for events needs it

            at = counted_at() if counted_at is not None else None
            runs.tell(self.config, self.log, self._sources, at)

    def _counts(self) -> dict[str, object]:
        log = self.log
        return {
            "rows_in": log.row_count_in,
            "rows_out": log.row_count_out,
            "status": str(log.status),
        }

    def _tell(self, event: str, more: dict[str, object], *, failed: bool = False) -> None:
        """Log an event; a log that cannot be written changes no outcome."""
        events.tell(event, {**self.log.about, **more}, "error" if failed else "info")


@cache
def _process_start(pid: int) -> datetime:
    return datetime.fromtimestamp(psutil.Process(pid).create_time(), UTC)


def _worker() -> Worker:
    pid = os.getpid()
    return Worker(host=socket.gethostname(), pid=pid, started_at=_process_start(pid))


def _unexpected(error: Exception, *, discreet: bool) -> TransitionError:
    first = WITHHELD if discreet else (str(error).splitlines() or [""])[0]
    return TransitionError(
        f"unexpected {type(error).__name__}: {first}",
        hint="this is likely a defect of jobforge: keep the input and report it",
    )
