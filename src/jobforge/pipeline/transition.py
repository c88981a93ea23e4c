"""The life of one transition: recorded, computed, judged, published, recorded again.

Whoever moves rows, a layer class alone or the engine, goes through here, so
that there is one order of events: the record says `running` before anything is
written, nothing is visible before it was judged, and the record gets its
outcome whatever happens.
"""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from jobforge._version import __version__
from jobforge.errors import JobforgeError, TransitionError, UsageError, WriteError
from jobforge.pipeline import catalog, events, lineage
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.footer import Footer
from jobforge.pipeline.models import (
    ErrorRecord,
    InputRef,
    LayerTransitionLog,
    Note,
    SourceInfo,
    SourceLayer,
    TransformRef,
    TransitionStatus,
    Worker,
)
from jobforge.quality.account import RowAccount
from jobforge.storage.paths import batch_files, relative_to_root
from jobforge.storage.publish import Publication, scratch_folder

Clock = Callable[[], datetime]


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
    inputs: tuple[Path, ...] = ()
    transforms: tuple[TransformRef, ...] = ()


@dataclass(frozen=True)
class Written:
    """What was written, not yet visible."""

    target: Path
    rows: int
    rejects: Path | None
    probes: list[pl.DataFrame]


@dataclass(frozen=True)
class Verdict:
    """What a layer says of what was written.

    Where `refusal` is set, the table stays as it was, and only the rejects
    become visible.
    """

    account: RowAccount
    notes: tuple[Note, ...] = ()
    refusal: JobforgeError | None = None


@dataclass(frozen=True)
class Work:
    """What a layer wants written, as frames that are not computed yet.

    Args:
        frame: The rows of the target.
        footer: What the file says of itself.
        judge: Called with what was written, before it becomes visible.
        rejects: Rows for quarantine.
        probes: Small frames to compute in the same pass.
        locate: Called when computing failed, to name the step that is to blame; None
            where it is none of them.
        sources: The source files, where this is an ingest.
        source_columns: Column lineage, where it is known exactly.
    """

    frame: pl.LazyFrame
    footer: Footer
    judge: Callable[[Written], Verdict]
    rejects: pl.LazyFrame | None = None
    probes: tuple[pl.LazyFrame, ...] = ()
    locate: Callable[[BaseException], JobforgeError | None] | None = None
    sources: Callable[[], tuple[SourceInfo, ...]] = tuple
    source_columns: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """A transition that was published."""

    path: Path
    log: LayerTransitionLog


class Transition:
    """One move of one batch, from its first record to its last.

    Args:
        config: Where the data root is.
        move: Which rows go where.
        clock: Read once at the start and once at the end; times are UTC.
    """

    def __init__(self, config: PipelineConfig, move: Move, clock: Clock) -> None:
        self.config = config
        self.move = move
        self.started_at = clock()
        self._clock = clock
        root = config.data_root
        self._log = LayerTransitionLog(
            transition_id=str(uuid.uuid4()),
            batch_id=move.batch_id,
            table=move.table,
            domain=move.domain,
            source_layer=move.source_layer,
            target_layer=move.target_layer,
            source_files=move.source_files,
            inputs=tuple(
                InputRef(
                    table=move.table,
                    domain=move.domain,
                    layer=Layer(move.source_layer),
                    file=relative_to_root(path, root),
                )
                for path in move.inputs
            ),
            transforms_applied=move.transforms,
            started_at=self.started_at,
            status=TransitionStatus.RUNNING,
            worker=Worker(host=socket.gethostname(), pid=os.getpid()),
            jobforge_version=__version__,
            polars_version=pl.__version__,
        )
        self._sources: tuple[SourceInfo, ...] = ()

    def run(self, plan: Callable[[Path], Work]) -> Outcome:
        """Carry the transition out.

        Args:
            plan: Says what to write; gets a folder for scratch files, which it
                creates where it needs it and which is removed afterwards.

        Raises:
            JobforgeError: The work was refused or failed. Nothing new is
                visible in the target layer, and the record says why.
        """
        self._save()
        try:
            outcome = self._publish(plan)
        except JobforgeError as error:
            if isinstance(error, UsageError):
                # Whoever reads a schema or an option does not know which table it is for.
                here = {"layer": str(self.move.target_layer), "table": self.move.table}
                error.place = {**here, **error.place}
            self._failed(error, error)
            raise
        except Exception as error:
            # Nothing but errors of ours reaches a user; what was raised stays as the cause.
            wrapped = _unexpected(error)
            self._failed(error, wrapped)
            raise wrapped from error
        except BaseException as error:
            self._failed(error, None)
            raise
        log = outcome.log
        seconds = (self._finished() - self.started_at).total_seconds()
        self._tell(
            "transition.finished",
            rows_in=log.row_count_in,
            rows_out=log.row_count_out,
            status=str(log.status),
            seconds=round(seconds, 3),
        )
        return outcome

    def _tell(self, event: str, *, failed: bool = False, **more: object) -> None:
        """Log an event; a log that cannot be written changes no outcome."""
        about = {
            "batch": self.move.batch_id,
            "table": f"{self.move.domain}/{self.move.table}",
            "layer": str(self.move.target_layer),
        }
        with contextlib.suppress(OSError, ValueError):
            logger = events.get_logger()
            (logger.error if failed else logger.info)(event, **about, **more)

    def _publish(self, plan: Callable[[Path], Work]) -> Outcome:
        move, config = self.move, self.config
        place = Path(move.domain) / move.table
        layer = move.target_layer
        folders = [config.layer_path(layer) / place, config.quarantine_path() / layer / place]
        target, rejected = batch_files(folders, move.batch_id)
        catalog.check(config, self._log)
        with (
            Publication() as publication,
            scratch_folder(config.data_root) as scratch,
        ):
            work = plan(scratch)
            written = _write(work, publication, target, rejected)
            verdict = work.judge(written)
            verdict.account.check()
            self._note(work, verdict)
            schema = _checked_schema(work, written)
            if not verdict.account.quarantined:
                publication.drop(rejected)
            if verdict.refusal is not None:
                publication.drop(target)
                publication.commit()
                self._set(quarantine_file=relative_to_root(rejected, config.data_root))
                raise verdict.refusal.at(quarantine=str(rejected))
            publication.commit()
        left = bool(verdict.account.quarantined)
        self._set(
            target_file=relative_to_root(target, config.data_root),
            quarantine_file=relative_to_root(rejected, config.data_root) if left else None,
            status=TransitionStatus.PARTIAL if left else TransitionStatus.SUCCESS,
            completed_at=self._finished(),
        )
        self._save()
        catalog.update(config, self._log, target, schema, work.source_columns)
        return Outcome(target, self._log)

    def _note(self, work: Work, verdict: Verdict) -> None:
        """Take over what is known once the rows were counted, whatever happens next."""
        self._sources = work.sources()
        self._set(
            row_count_in=verdict.account.rows_in,
            row_count_out=verdict.account.rows_out,
            account=verdict.account,
            notes=verdict.notes,
        )

    def _failed(self, error: BaseException, known: JobforgeError | None) -> None:
        """Record the failure; an error while recording does not hide the first.

        What was published stays recorded as published.
        """
        self._tell("transition.failed", failed=True, error=known.code if known else repr(error))
        if self._log.status is not TransitionStatus.RUNNING:
            return
        if known is not None:
            entry = ErrorRecord(
                code=known.code,
                kind=type(known).__name__,
                message=known.message,
                hint=known.hint,
                place=dict(known.place),
            )
        else:
            entry = ErrorRecord(
                code="JF000",
                kind=type(error).__name__,
                message=str(error),
                hint="",
                place={},
            )
        self._set(
            status=TransitionStatus.FAILED,
            errors=(entry,),
            completed_at=self._finished(),
            target_file=None,
        )
        try:
            self._save()
        except JobforgeError as second:
            error.add_note(f"the failure could not be recorded: {second}")

    def _finished(self) -> datetime:
        """The end of the transition: the clock is read once, and never before its start."""
        if self._log.completed_at is not None:
            return self._log.completed_at
        return max(self._clock(), self.started_at)

    def _set(self, **values: object) -> None:
        self._log = self._log.model_copy(update=values)

    def _save(self) -> None:
        lineage.record_log(self.config, self._log, self._sources)


def _write(work: Work, publication: Publication, target: Path, rejected: Path) -> Written:
    """Compute the frames of a piece of work in one pass, into temporary files.

    The rejects are reserved first, so that they become visible first: a row
    that left is never lost.
    """
    metadata = work.footer.metadata()
    sinks = []
    rejects = None
    if work.rejects is not None:
        rejects = publication.reserve(rejected)
        sinks.append(_sink(work.rejects, rejects, metadata))
    temp = publication.reserve(target)
    sinks.append(_sink(work.frame, temp, metadata))
    try:
        results = pl.collect_all([*sinks, *work.probes], engine="streaming")
    except JobforgeError:
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        raise _translate(work, error) from error
    rows = int(pl.scan_parquet(temp, glob=False).select(pl.len()).collect().item())
    return Written(temp, rows, rejects, results[len(sinks) :])


def _checked_schema(work: Work, written: Written) -> pl.Schema:
    """The columns of the written file, which have to be those of the frame.

    Raises:
        TransitionError: They are not; nothing is published.
    """
    wanted = work.frame.collect_schema()
    schema = pl.scan_parquet(written.target, glob=False).collect_schema()
    if list(schema.items()) != list(wanted.items()):
        other = [name for name in {*schema, *wanted} if schema.get(name) != wanted.get(name)]
        raise TransitionError(
            f"the file was written with other columns than it should have: {sorted(other)[:5]}",
            hint="this is likely a defect of jobforge or Polars: keep the input and report it",
        )
    return schema


def _sink(frame: pl.LazyFrame, path: Path, metadata: dict[str, str]) -> pl.LazyFrame:
    sink: pl.LazyFrame = frame.sink_parquet(path, compression="zstd", metadata=metadata, lazy=True)
    return sink


def _translate(work: Work, error: BaseException) -> JobforgeError:
    located = work.locate(error) if work.locate is not None else None
    if located is not None:
        return located
    first = (str(error).splitlines() or [type(error).__name__])[0]
    if isinstance(error, OSError) or "os error" in first.lower():
        return WriteError(
            f"the layer file could not be written: {first}",
            hint="look at free space and permissions of the data root",
        )
    return TransitionError(
        f"Polars could not compute the layer: {first}",
        hint="this is likely a defect of jobforge or Polars: keep the source file and report it",
    )


def _unexpected(error: Exception) -> TransitionError:
    first = (str(error).splitlines() or [""])[0]
    return TransitionError(
        f"unexpected {type(error).__name__}: {first}",
        hint="this is likely a defect of jobforge: keep the input and report it",
    )
