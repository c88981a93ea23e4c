"""Silver: cleaning and filtering; a row stays itself or leaves under a name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import polars as pl

from jobforge.errors import RowIdentityError
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.footer import LayerFile
from jobforge.pipeline.layers.base import LayerBase
from jobforge.pipeline.layers.guard import ROWS, Guard, Stage, identities
from jobforge.pipeline.steps import Place, Step, Transform, resolve_steps
from jobforge.pipeline.transition import Outcome, Transition, Verdict, Work, Written
from jobforge.quality.account import RowAccount


class SilverLayer(LayerBase):
    """Functions that keep, change or leave out rows; never invent or multiply them."""

    name: ClassVar = Layer.SILVER
    allowed_operations: ClassVar = frozenset({"clean", "filter", "validate", "deduplicate"})

    def process(
        self,
        bronze_path: Path | str,
        config: PipelineConfig,
        transforms: Sequence[Transform] | None = None,
    ) -> Path:
        """Move a bronze file to silver.

        Args:
            bronze_path: A file that bronze returned.
            config: Where the data root is.
            transforms: Functions from lazy frame to frame, applied in order.

        Returns:
            Path of the Parquet file.

        Raises:
            TransformError: A function raised, returned no frame, asks for a
                column that is not there, or failed while it was computed.
            ProvenanceLostError: A function lost `_source_row`.
            RowIdentityError: A function invented or multiplied rows.
            NotAJobforgeFileError: The path is no file of jobforge.
            WrongLayerError: The file is not a bronze one.
        """
        return self.run(bronze_path, config, transforms).path

    def run(
        self,
        bronze_path: Path | str,
        config: PipelineConfig,
        transforms: Sequence[Transform] | None = None,
    ) -> Outcome:
        """`process`, with the log of the transition in the result."""
        opened = self._open(bronze_path, Layer.BRONZE)
        steps = resolve_steps(transforms, Place(self.name, opened.footer.table))
        references = tuple(step.reference for step in steps)
        transition = self._transition(config, opened, references)
        return transition.run(lambda _: self._work(opened, steps, transition))

    def _work(self, opened: LayerFile, steps: tuple[Step, ...], transition: Transition) -> Work:
        guard = Guard(opened, self.name, transition.started_at)
        stages = guard.run(steps, lossy=False)
        last = stages[-1].frame if stages else opened.frame
        traceable = opened.footer.traceable

        def judge(written: Written) -> Verdict:
            _check_rows(guard, stages, written)
            account = RowAccount(
                rows_in=opened.rows,
                rows_out=written.rows,
                dropped=_dropped(opened, stages, written),
            )
            return Verdict(account, guard.notes(stages, written))

        return Work(
            guard.finished(last, identified=traceable),
            self._footer(opened.footer, traceable=traceable),
            judge,
            probes=tuple(stage.probe for stage in stages),
            locate=lambda error: guard.locate(stages, error),
        )


def _check_rows(guard: Guard, stages: list[Stage], written: Written) -> None:
    """Refuse rows that silver did not get, or got once and gives twice.

    Raises:
        RowIdentityError: With the first step that did it.
    """
    opened = guard.opened
    if not stages:
        return
    if not opened.footer.traceable:
        if written.rows > opened.rows:
            raise _mixed(guard, stages[-1].step, written.rows - opened.rows)
        return
    found = identities(pl.scan_parquet(written.target, glob=False), guard.key, opened.frame)
    if found.kept == found.rows:
        return
    for stage in stages:
        there = identities(stage.frame, guard.key, opened.frame)
        if there.kept != there.rows:
            raise _mixed(guard, stage.step, there.rows - there.kept)
    raise _mixed(guard, stages[-1].step, found.rows - found.kept)


def _mixed(guard: Guard, step: Step, extra: int) -> RowIdentityError:
    return RowIdentityError(
        f"the transform {step.name!r} gives {extra} rows that are new or stand there twice",
        hint="silver keeps, changes or leaves out rows; joins that multiply, unpivots and "
        "aggregates belong to gold",
        layer=guard.place.layer,
        table=guard.place.table,
        step=step.name,
    )


def _dropped(opened: LayerFile, stages: list[Stage], written: Written) -> dict[str, int]:
    """Rows that each step left out, from the row counts after each."""
    counts = [opened.rows, *(int(probe[ROWS].item()) for probe in written.probes)]
    if stages:
        # What was written decides; a result that changes from run to run shows as no balance.
        counts[-1] = written.rows
    left = {
        stage.step.name: max(before - after, 0)
        for stage, before, after in zip(stages, counts, counts[1:], strict=False)
    }
    return {name: rows for name, rows in left.items() if rows}
