"""The life of one transition: recorded, computed, judged, published, recorded again.

Whoever moves rows, a layer class alone or the engine, goes through here, so
that there is one order of events: the record says `running` before anything is
written, nothing is visible before it was judged, and the record gets its
outcome whatever happens.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from jobforge._version import __version__
from jobforge.errors import JobforgeError, TransitionError, WriteError
from jobforge.pipeline import catalog, events, lineage
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.footer import Footer
from jobforge.pipeline.models import (
    BatchRecord,
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
from jobforge.storage.paths import batch_file, relative_to_root
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
        locate: Called when computing failed, to name the step that is to blame.
        sources: The source files, where this is an ingest.
        source_columns: Column lineage, where it is known exactly.
    """

    frame: pl.LazyFrame
    footer: Footer
    judge: Callable[[Written], Verdict]
    rejects: pl.LazyFrame | None = None
    probes: tuple[pl.LazyFrame, ...] = ()
    locate: Callable[[BaseException], JobforgeError] | None = None
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
        self._record = lineage.load(config, move.batch_id) or BatchRecord(
            batch_id=move.batch_id,
            table=move.table,
            domain=move.domain,
            created_at=self.started_at,
        )

    def run(self, plan: Callable[[Path], Work]) -> Outcome:
        """Carry the transition out.

        Args:
            plan: Says what to write; gets a folder for scratch files, which it
                creates where it needs it and which is removed afterwards.

        Raises:
            JobforgeError: The work was refused or failed. Nothing new is
                visible in the target layer, and the record says why.
        """
        logger = events.get_logger()
        about = {
            "batch": self.move.batch_id,
            "table": f"{self.move.domain}/{self.move.table}",
            "layer": str(self.move.target_layer),
        }
        self._save()
        try:
            outcome = self._publish(plan)
        except BaseException as error:
            self._failed(error)
            code = error.code if isinstance(error, JobforgeError) else type(error).__name__
            # No traceback: the error itself goes to the caller.
            logger.error("transition.failed", **about, error=code)  # noqa: TRY400 - see above
            raise
        log = outcome.log
        seconds = (self._finished() - self.started_at).total_seconds()
        logger.info(
            "transition.finished",
            **about,
            rows_in=log.row_count_in,
            rows_out=log.row_count_out,
            status=str(log.status),
            seconds=round(seconds, 3),
        )
        return outcome

    def _publish(self, plan: Callable[[Path], Work]) -> Outcome:
        move, config = self.move, self.config
        place = Path(move.domain) / move.table
        target = batch_file(config.layer_path(move.target_layer) / place, move.batch_id)
        rejected = batch_file(config.quarantine_path() / move.target_layer / place, move.batch_id)
        with (
            Publication() as publication,
            scratch_folder(config.data_root) as scratch,
        ):
            work = plan(scratch)
            written = _write(work, publication, target, rejected)
            verdict = work.judge(written)
            verdict.account.check()
            self._note(work, verdict)
            schema = pl.scan_parquet(written.target, glob=False).collect_schema()
            if not verdict.account.quarantined:
                publication.drop(rejected)
            if verdict.refusal is not None:
                publication.drop(target)
                publication.commit()
                self._set(quarantine_file=relative_to_root(rejected, config.data_root))
                raise verdict.refusal
            publication.commit()
        left = bool(verdict.account.quarantined)
        self._set(
            target_file=relative_to_root(target, config.data_root),
            quarantine_file=relative_to_root(rejected, config.data_root) if left else None,
            status=TransitionStatus.PARTIAL if left else TransitionStatus.SUCCESS,
            completed_at=self._finished(),
        )
        catalog.update(config, self._log, target, schema, work.source_columns)
        self._save()
        return Outcome(target, self._log)

    def _note(self, work: Work, verdict: Verdict) -> None:
        """Take over what is known once the rows were counted, whatever happens next."""
        sources = work.sources()
        if sources:
            self._record = self._record.model_copy(update={"sources": sources})
        self._set(
            row_count_in=verdict.account.rows_in,
            row_count_out=verdict.account.rows_out,
            account=verdict.account,
            notes=verdict.notes,
        )

    def _failed(self, error: BaseException) -> None:
        """Record the failure; an error while recording does not hide the first."""
        if isinstance(error, JobforgeError):
            entry = ErrorRecord(
                code=error.code,
                kind=type(error).__name__,
                message=error.message,
                hint=error.hint,
                place=dict(error.place),
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
        self._record = self._record.with_log(self._log)
        lineage.save(self.config, self._record)


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


def _sink(frame: pl.LazyFrame, path: Path, metadata: dict[str, str]) -> pl.LazyFrame:
    sink: pl.LazyFrame = frame.sink_parquet(path, compression="zstd", metadata=metadata, lazy=True)
    return sink


def _translate(work: Work, error: BaseException) -> JobforgeError:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    if isinstance(error, OSError) or "os error" in first.lower():
        return WriteError(
            f"the layer file could not be written: {first}",
            hint="look at free space and permissions of the data root",
        )
    if work.locate is not None:
        return work.locate(error)
    return TransitionError(
        f"Polars could not compute the layer: {first}",
        hint="this is likely a defect of jobforge or Polars: keep the source file and report it",
    )
