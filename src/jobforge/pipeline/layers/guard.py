"""What a step may not do to provenance: checked and put right after each step."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import polars as pl

from jobforge.errors import JobforgeError, ProvenanceLostError
from jobforge.pipeline.config import Layer
from jobforge.pipeline.footer import LayerFile
from jobforge.pipeline.models import Note
from jobforge.pipeline.provenance import (
    BATCH_ID,
    INGESTED_AT,
    LAYER,
    PROVENANCE_DTYPES,
    SOURCE_FILE,
    SOURCE_ROW,
)
from jobforge.pipeline.steps import Place, Step, apply_step, step_error
from jobforge.pipeline.transition import Written

ROWS = "rows"
FORGED = "forged"


@dataclass(frozen=True)
class Stage:
    """The frame after one step, with its provenance put right."""

    step: Step
    frame: pl.LazyFrame
    probe: pl.LazyFrame
    """One row: how many rows, and how many had provenance that the step changed."""
    dropped: tuple[str, ...]
    """Provenance columns that the step left out and that were put back."""
    identified: bool
    """Whether rows still name their source record."""


class Guard:
    """Applies the steps of a layer and owns the provenance columns meanwhile.

    Args:
        opened: The input of the layer.
        layer: The layer that is built.
        at: Time of the transition.
    """

    def __init__(self, opened: LayerFile, layer: Layer, at: datetime) -> None:
        self.opened = opened
        self.place = Place(layer, opened.footer.table)
        self.at = at
        names = [source.name for source in opened.footer.sources]
        self.key = (SOURCE_ROW,) if len(names) == 1 else (SOURCE_FILE, SOURCE_ROW)
        """Columns that identify a row within the batch."""
        self.batch_source = names[0] if len(names) == 1 else _summary(names)
        self._constants = {
            **({SOURCE_FILE: names[0]} if len(names) == 1 else {}),
            BATCH_ID: opened.footer.batch_id,
        }

    def run(self, steps: tuple[Step, ...], *, lossy: bool) -> list[Stage]:
        """Apply the steps in order.

        Args:
            steps: What to apply.
            lossy: Whether a step may lose the identity of the rows (gold).

        Raises:
            TransformError: A step raised, returned no frame or asks for a
                column that is not there.
            ProvenanceLostError: A step lost the identity and may not.
        """
        frame = self.opened.frame
        identified = self.opened.footer.traceable
        stages = []
        for step in steps:
            result = apply_step(frame, step, self.place)
            names = result.collect_schema().names()
            lost = [name for name in self.key if name not in names]
            if identified and lost and not lossy:
                raise self._lost(step, lost)
            identified = identified and not lost
            shared = result.cache()
            frame = self._restored(shared) if identified else shared
            missing = tuple(name for name in self._constants if name not in names)
            probe = shared.select(pl.len().alias(ROWS), self._forged(names, identified=identified))
            stages.append(Stage(step, frame, probe, missing if identified else (), identified))
        return stages

    def finished(self, frame: pl.LazyFrame, *, identified: bool) -> pl.LazyFrame:
        """The end of a layer: provenance complete, typed, and last in the table."""
        names = frame.collect_schema().names()
        numbered = identified and SOURCE_ROW in names
        own = identified or not self.opened.footer.traceable
        source = (
            pl.col(SOURCE_FILE)
            if own and SOURCE_FILE in names and SOURCE_FILE not in self._constants
            else pl.lit(self.batch_source, dtype=pl.String).alias(SOURCE_FILE)
        )
        return frame.select(
            *(name for name in names if name not in PROVENANCE_DTYPES),
            *([pl.col(SOURCE_ROW)] if numbered else []),
            source,
            pl.lit(self.at, dtype=PROVENANCE_DTYPES[INGESTED_AT]).alias(INGESTED_AT),
            pl.lit(self.opened.footer.batch_id, dtype=pl.String).alias(BATCH_ID),
            pl.lit(self.place.layer.value, dtype=pl.String).alias(LAYER),
        )

    def notes(self, stages: list[Stage], written: Written) -> tuple[Note, ...]:
        """What was put right, step by step."""
        found = []
        for stage, probe in zip(stages, written.probes, strict=True):
            name = stage.step.name
            if stage.dropped:
                found.append(
                    Note(
                        topic="provenance",
                        text=f"{name} dropped {', '.join(stage.dropped)}: restored",
                    )
                )
            forged = int(probe[FORGED].item())
            if forged:
                found.append(
                    Note(
                        topic="provenance",
                        text=f"{name} changed provenance of {forged} rows: restored",
                    )
                )
        return tuple(found)

    def locate(self, stages: list[Stage], error: BaseException) -> JobforgeError:
        """Name the step that fails when the frames are computed."""
        before = self.opened.frame
        for stage in stages:
            try:
                stage.frame.collect(engine="streaming")
            except (Exception, pl.exceptions.PanicException) as found:  # noqa: BLE001 - any error of a user's function
                return step_error(stage.step, self.place, found, before)
            before = stage.frame
        if stages:
            return step_error(stages[-1].step, self.place, error, before)
        return JobforgeError(str(error))

    def _lost(self, step: Step, lost: list[str]) -> ProvenanceLostError:
        return ProvenanceLostError(
            f"the transform {step.name!r} lost {', '.join(lost)}, which identifies each row",
            hint='keep the provenance columns: lf.select("id", "name", jobforge.PROVENANCE); '
            "aggregate in gold, not in silver",
            layer=self.place.layer,
            table=self.place.table,
            step=step.name,
        )

    def _restored(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        fixed = [
            pl.lit(value, dtype=pl.String).alias(name) for name, value in self._constants.items()
        ]
        return frame.with_columns(
            *fixed,
            pl.col(SOURCE_ROW).cast(PROVENANCE_DTYPES[SOURCE_ROW]),
            pl.lit(self.at, dtype=PROVENANCE_DTYPES[INGESTED_AT]).alias(INGESTED_AT),
            pl.lit(self.place.layer.value, dtype=pl.String).alias(LAYER),
        )

    def _forged(self, names: list[str], *, identified: bool) -> pl.Expr:
        present = [name for name in self._constants if name in names] if identified else []
        if not present:
            return pl.lit(0, dtype=pl.Int64).alias(FORGED)
        changed = pl.any_horizontal(
            pl.col(name).cast(pl.String).ne_missing(pl.lit(self._constants[name]))
            for name in present
        )
        return changed.sum().cast(pl.Int64).alias(FORGED)


def _summary(names: list[str], shown: int = 3) -> str:
    """Names of many source files in one short text."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


class Identities(NamedTuple):
    """Row identities after a step."""

    rows: int
    different: int
    """Different identities among them."""
    kept: int
    """Different identities that were there before the step."""


def identities(frame: pl.LazyFrame, key: tuple[str, ...], known: pl.LazyFrame) -> Identities:
    """Count the row identities of a frame.

    Args:
        frame: Rows after a step.
        key: The columns that identify a row.
        known: Rows before the step.
    """
    ours = frame.select(key)
    unique = ours.unique()
    kept = unique.join(known.select(key), on=key, how="semi")
    counts = pl.collect_all(
        [part.select(pl.len()) for part in (ours, unique, kept)], engine="streaming"
    )
    return Identities(*(int(count.item()) for count in counts))
