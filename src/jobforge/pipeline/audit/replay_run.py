"""The transitions of a batch, run again in a data root of their own, with what they had then."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from jobforge.errors import JobforgeError, StorageError, TransformError, UsageError
from jobforge.pipeline import lineage
from jobforge.pipeline.audit.replay_code import Code, NotRecoverableError
from jobforge.pipeline.audit.replay_inputs import contract_for, put_base, with_keys
from jobforge.pipeline.config import Layer, Loading, PipelineConfig
from jobforge.pipeline.layers import BronzeLayer, GoldLayer, SilverLayer
from jobforge.pipeline.models import BatchRecord, LayerTransitionLog
from jobforge.pipeline.rejects.correction import source_schema
from jobforge.pipeline.rejects.snapshot import Snapshot
from jobforge.pipeline.steps import Transform


@dataclass(frozen=True)
class Ran:
    """A transition that was run again.

    Args:
        log: What was recorded of it in the data root of the replay.
        root: That data root.
        error: What it was refused or stopped by.
        doubts: Why it may come out in another way than it did.
    """

    log: LayerTransitionLog
    root: Path
    error: JobforgeError | None = None
    doubts: tuple[str, ...] = ()

    def path(self, file: str | None) -> Path | None:
        """Where a file of the log stands."""
        return self.root / file if file is not None else None

    @property
    def told(self) -> str:
        """What it was refused or stopped by; its files go by the names that records have."""
        return self.error.message.replace(f"{self.root}{os.sep}", "") if self.error else ""


@dataclass
class Again:
    """Runs the transitions of a batch again, one after the other.

    Args:
        snapshot: The records of the data root of the batch.
        record: The batch.
        code: Where the code of the steps is looked for.
        folder: Where the replay writes.
        files: Where the files stand that transitions read, by the names that the
            record has for them; those that are made come in.
    """

    snapshot: Snapshot
    record: BatchRecord
    code: Code
    folder: Path
    files: dict[str, Path]
    made_by: dict[str, str] = field(default_factory=dict)
    """For each of them the transition that made it."""
    _used: set[Layer] = field(default_factory=set)

    def run(self, log: LayerTransitionLog) -> Ran:
        """Run a transition again.

        Raises:
            NotRecoverableError: What it had is not to be had any more.
            StorageError: The replay cannot be written.
        """
        source = log.inputs[0].file if log.inputs else "its input"
        given = self.files.get(source)
        if given is None:
            raise NotRecoverableError(f"what it read, {source}, is not there in a replay")
        root = self._root(log.target_layer)
        scratch = PipelineConfig(root, fused=False)
        known = lineage.load(scratch, log.batch_id)
        before = len(known.transitions) if known is not None else 0
        put_base(self.snapshot.config, log, scratch, given)
        steps = [] if log.target_layer is Layer.BRONZE else self.code.steps(log)
        error = None
        try:
            if log.target_layer is Layer.BRONZE:
                self._bronze(log, given, scratch)
            else:
                self._steps(log, given, scratch, [step.function for step in steps])
        except StorageError:
            raise
        except JobforgeError as stopped:
            if _is_of_memory(stopped):
                raise NotRecoverableError(
                    f"this machine has too little memory for it: {stopped.message}"
                ) from stopped
            error = stopped
        except SystemExit as stopped:  # of a step: nothing of ours ends the process
            error = TransformError(
                f"a step ended the process: SystemExit: {stopped.code}",
                hint="a step returns a frame, and leaves the end to its caller",
            )
        record = lineage.load(scratch, log.batch_id)
        if record is None or len(record.transitions) == before:
            raise NotRecoverableError(f"it cannot begin: {error.message if error else '?'}")
        found = record.transitions[-1]
        if log.target_file is not None and found.target_file is not None:
            self.files[log.target_file] = root / found.target_file
            self.made_by[log.target_file] = log.transition_id
        doubts = [doubt for step in steps for doubt in step.doubts]
        return Ran(found, root, error, (*doubts, *_other_keys(log, found)))

    def _bronze(self, log: LayerTransitionLog, given: Path, scratch: PipelineConfig) -> None:
        contract = contract_for(self.snapshot, log)
        layer = BronzeLayer(lambda: log.started_at)
        layer.run(given, scratch, contract, _loading(log), corrects=self._corrected())

    def _steps(
        self,
        log: LayerTransitionLog,
        given: Path,
        scratch: PipelineConfig,
        steps: list[Transform],
    ) -> None:
        functions = with_keys(self.snapshot.config, log, steps)
        if log.target_layer is Layer.SILVER:
            SilverLayer(lambda: log.started_at).run(given, scratch, functions, _loading(log))
        else:
            gold = GoldLayer(lambda: log.started_at)
            gold.run(given, scratch, functions, _loading(log), grain=log.grain)

    def _root(self, layer: Layer) -> Path:
        """A data root where the layer has nothing of the batch yet."""
        if layer not in self._used:
            self._used.add(layer)
            return self.folder
        number = 2
        while (self.folder / f"again-{number}").exists():
            number += 1
        return self.folder / f"again-{number}"

    def _corrected(self) -> pl.Schema | None:
        """The columns of the source that a batch of corrections corrects."""
        if self.record.cures is None:
            return None
        cured = lineage.load(self.snapshot.config, self.record.cures)
        if cured is None:
            raise NotRecoverableError(f"the batch that it corrects, {self.record.cures}, is gone")
        try:
            return source_schema(self.snapshot, cured)
        except (StorageError, UsageError, KeyError) as error:
            raise NotRecoverableError(
                f"the batch that it corrects cannot be read: {error}"
            ) from error


def _is_of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out, which says nothing of rows and code.

    What was raised stays the context of the error of the step, also where its text is withheld.
    """
    while error is not None and not isinstance(error, MemoryError):
        error = error.__cause__ or error.__context__
    return error is not None


def _loading(log: LayerTransitionLog) -> Loading:
    return Loading(log.operation.value) if log.operation is not None else Loading()


def _other_keys(was: LayerTransitionLog, now: LayerTransitionLog) -> list[str]:
    """Steps that refer to a frame with other keys than it had."""
    return [
        f"{one.name} refers to a frame with other keys than it had"
        for one, other in zip(was.transforms_applied, now.transforms_applied, strict=True)
        if one.definition.get("to") == other.definition.get("to")
        and one.definition.get("keys") != other.definition.get("keys")
    ]
