"""Gold: business tables; anything goes, and the account says what became of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from jobforge.errors import RowIdentityError
from jobforge.pipeline.config import Layer, Loading, PipelineConfig
from jobforge.pipeline.footer import LayerFile
from jobforge.pipeline.layers.base import StepLayer
from jobforge.pipeline.layers.groups import check_grain, check_groups, groups_of
from jobforge.pipeline.layers.guard import Guard
from jobforge.pipeline.layers.identity import Counts
from jobforge.pipeline.layers.leaving import by_kind, filtered_of, rejects_of, verdict_of
from jobforge.pipeline.layers.origins import step_lineage
from jobforge.pipeline.layers.stages import Seen, Stage
from jobforge.pipeline.models import Note
from jobforge.pipeline.steps import Step, Transform
from jobforge.pipeline.transition import Transition
from jobforge.pipeline.work import Verdict, Work, Written
from jobforge.quality.account import RowAccount


class GoldLayer(StepLayer):
    """Derives, joins, unpivots and aggregates; rows that lose their identity are counted."""

    name: ClassVar = Layer.GOLD
    source: ClassVar = Layer.SILVER
    allowed_operations: ClassVar = frozenset({"derive", "join", "reshape", "aggregate"})

    def process(
        self,
        silver_path: Path | str,
        config: PipelineConfig,
        transforms: Sequence[Transform] | None = None,
        *,
        grain: Sequence[str] = (),
    ) -> Path:
        """Move a silver file to gold.

        Args:
            silver_path: A file that silver returned.
            config: Where the data root is.
            transforms: Functions from lazy frame to frame and declared steps, in order.
            grain: As for `PipelineEngine.promote_to_gold`.

        Returns:
            Path of the Parquet file. Where a function lost `_source_row` (an
            aggregation, a `select` without it) and there is no grain, the table is
            traceable to the batch only, and the log says so.

        Raises:
            TransformError: A function raised, returned no frame, asks for a
                column that is not there, or failed while it was computed.
            InvalidRuleError: A rule cannot judge the rows.
            GrainError: The grain does not tell one row from another, or not which records
                are in it.
            ExpectationError: More rows fail an expectation than it tolerates.
            NotAJobforgeFileError: The path is no file of jobforge.
            WrongLayerError: The file is not a silver one.
        """
        return self.run(silver_path, config, transforms, grain=check_grain(grain)).path

    def _work(
        self,
        opened: LayerFile,
        steps: tuple[Step, ...],
        transition: Transition,
        loading: Loading,  # noqa: ARG002 - the way into the table changes nothing here
    ) -> Work:
        guard = Guard(opened, self.name, transition.started_at, lossy=True)
        stages = guard.run(steps)
        identified = stages[-1].identified if stages else opened.footer.traceable
        grain = transition.move.grain
        finished = guard.finished(stages)
        groups = groups_of(guard, stages, finished, grain)

        def judge(written: Written) -> Verdict:
            seen = guard.seen(stages, written)
            counts = guard.identified(stages, seen, written)
            _check_identities(guard, stages, counts)
            notes: tuple[Note, ...] = ()
            if grain:
                check_groups(guard, grain, written)
            if opened.footer.traceable and not identified:
                loser = next(stage for stage in stages if not stage.identified)
                notes = () if grain else (_lost_note(loser),)
            account = _account(opened, stages, counts, seen, written)
            return verdict_of(guard, stages, seen, written, account, notes=notes)

        return Work(
            finished,
            self._footer(opened.footer, traceable=identified),
            judge,
            rejects=rejects_of(guard, stages),
            filtered=filtered_of(guard, stages),
            groups=groups,
            probes=tuple(probe for stage in stages for probe in stage.probes),
            locate=lambda error: guard.locate(stages, error),
            lineage=lambda: step_lineage(guard, stages, finished),
            least_bytes=opened.size_bytes // 2,
            by_record=identified and all(stage.chooses for stage in stages),
        )


def _check_identities(guard: Guard, stages: list[Stage], counts: list[Counts]) -> None:
    """Refuse rows that name a source record which silver does not have.

    Raises:
        RowIdentityError: With the first step that made them up.
    """
    for stage, count in zip(stages, counts, strict=True):
        if stage.identified and count.different != count.kept:
            raise RowIdentityError(
                f"the transform {stage.step.name!r} gives rows of {count.different - count.kept} "
                "source records that silver does not have",
                hint="leave _source_file and _source_row alone, or set _source_row to null for "
                "rows that come from no record",
                layer=guard.place.layer,
                table=guard.place.table,
                step=stage.step.name,
            )


def _lost_note(stage: Stage) -> Note:
    return Note(
        topic="provenance",
        text=f"{stage.step.name} lost the source records: the table is traceable to the batch only",
    )


def _account(
    opened: LayerFile,
    stages: list[Stage],
    counts: list[Counts],
    seen: list[Seen],
    written: Written,
) -> RowAccount:
    """Where the rows went, step by step: by identity while rows have one, else by count."""
    dropped: dict[str, int] = {}
    generated: dict[str, int] = {}
    aggregated = 0
    rows = different = opened.rows
    identified = opened.footer.traceable
    for stage, count in zip(stages, counts, strict=True):
        name = stage.step.name
        if identified and not stage.identified:
            # No row can say any more where it is from: they are all new.
            aggregated, generated[name] = rows, count.rows
        elif stage.parting is None:
            lost = different - count.kept if stage.identified else 0
            grown = count.rows - rows + lost
            dropped[name] = lost + max(-grown, 0)
            generated[name] = max(grown, 0)
        rows, different, identified = count.rows, count.kept, stage.identified
    quarantined, deduplicated, filtered = by_kind(
        [count for entry in seen for count in entry.rules], written
    )
    return RowAccount(
        rows_in=opened.rows,
        rows_out=rows,
        quarantined=quarantined,
        deduplicated=deduplicated,
        filtered=filtered,
        dropped=_some(dropped),
        aggregated=aggregated,
        generated=_some(generated),
    )


def _some(counts: dict[str, int]) -> dict[str, int]:
    return {name: rows for name, rows in counts.items() if rows}
