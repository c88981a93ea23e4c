"""What a step may not do to provenance: checked and put right after each step."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import polars as pl

from jobforge.errors import (
    AccountError,
    InvalidRuleError,
    JobforgeError,
    NotAJobforgeFileError,
    ProvenanceLostError,
)
from jobforge.pipeline.column_lineage.watch import watched
from jobforge.pipeline.config import Layer
from jobforge.pipeline.footer import LayerFile
from jobforge.pipeline.layers.adding import REPLAY_TOPIC, sum_notes
from jobforge.pipeline.layers.identity import Counts, Records, count_probe
from jobforge.pipeline.layers.promised import Promised
from jobforge.pipeline.layers.stages import Seen, Stage
from jobforge.pipeline.models import Note
from jobforge.pipeline.provenance import (
    BATCH_ID,
    LAYER,
    PROVENANCE_DTYPES,
    SOURCE_FILE,
    SOURCE_ROW,
    instant,
)
from jobforge.pipeline.steps import Place, Step, apply_step, located, step_error
from jobforge.pipeline.unchanged import unchanged
from jobforge.pipeline.work import Written
from jobforge.quality.columns import columns
from jobforge.quality.declared import DeclaredStep, RowRule
from jobforge.quality.parting import Parting, part
from jobforge.quality.rules import Rule, RuleCount, RuleKind


class Guard:
    """Applies the steps of a layer and owns the provenance columns meanwhile.

    Args:
        opened: The input of the layer.
        layer: The layer that is built.
        at: Time of the transition.
        lossy: Whether a step may lose the identity of the rows (gold).
        promised: The contract whose checks the rows have to pass, if there is one.
    """

    def __init__(
        self,
        opened: LayerFile,
        layer: Layer,
        at: datetime,
        *,
        lossy: bool,
        promised: Promised | None = None,
    ) -> None:
        self.opened = opened
        self.place = Place(layer, opened.footer.table, discreet=opened.footer.discreet)
        self.at = at
        self.files = [source.name for source in opened.footer.sources]
        many = len(self.files) > 1
        self.key = (SOURCE_FILE, SOURCE_ROW) if many else (SOURCE_ROW,)
        """Columns that identify a row within the batch."""
        self.records = Records(opened.frame, self.key)
        self.lossy = lossy
        self._constants = {BATCH_ID: opened.footer.batch_id}
        if not many:
            self._constants[SOURCE_FILE] = self.files[0]
        self._promised = promised
        self._stages: list[Stage] = []
        self._steps: tuple[Step, ...] = ()
        self._frame = opened.frame
        self._identified = opened.footer.traceable
        self._waiting: list[tuple[Step, Rule]] = []
        """Neighbouring rules, which are to be computed together."""

    def run(self, steps: tuple[Step, ...]) -> list[Stage]:
        """Apply the steps in order, and judge what the contract promises when they are done.

        Raises:
            TransformError: A step raised, returned no frame or asks for a
                column that is not there.
            InvalidRuleError: A rule cannot judge the rows, or two have one name.
            ProvenanceLostError: A step lost the identity and may not.
        """
        self._steps = steps
        for step in steps:
            declared = step.declared
            if declared is None:
                self._part()
                self._apply(step)
            elif isinstance(declared, RowRule):
                self._wait(step, declared)
            else:
                self._part()
                self._part_by(step, declared)
        self._part()
        if self._promised is not None:
            self._promise(self._promised.there(self._frame.collect_schema()))
        self._check_names()
        return self._stages

    def finished(self, stages: list[Stage]) -> pl.LazyFrame:
        """The end of a layer: provenance complete, typed, and last in the table."""
        frame = stages[-1].frame if stages else self.opened.frame
        identified = stages[-1].identified if stages else self.opened.footer.traceable
        return self.stamped(frame, identified=identified)

    def stamped(self, frame: pl.LazyFrame, *, identified: bool) -> pl.LazyFrame:
        """A frame with the provenance of this layer, last in the table."""
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
            instant(self.at),
            pl.lit(self.opened.footer.batch_id, dtype=pl.String).alias(BATCH_ID),
            pl.lit(self.place.layer.value, dtype=pl.String).alias(LAYER),
        )

    def seen(self, stages: list[Stage], written: Written) -> list[Seen]:
        """Counts after each stage, from the pass that wrote the file, and checked against it.

        Raises:
            AccountError: The file has other rows than the last step gave.
        """
        probes = iter(written.probes)
        found = []
        rows = self.opened.rows
        for stage in stages:
            rules: tuple[RuleCount, ...] = ()
            counts = Counts(rows, 0)
            if stage.parting is not None:
                tally = next(probes)
                counts = Counts(stage.parting.stays(tally), 0)
                rules = tuple(stage.parting.counts(tally))
            elif stage.probe is not None:
                counts = Counts.of(next(probes))
            found.append(Seen(counts, rules))
            rows = counts.rows
        if stages and found[-1].counts.rows != written.rows:
            raise self._unsteady(stages[-1], found[-1].counts.rows, written.rows)
        return found

    def identified(self, stages: list[Stage], seen: list[Seen], written: Written) -> list[Counts]:
        """The counts after each stage with the source records among them.

        Rows that were only chosen among are as different as they were. Where
        every row that came in is in the file, once, and no stage had
        another number of rows, none of them lost or doubled any: a record that
        is lost does not come back. Else each stage is asked, for nothing but
        the records.

        Raises:
            AccountError: A stage gives another number of rows now.
        """
        counts = [entry.counts for entry in seen]
        if not any(stage.identified for stage in stages):
            return counts
        if all(stage.chooses for stage in stages):
            return [entry._replace(different=entry.rows, kept=entry.rows) for entry in counts]
        last = None
        if stages[-1].identified:
            last = self.records.count(pl.scan_parquet(written.target, glob=False))
            rows = {last.rows, last.different, last.kept, self.opened.rows}
            if len(rows) == 1 and all(entry.rows in rows for entry in counts):
                return [last._replace(forged=entry.forged) for entry in counts]
        exact = []
        for stage, entry in zip(stages, counts, strict=True):
            if not stage.identified:
                exact.append(entry)
                continue
            found = self.records.count(stage.frame) if stage is not stages[-1] else last
            if found is None or found.rows != entry.rows:
                raise self._unsteady(stage, entry.rows, found.rows if found else 0)
            exact.append(found._replace(forged=entry.forged))
        return exact

    def _unsteady(self, stage: Stage, gave: int, found: int) -> AccountError:
        return AccountError(
            f"the step gave {gave} rows in the pass that wrote the file, and {found} were found",
            hint="a function whose result changes from run to run (sampling, "
            "unique(keep='any')) can cause this; nothing was published",
            layer=self.place.layer,
            table=self.place.table,
            step=stage.step.name,
        )

    def notes(self, stages: list[Stage], seen: list[Seen]) -> tuple[Note, ...]:
        """What was put right, step by step, and which steps a replay may not prove."""
        found = [
            Note(topic=REPLAY_TOPIC, text=f"{step.name} may not be proved by a replay: {why}")
            for step in self._steps
            if (why := step.reference.unprovable) is not None
        ]
        for stage, entry in zip(stages, seen, strict=True):
            found += sum_notes(stage)
            if stage.dropped:
                text = f"{stage.step.name} dropped {', '.join(stage.dropped)}: restored"
                found.append(Note(topic="provenance", text=text))
            if stage.identified and entry.counts.forged:
                text = (
                    f"{stage.step.name} changed provenance of {entry.counts.forged} rows: restored"
                )
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
        for stage in stages:
            try:
                # Every value is computed and none is kept. Not the frame itself: Polars panics
                # where a plan ends in a cache above one that is used twice.
                stage.frame.select(pl.all().null_count()).collect(engine="streaming")
            except (Exception, pl.exceptions.PanicException) as found:  # noqa: BLE001 - any error of a user's function
                return step_error(_culprit(stage), self.place, found, stage.before)
        if stages and not isinstance(error, OSError):
            return step_error(stages[-1].step, self.place, error, stages[-1].before)
        return None

    def _wait(self, step: Step, declared: RowRule) -> None:
        """Take a rule to be computed with its neighbours; a filter stands alone."""
        with located(step, self.place, self._frame):
            rule = declared.rule(self._frame)
        alone = rule.kind is RuleKind.KEEP
        if alone:
            self._part()
        self._waiting.append((step, rule))
        if alone:
            self._part()

    def _part(self) -> None:
        """Compute the rules that wait."""
        if not self._waiting:
            return
        step = self._waiting[0][0]
        rules = [rule for _, rule in self._waiting]
        self._waiting = []
        self._add(step, part(self._frame, rules))

    def _part_by(self, step: Step, declared: DeclaredStep) -> None:
        with located(step, self.place, self._frame):
            parting = declared.part(self._frame)
            parting.kept.collect_schema()
        self._add(step, parting)

    def _add(self, step: Step, parting: Parting) -> None:
        before, self._frame = self._frame, parting.kept
        stage = Stage(step, before, self._frame, None, self._identified, parting=parting)
        self._stages.append(stage)

    def _promise(self, names: tuple[str, ...]) -> None:
        """Judge what the contract says of some columns: each row by itself, then each key."""
        promised = self._promised
        if promised is None or not names:
            return
        self._part()
        schema = self._frame.collect_schema()
        checks = promised.row_checks(names, schema)
        if checks:
            self._add(promised.step, part(self._frame, checks))
        keys = promised.unique_checks(names, schema)
        if keys:
            self._add(promised.step, part(self._frame, keys))
        promised.done(names)

    def _apply(self, step: Step) -> None:
        """Apply a plain function, and put its provenance right.

        A column of the contract that it drops or retypes is judged before.
        """
        given = self._frame.cache()
        with watched(given) as watch:
            result = apply_step(given, step, self.place)
        if self._promised is not None:
            going = self._promised.going(given.collect_schema(), result.collect_schema())
            if going:
                self._promise(going)
                given = self._frame.cache()
                with watched(given) as watch:
                    result = apply_step(given, step, self.place)
        if _leaves_provenance(result, given):
            self._frame = result
            stage = Stage(step, given, result, None, self._identified, computed=watch.computed)
            self._stages.append(stage)
            return
        schema = result.collect_schema()
        lost = self._lost(schema, identified=self._identified)
        if lost and not self.lossy:
            raise self._refused(step, lost)
        self._identified = identified = self._identified and not lost
        shared = result.cache()
        self._frame = self._restored(shared) if identified else shared
        missing = tuple(name for name in self._constants if name not in schema)
        probe = count_probe(shared, self._comparable(schema) if identified else {})
        dropped = missing if identified else ()
        self._stages.append(
            Stage(step, given, self._frame, probe, identified, dropped, computed=watch.computed)
        )

    def _check_names(self) -> None:
        rules = [rule for stage in self._stages if stage.parting for rule in stage.parting.rules]
        for name, times in Counter(rule.name for rule in rules).items():
            if times > 1:
                raise InvalidRuleError(
                    f"{times} rules are called {name!r}",
                    hint="the contract has one of this name: give yours another",
                    layer=self.place.layer,
                    table=self.place.table,
                    rule=name,
                )

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
            needed = () if SOURCE_FILE in self._constants or self.lossy else (SOURCE_FILE,)
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
            instant(self.at),
            pl.lit(self.place.layer.value, dtype=pl.String).alias(LAYER),
        )


def _leaves_provenance(result: pl.LazyFrame, given: pl.LazyFrame) -> bool:
    """Whether the plan of a function shows that it leaves every row in its place, and as it is."""
    kept = unchanged(result, given)
    names = [name for name in given.collect_schema().names() if name in PROVENANCE_DTYPES]
    return bool(kept) and all(kept.get(name) == name for name in names)


def _culprit(stage: Stage) -> Step:
    """The step that fails: of neighbouring rules the first one that cannot be computed."""
    if stage.parting is None:
        return stage.step
    for rule in stage.parting.rules:
        try:
            stage.before.select(rule.failed).collect(engine="streaming")
        except (Exception, pl.exceptions.PanicException):  # noqa: BLE001 - any error of a user's rule
            reference = stage.step.reference.model_copy(update={"name": rule.step})
            return Step(rule.step, stage.step.function, reference)
    return stage.step


def _summary(names: list[str], shown: int = 3) -> str:
    """Names of many source files in one short text."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
