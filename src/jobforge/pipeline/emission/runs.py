"""A transition as a run of OpenLineage, told as it begins, is counted and ends.

The record is what counts: an event says what the record says at that moment,
comes after it, and whatever goes wrong with an event changes no outcome.
"""

from __future__ import annotations

from datetime import UTC, datetime

from jobforge.openlineage.records import Code, RunState, State
from jobforge.pipeline import events
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.emission.datasets import inputs_of, outputs_of
from jobforge.pipeline.models import MOVES, LayerTransitionLog, SourceInfo, TransitionStatus


def tell(
    config: PipelineConfig,
    log: LayerTransitionLog,
    sources: tuple[SourceInfo, ...],
    at: datetime | None = None,
) -> None:
    """Tell what has become of a transition, if anybody asked for events; never raises.

    Args:
        config: Where the data root is, and where events go.
        log: The transition as its record has it.
        sources: The source files, where they are known.
        at: When its rows were counted; None where it begins or ends.
    """
    settings = config.openlineage
    if settings is None or not settings.active:
        return
    try:
        from jobforge.openlineage.emitter import emit  # loads the client, which may be damaged

        run = run_of(config, log, sources, at)
        file = config.catalog_openlineage_path() / f"{log.batch_id}.jsonl"
        emit(run, settings, file, lambda what: _warn({**log.about, **what}))
    except Exception as error:  # noqa: BLE001 - an event that cannot be made or kept stops nothing
        first = (str(error).splitlines() or [""])[0]
        _warn({**log.about, "error": f"{type(error).__name__}: {first}"})


def run_of(
    config: PipelineConfig,
    log: LayerTransitionLog,
    sources: tuple[SourceInfo, ...],
    at: datetime | None = None,
) -> RunState:
    """The transition as a run; the arguments are those of `tell`."""
    whole = f"{log.domain}/{log.table}"
    job = f"{whole}/{log.target_layer}"
    return RunState(
        run_id=log.transition_id,
        parent_id=log.batch_id,
        # Work on a whole table is a job of its own: it has other inputs than a batch that comes in.
        job=job if log.operation in MOVES else f"{job}/{log.operation}",
        parent_job=whole,
        state=_state(log, at),
        at=(at or log.completed_at or log.started_at).astimezone(UTC),
        engine_version=log.polars_version,
        version=log.jobforge_version,
        inputs=inputs_of(config, log, sources),
        outputs=outputs_of(config, log),
        code=tuple(
            Code(ref.name, ref.qualified_name, ref.code_sha256) for ref in log.transforms_applied
        ),
        error=_error(log),
    )


def _state(log: LayerTransitionLog, at: datetime | None) -> State:
    if log.status is TransitionStatus.RUNNING:
        return "START" if at is None else "RUNNING"
    return "FAIL" if log.status is TransitionStatus.FAILED else "COMPLETE"


def _error(log: LayerTransitionLog) -> str | None:
    """What the record says, which is what may be said: it withholds texts with personal values."""
    if log.status is not TransitionStatus.FAILED or not log.errors:
        return None
    error = log.errors[0]
    return f"{error.code} {error.kind}: {error.message}"


def _warn(about: dict[str, object]) -> None:
    events.tell("openlineage.not_sent", about, "warning")
