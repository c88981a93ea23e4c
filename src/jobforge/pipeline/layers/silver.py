"""Silver: cleaning and filtering; a row stays itself or leaves under a name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import polars as pl

from jobforge.errors import RowIdentityError
from jobforge.pipeline.config import Layer, Load, Loading, PipelineConfig
from jobforge.pipeline.footer import LayerFile
from jobforge.pipeline.layers.base import StepLayer, contract_of
from jobforge.pipeline.layers.guard import Guard
from jobforge.pipeline.layers.identity import Counts
from jobforge.pipeline.layers.leaving import by_kind, filtered_of, rejects_of, verdict_of
from jobforge.pipeline.layers.origins import step_lineage
from jobforge.pipeline.layers.promised import Promised
from jobforge.pipeline.layers.stages import Seen, Stage
from jobforge.pipeline.provenance import BATCH_ID, SOURCE_FILE
from jobforge.pipeline.steps import Step, Transform
from jobforge.pipeline.transition import Transition
from jobforge.pipeline.work import Verdict, Work, Written
from jobforge.quality.account import RowAccount
from jobforge.quality.columns import columns


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
            transforms: Functions from lazy frame to frame and declared steps
                (`expect`, `keep`, `deduplicate`, `references`), in order. The
                checks of the contract are judged when they are done.

        Returns:
            Path of the Parquet file.

        Raises:
            TransformError: A function raised, returned no frame, asks for a
                column that is not there, or failed while it was computed.
            ProvenanceLostError: A function lost `_source_row`.
            RowIdentityError: A function invented or multiplied rows.
            InvalidRuleError: A rule cannot judge the rows.
            ExpectationError: More rows fail an expectation than it tolerates.
            RejectLimitError: More rows fail the checks of the contract than it allows.
            NotAJobforgeFileError: The path is no file of jobforge.
            WrongLayerError: The file is not a bronze one.
        """
        return self.run(bronze_path, config, transforms).path

    def _work(
        self,
        opened: LayerFile,
        steps: tuple[Step, ...],
        transition: Transition,
        loading: Loading,
    ) -> Work:
        contract = contract_of(opened)
        promised = None
        if contract is not None:
            known = partial(_known, transition, loading)
            promised = Promised(contract, opened.frame.collect_schema(), known)
        guard = Guard(opened, self.name, transition.started_at, lossy=False, promised=promised)
        stages = guard.run(steps)

        def judge(written: Written) -> Verdict:
            seen = guard.seen(stages, written)
            _check_rows(guard, stages, [entry.counts for entry in seen], written)
            rules = [count for entry in seen for count in entry.rules]
            quarantined, deduplicated, filtered = by_kind(rules, written)
            account = RowAccount(
                rows_in=opened.rows,
                rows_out=written.rows,
                quarantined=quarantined,
                deduplicated=deduplicated,
                filtered=filtered,
                dropped=_dropped(opened, stages, seen),
            )
            return verdict_of(guard, stages, seen, written, account, contract)

        finished = guard.finished(stages)
        return Work(
            finished,
            self._footer(opened.footer, traceable=opened.footer.traceable),
            judge,
            rejects=rejects_of(guard, stages),
            filtered=filtered_of(guard, stages),
            probes=tuple(probe for stage in stages for probe in stage.probes),
            locate=lambda error: guard.locate(stages, error),
            lineage=lambda: step_lineage(guard, stages, finished),
            least_bytes=opened.size_bytes // 2,
            by_record=opened.footer.traceable,
        )


def _known(transition: Transition, loading: Loading, names: tuple[str, ...]) -> pl.DataFrame | None:
    """Keys that the table has already, of other batches, where this one is to join them."""
    store = transition.store
    latest = store.latest() if store is not None else None
    if store is None or latest is None or loading.load is not Load.APPEND:
        return None
    rows = store.scan(store.version(latest))
    if not set(names).issubset(rows.collect_schema().names()):
        return None  # an append of other columns is refused with a better reason
    others = rows.filter(pl.col(BATCH_ID) != transition.move.batch_id)
    return others.select(columns(names)).collect(engine="streaming")


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
    if all(stage.chooses for stage in stages):
        return
    frame = pl.scan_parquet(written.target, glob=False)
    if not guard.opened.footer.traceable:
        strangers = frame.filter(~pl.col(SOURCE_FILE).is_in(guard.files))
        extra = int(strangers.select(pl.len()).collect(engine="streaming").item())
        if extra:
            raise _mixed(guard, stages[-1].step, extra)
        return
    found = guard.records.count(frame)
    if found.kept == found.rows:
        return
    for stage in stages:
        there = guard.records.count(stage.frame)
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


def _dropped(opened: LayerFile, stages: list[Stage], seen: list[Seen]) -> dict[str, int]:
    """Rows that each plain function left out, from the row counts around it."""
    left: dict[str, int] = {}
    before = opened.rows
    for stage, entry in zip(stages, seen, strict=True):
        if stage.parting is None and before > entry.counts.rows:
            left[stage.step.name] = before - entry.counts.rows
        before = entry.counts.rows
    return left
