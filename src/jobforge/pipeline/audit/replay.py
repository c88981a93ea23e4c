"""A batch is run again from staged, with what it had then, and held against its record."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from jobforge import errors
from jobforge.errors import InvalidOptionError
from jobforge.pipeline import events, lineage, recovery
from jobforge.pipeline.audit.replay_code import Code, NotRecoverableError, Transforms
from jobforge.pipeline.audit.replay_compare import held_against, varies
from jobforge.pipeline.audit.replay_files import staged_file
from jobforge.pipeline.audit.replay_result import LayerReplay, Replay, ReplayVerdict, worst
from jobforge.pipeline.audit.replay_run import Again, Ran
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.models import MOVES, BatchRecord, LayerTransitionLog, TransitionStatus
from jobforge.pipeline.rejects.snapshot import Snapshot
from jobforge.pipeline.root import check_outside, check_root
from jobforge.storage.debris import mark, scratch_path
from jobforge.storage.publish import OUTSIDE, make_folder

_REPEATABLE = {
    kind.code
    for kind in (
        errors.InvalidSchemaError, errors.UnknownColumnError, errors.InvalidRuleError,
        errors.CastRejectedError, errors.TransformError, errors.RowIdentityError,
        errors.ProvenanceLostError, errors.AccountError, errors.SchemaMismatchError,
        errors.RejectLimitError, errors.ExpectationError, errors.GrainError,
    )
}  # fmt: skip
"""Refusals for what rows, contract and code are; others are of the machine or of other writers."""
_MEMORY = re.compile(r" failed: MemoryError\b")
"""How the error of a step tells that the machine had too little; it is one of the machine, too."""

_ORDER = (
    "differ from each other: what a step gives depends on the order of rows that have none, as "
    "after `group_by` or `unique`, or on something else that is another thing each time"
)
"""Of a step whose result is not the same in two runs, one after the other."""


def replay(
    config: PipelineConfig,
    batch_id: str,
    *,
    transforms: Transforms = (),
    modules: Sequence[ModuleType] = (),
    into: Path | str | None = None,
    compare: bool = True,
) -> Replay:
    """Run a batch again from staged, and say whether the same comes out.

    Contract, code, input versions and times are those of the record. Nothing
    in the data root changes.

    Args:
        config: Where the data root is.
        batch_id: The batch.
        transforms: As for `PipelineEngine.replay`, and so are the others.
        modules: Where functions are looked for first.
        into: Where to keep what comes out.
        compare: Whether to hold it against the record.

    Raises:
        JobforgeError: As for `PipelineEngine.replay`.
    """
    check_root(config)
    code = Code(transforms, modules)
    code.check()
    if into is not None and not isinstance(into, (str, os.PathLike)):
        raise InvalidOptionError(
            f"into is of type {type(into).__name__}, not a path",
            hint="name a folder that is empty or not there yet",
        )
    record = lineage.known(config, batch_id)
    staged, moves = _moves(record)
    snapshot = Snapshot.of(config)
    with events.silent(), _place(config, record, into) as folder:
        again = Again(snapshot, record, code, folder, {})
        found = [_staged(again, staged)]
        left_out = [_left_out(log, moves[at + 1 :]) for at, log in enumerate(moves)]
        for log, why in zip(moves, left_out, strict=True):
            if why is None:
                layer = _layer(again, log, found, compare=compare)
                # Of a scratch folder nothing is named that will be gone.
                found.append(layer if into is not None else layer.model_copy(update={"file": None}))
    verdicts = [layer.verdict for layer in found if layer.verdict is not None]
    return Replay(
        batch_id=record.batch_id,
        table=record.table,
        domain=record.domain,
        verdict=worst(verdicts) if compare else None,
        layers=tuple(found),
        folder=str(into) if into is not None else None,
        notes=tuple(why for why in left_out if why is not None),
    )


def _moves(record: BatchRecord) -> tuple[LayerTransitionLog, list[LayerTransitionLog]]:
    """The transition that put a batch into staged, and those that took it further.

    Raises:
        InvalidOptionError: There is nothing that could be run again.
    """
    moves = [log for log in record.transitions if log.operation in MOVES]
    if not moves:
        done = ", ".join(str(log.operation) for log in record.transitions) or "nothing"
        raise InvalidOptionError(
            f"batch {record.batch_id} moved no rows: {done}",
            hint="replay the batch of a source; `jobforge history` lists them",
        )
    staged = [log for log in moves if log.target_layer is Layer.STAGED and log.target_file]
    if not staged:
        refused = [error.message for log in moves for error in log.errors]
        why = f": {refused[0]}" if refused else ", its files came from another data root"
        raise InvalidOptionError(
            f"batch {record.batch_id} has no staged file{why}",
            hint="a replay starts from staged",
        )
    return staged[-1], [log for log in moves if log.target_layer is not Layer.STAGED]


def _left_out(log: LayerTransitionLog, later: Sequence[LayerTransitionLog]) -> str | None:
    """Why a transition is not run again; None where it is.

    An attempt that was mended and promoted again left nothing behind, and what
    it was made with is rarely kept.
    """
    if log.status is TransitionStatus.RUNNING:
        return f"{log.target_layer} is being made right now, and is not run again"
    if log.status is not TransitionStatus.FAILED or log.target_file is not None:
        return None  # one whose process died may have published before
    if any(other.target_layer is log.target_layer for other in later):
        return f"an attempt at {log.target_layer} that failed is not run again: a later one counts"
    code = log.errors[0].code if log.errors else "no error"
    if code in _REPEATABLE and not _MEMORY.search(log.errors[0].message):
        return None
    return f"an attempt at {log.target_layer} was not stopped by its rows ({code}): not run again"


def _staged(again: Again, log: LayerTransitionLog) -> LayerReplay:
    """Whether the staged file is what it was; everything else starts from it."""
    file = str(log.target_file)
    try:
        again.files[file] = staged_file(again.snapshot, log)
    except NotRecoverableError as error:
        return _not_run(log, error)
    return LayerReplay(
        layer=Layer.STAGED,
        transition_id=log.transition_id,
        verdict=ReplayVerdict.IDENTICAL,
        notes=("the file has the bytes that were recorded",),
    )


def _not_run(log: LayerTransitionLog, why: NotRecoverableError) -> LayerReplay:
    return LayerReplay(
        layer=log.target_layer,
        transition_id=log.transition_id,
        verdict=ReplayVerdict.NOT_PROVABLE,
        reasons=(str(why),),
    )


def _layer(
    again: Again, log: LayerTransitionLog, found: Sequence[LayerReplay], *, compare: bool
) -> LayerReplay:
    """Run one transition again, and hold it against its record."""
    try:
        ran = again.run(log)
    except NotRecoverableError as error:
        return _not_run(log, error)
    path = ran.path(ran.log.target_file)
    file = str(path) if path is not None else None
    if not compare:
        return LayerReplay(
            layer=log.target_layer,
            transition_id=log.transition_id,
            verdict=None,
            notes=(f"it is refused: {ran.told}",) if ran.error is not None else (),
            file=file,
        )
    before = ReplayVerdict.IDENTICAL
    for other in found:
        if log.inputs and again.made_by.get(log.inputs[0].file) == other.transition_id:
            before = other.verdict or before
    held = held_against(again.snapshot, log, ran, before).model_copy(update={"file": file})
    if held.verdict is ReplayVerdict.DIFFERS and _varies(again, log, held, ran):
        return held.model_copy(
            update={
                "verdict": ReplayVerdict.NOT_PROVABLE,
                "reasons": (*held.reasons, f"two replays of it {_ORDER}"),
            }
        )
    return held


def _varies(again: Again, log: LayerTransitionLog, found: LayerReplay, ran: Ran) -> bool:
    """Whether a transition comes out in another way when it is run once more."""
    folder = again.folder / f"twice-{uuid.uuid4()}"
    twice = Again(again.snapshot, again.record, again.code, folder, dict(again.files))
    try:
        return varies(log, found, ran, twice.run(log))
    except NotRecoverableError:
        return False  # nothing is known that excuses the difference
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _place(config: PipelineConfig, record: BatchRecord, into: Path | str | None) -> Iterator[Path]:
    """A folder for the data root of the replay.

    Raises:
        InvalidOptionError: The folder that was named has something in it, or is in the
            data root.
        DataRootError: It cannot be made.
    """
    if into is not None:
        folder = Path(into)
        check_outside(config, folder)
        try:
            there = folder.exists()
            if there and (not folder.is_dir() or any(folder.iterdir())):
                raise InvalidOptionError(f"{folder} is no empty folder", hint="name another one")
        except OSError as error:
            raise InvalidOptionError(
                f"{folder} cannot be looked into: {error.strerror}", hint="name another one"
            ) from error
        make_folder(folder, OUTSIDE)
        try:
            yield folder
        except BaseException:
            _empty(folder, itself=not there)  # or the next try would be refused
            raise
        return
    # With a marker, as that of a transition: where this process dies, the next run of the data
    # root removes the folder, and nobody erases from the batch meanwhile.
    owner = str(uuid.uuid4())
    marker = mark(config.running_path() / recovery.marker_name(record.batch_id, owner))
    scratch = scratch_path(config.data_root, owner)
    try:
        make_folder(scratch)
        scratch.chmod(0o700)  # rejects may stand here, and their own folder may be closed to others
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        marker.done()


def _empty(folder: Path, *, itself: bool) -> None:
    """Remove what a replay that was stopped left in a folder that was empty, or was not there."""
    with contextlib.suppress(OSError):
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink()
        if itself:
            folder.rmdir()
