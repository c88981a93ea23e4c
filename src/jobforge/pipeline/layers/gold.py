"""Gold: business tables; anything goes, and the account says what became of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import polars as pl

from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.footer import LayerFile
from jobforge.pipeline.layers.base import LayerBase
from jobforge.pipeline.layers.guard import ROWS, Guard, Stage, identities
from jobforge.pipeline.models import Note
from jobforge.pipeline.steps import Place, Step, Transform, resolve_steps
from jobforge.pipeline.transition import Outcome, Transition, Verdict, Work, Written
from jobforge.quality.account import RowAccount


class GoldLayer(LayerBase):
    """Derives, joins, unpivots and aggregates; rows that lose their identity are counted."""

    name: ClassVar = Layer.GOLD
    allowed_operations: ClassVar = frozenset({"derive", "join", "reshape", "aggregate"})

    def process(
        self,
        silver_path: Path | str,
        config: PipelineConfig,
        transforms: Sequence[Transform] | None = None,
    ) -> Path:
        """Move a silver file to gold.

        Args:
            silver_path: A file that silver returned.
            config: Where the data root is.
            transforms: Functions from lazy frame to frame, applied in order.

        Returns:
            Path of the Parquet file. Where a function lost `_source_row` (an
            aggregation, a `select` without it), the table is traceable to the
            batch only, and the log says so.

        Raises:
            TransformError: A function raised, returned no frame, asks for a
                column that is not there, or failed while it was computed.
            NotAJobforgeFileError: The path is no file of jobforge.
            WrongLayerError: The file is not a silver one.
        """
        return self.run(silver_path, config, transforms).path

    def run(
        self,
        silver_path: Path | str,
        config: PipelineConfig,
        transforms: Sequence[Transform] | None = None,
    ) -> Outcome:
        """`process`, with the log of the transition in the result."""
        opened = self._open(silver_path, Layer.SILVER)
        steps = resolve_steps(transforms, Place(self.name, opened.footer.table))
        references = tuple(step.reference for step in steps)
        transition = self._transition(config, opened, references)
        return transition.run(lambda _: self._work(opened, steps, transition))

    def _work(self, opened: LayerFile, steps: tuple[Step, ...], transition: Transition) -> Work:
        guard = Guard(opened, self.name, transition.started_at)
        stages = guard.run(steps, lossy=True)
        last = stages[-1].frame if stages else opened.frame
        identified = stages[-1].identified if stages else opened.footer.traceable

        def judge(written: Written) -> Verdict:
            notes = guard.notes(stages, written)
            if opened.footer.traceable and not identified:
                loser = next(stage for stage in stages if not stage.identified)
                notes = (*notes, _lost_note(loser))
            return Verdict(_account(guard, stages, written), notes)

        return Work(
            guard.finished(last, identified=identified),
            self._footer(opened.footer, traceable=identified),
            judge,
            probes=tuple(stage.probe for stage in stages),
            locate=lambda error: guard.locate(stages, error),
        )


def _lost_note(stage: Stage) -> Note:
    return Note(
        topic="provenance",
        text=f"{stage.step.name} lost the source records: the table is traceable to the batch only",
    )


def _account(guard: Guard, stages: list[Stage], written: Written) -> RowAccount:
    """Where the rows went, step by step: by identity while rows have one, else by count."""
    opened = guard.opened
    dropped: dict[str, int] = {}
    generated: dict[str, int] = {}
    aggregated = 0
    before = different = opened.rows
    known = opened.frame
    for position, stage in enumerate(stages):
        name, last = stage.step.name, position == len(stages) - 1
        rows = written.rows if last else int(written.probes[position][ROWS].item())
        lost = 0
        if stage.identified:
            frame = pl.scan_parquet(written.target, glob=False) if last else stage.frame
            found = identities(frame, guard.key, known)
            lost, different = different - found.kept, found.different
        elif opened.footer.traceable:
            # From here on no row can say where it is from: they are all new.
            aggregated, generated[name] = before, written.rows
            break
        grown = rows - before + lost
        dropped[name] = lost + max(-grown, 0)
        generated[name] = max(grown, 0)
        before, known = rows, stage.frame
    return RowAccount(
        rows_in=opened.rows,
        rows_out=written.rows,
        dropped=_some(dropped),
        generated=_some(generated),
        aggregated=aggregated,
    )


def _some(counts: dict[str, int]) -> dict[str, int]:
    return {name: rows for name, rows in counts.items() if rows}
