"""Silver: cleaning and filtering; a row stays itself or leaves under a name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import ClassVar

import polars as pl

from jobforge.errors import RowIdentityError
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.footer import LayerFile
from jobforge.pipeline.layers.base import StepLayer
from jobforge.pipeline.layers.guard import Guard, Stage
from jobforge.pipeline.layers.identity import Counts, count_written
from jobforge.pipeline.provenance import SOURCE_FILE
from jobforge.pipeline.steps import Step, Transform
from jobforge.pipeline.writing import Verdict, Work, Written
from jobforge.quality.account import RowAccount


class SilverLayer(StepLayer):
    """Functions that keep, change or leave out rows; never invent or multiply them."""

    name: ClassVar = Layer.SILVER
    source: ClassVar = Layer.BRONZE
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

    def _work(self, opened: LayerFile, steps: tuple[Step, ...], at: datetime) -> Work:
        guard = Guard(opened, self.name, at, lossy=False)
        stages = guard.run(steps)

        def judge(written: Written) -> Verdict:
            counts = guard.counts(stages, written)
            _check_rows(guard, stages, counts, written)
            account = RowAccount(
                rows_in=opened.rows,
                rows_out=written.rows,
                dropped=_dropped(opened, stages, counts),
            )
            return Verdict(account, guard.notes(stages, counts))

        return Work(
            guard.finished(stages),
            self._footer(opened.footer, traceable=opened.footer.traceable),
            judge,
            probes=tuple(stage.probe for stage in stages),
            locate=lambda error: guard.locate(stages, error),
            least_bytes=opened.path.stat().st_size // 2,
        )


def _check_rows(guard: Guard, stages: list[Stage], counts: list[Counts], written: Written) -> None:
    """Refuse rows that silver did not get, or got once and gives twice.

    Raises:
        RowIdentityError: With the first step that did it.
    """
    before = guard.opened.rows
    for stage, count in zip(stages, counts, strict=True):
        if count.rows > before:
            raise _mixed(guard, stage.step, count.rows - before)
        before = count.rows
    if not stages:
        return
    frame = pl.scan_parquet(written.target, glob=False)
    if not guard.opened.footer.traceable:
        strangers = frame.filter(~pl.col(SOURCE_FILE).is_in(guard.files))
        extra = int(strangers.select(pl.len()).collect(engine="streaming").item())
        if extra:
            raise _mixed(guard, stages[-1].step, extra)
        return
    found = count_written(frame, guard.key, guard.opened.frame)
    if found.kept == found.rows:
        return
    for stage in stages:
        there = count_written(stage.frame, guard.key, guard.opened.frame)
        if there.kept != there.rows:
            raise _mixed(guard, stage.step, there.rows - there.kept)
    raise _mixed(guard, stages[-1].step, found.rows - found.kept)


def _mixed(guard: Guard, step: Step, extra: int) -> RowIdentityError:
    return RowIdentityError(
        f"the transform {step.name!r} gives {extra} rows that are no rows of its input, or "
        "stand there twice",
        hint="silver keeps, changes or leaves out rows, and leaves _source_file and _source_row "
        "alone; joins that multiply, unpivots and aggregates belong to gold",
        layer=guard.place.layer,
        table=guard.place.table,
        step=step.name,
    )


def _dropped(opened: LayerFile, stages: list[Stage], counts: list[Counts]) -> dict[str, int]:
    """Rows that each step left out, from the row counts after each."""
    rows = [opened.rows, *(count.rows for count in counts)]
    left = {
        stage.step.name: before - after
        for stage, before, after in zip(stages, rows, rows[1:], strict=False)
    }
    return {name: gone for name, gone in left.items() if gone}
