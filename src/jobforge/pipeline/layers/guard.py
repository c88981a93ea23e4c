"""What a step may not do to provenance: checked and put right after each step."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from jobforge.errors import AccountError, JobforgeError, NotAJobforgeFileError, ProvenanceLostError
from jobforge.pipeline.config import Layer
from jobforge.pipeline.footer import LayerFile
from jobforge.pipeline.layers.identity import Counts, count_probe
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
from jobforge.pipeline.writing import Written
from jobforge.quality.columns import columns


@dataclass(frozen=True)
class Stage:
    """The frame after one step, with its provenance put right."""

    step: Step
    frame: pl.LazyFrame
    probe: pl.LazyFrame
    """One row of `Counts`."""
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
        lossy: Whether a step may lose the identity of the rows (gold).
    """

    def __init__(self, opened: LayerFile, layer: Layer, at: datetime, *, lossy: bool) -> None:
        self.opened = opened
        self.place = Place(layer, opened.footer.table)
        self.at = at
        self.files = [source.name for source in opened.footer.sources]
        many = len(self.files) > 1
        self.key = (SOURCE_FILE, SOURCE_ROW) if many else (SOURCE_ROW,)
        """Columns that identify a row within the batch."""
        self._lossy = lossy
        self._constants = {BATCH_ID: opened.footer.batch_id}
        if not many:
            self._constants[SOURCE_FILE] = self.files[0]

    def run(self, steps: tuple[Step, ...]) -> list[Stage]:
        """Apply the steps in order.

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
            schema = result.collect_schema()
            lost = self._lost(schema, identified=identified)
            if lost and not self._lossy:
                raise self._refused(step, lost)
            identified = identified and not lost
            shared = result.cache()
            frame = self._restored(shared) if identified else shared
            missing = tuple(name for name in self._constants if name not in schema)
            probe = count_probe(
                shared,
                self.key if identified else (),
                self.opened.frame,
                self._comparable(schema) if identified else {},
                exact=self._lossy,
            )
            stages.append(Stage(step, frame, probe, missing if identified else (), identified))
        return stages

    def finished(self, stages: list[Stage]) -> pl.LazyFrame:
        """The end of a layer: provenance complete, typed, and last in the table."""
        frame = stages[-1].frame if stages else self.opened.frame
        identified = stages[-1].identified if stages else self.opened.footer.traceable
        names = frame.collect_schema().names()
        own = identified or not self.opened.footer.traceable
        source = (
            pl.col(SOURCE_FILE).cast(pl.String)
            if own and SOURCE_FILE in names and SOURCE_FILE not in self._constants
            else pl.lit(_summary(self.files), dtype=pl.String).alias(SOURCE_FILE)
        )
        return frame.select(
            columns(name for name in names if name not in PROVENANCE_DTYPES),
            *([pl.col(SOURCE_ROW)] if identified else []),
            source,
            pl.lit(self.at, dtype=PROVENANCE_DTYPES[INGESTED_AT]).alias(INGESTED_AT),
            pl.lit(self.opened.footer.batch_id, dtype=pl.String).alias(BATCH_ID),
            pl.lit(self.place.layer.value, dtype=pl.String).alias(LAYER),
        )

    def counts(self, stages: list[Stage], written: Written) -> list[Counts]:
        """Counts after each step, from the pass that wrote the file, and checked against it.

        Raises:
            AccountError: The file has other rows than the last step gave.
        """
        found = [Counts.of(probe) for probe in written.probes]
        if stages and found[-1].rows != written.rows:
            raise AccountError(
                f"the last step gave {found[-1].rows} rows, and {written.rows} were written",
                hint="a function whose result changes from run to run (sampling, "
                "unique(keep='any')) can cause this; nothing was published",
                layer=self.place.layer,
                table=self.place.table,
                step=stages[-1].step.name,
            )
        return found

    def notes(self, stages: list[Stage], counts: list[Counts]) -> tuple[Note, ...]:
        """What was put right, step by step."""
        found = []
        for stage, count in zip(stages, counts, strict=True):
            if stage.dropped:
                text = f"{stage.step.name} dropped {', '.join(stage.dropped)}: restored"
                found.append(Note(topic="provenance", text=text))
            if stage.identified and count.forged:
                text = f"{stage.step.name} changed provenance of {count.forged} rows: restored"
                found.append(Note(topic="provenance", text=text))
        return tuple(found)

    def locate(self, stages: list[Stage], error: BaseException) -> JobforgeError | None:
        """Name what fails when the frames are computed: the input, a step, or none of them."""
        try:
            self.opened.frame.collect(engine="streaming")
        except (Exception, pl.exceptions.PanicException) as found:  # noqa: BLE001 - damage has many names
            return NotAJobforgeFileError(
                f"{self.opened.path} cannot be read: {(str(found).splitlines() or [''])[0]}",
                hint="the file is damaged; make it again from the layer before",
                table=self.place.table,
            )
        before = self.opened.frame
        for stage in stages:
            try:
                stage.frame.collect(engine="streaming")
            except (Exception, pl.exceptions.PanicException) as found:  # noqa: BLE001 - any error of a user's function
                return step_error(stage.step, self.place, found, before)
            before = stage.frame
        if stages and not isinstance(error, OSError):
            return step_error(stages[-1].step, self.place, error, before)
        return None

    def _comparable(self, schema: pl.Schema) -> dict[str, str]:
        """Provenance columns that a step left in place, and the value that each should have."""
        return {
            name: value
            for name, value in self._constants.items()
            if name in schema and not schema[name].is_nested()
        }

    def _lost(self, schema: pl.Schema, *, identified: bool) -> list[str]:
        """Columns of the identity that a step lost."""
        if not identified:
            # Without row numbers the file is all that a row can name.
            needed = () if SOURCE_FILE in self._constants or self._lossy else (SOURCE_FILE,)
            return [name for name in needed if schema.get(name) != pl.String]
        kept = schema.get(SOURCE_ROW)
        lost = [name for name in self.key if name not in schema]
        numbers = kept is not None and (kept.is_integer() or kept == pl.Null)
        return lost if numbers or SOURCE_ROW in lost else [*lost, SOURCE_ROW]

    def _refused(self, step: Step, lost: list[str]) -> ProvenanceLostError:
        return ProvenanceLostError(
            f"the transform {step.name!r} lost {', '.join(lost)}, which identifies each row",
            hint='keep the provenance columns: lf.select("id", "name", jobforge.PROVENANCE); '
            "aggregate in gold, not in silver",
            layer=self.place.layer,
            table=self.place.table,
            step=step.name,
        )

    def _restored(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        file = (
            pl.lit(self._constants[SOURCE_FILE], dtype=pl.String).alias(SOURCE_FILE)
            if SOURCE_FILE in self._constants
            else pl.col(SOURCE_FILE).cast(pl.String)
        )
        return frame.with_columns(
            file,
            pl.lit(self._constants[BATCH_ID], dtype=pl.String).alias(BATCH_ID),
            pl.col(SOURCE_ROW).cast(PROVENANCE_DTYPES[SOURCE_ROW]),
            pl.lit(self.at, dtype=PROVENANCE_DTYPES[INGESTED_AT]).alias(INGESTED_AT),
            pl.lit(self.place.layer.value, dtype=pl.String).alias(LAYER),
        )


def _summary(names: list[str], shown: int = 3) -> str:
    """Names of many source files in one short text."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
