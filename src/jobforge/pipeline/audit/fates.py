"""What became of one record, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from jobforge.pipeline.audit.cells import exact_rows
from jobforge.pipeline.audit.private import Hidden
from jobforge.pipeline.audit.routes import Rows, frame_of, key_of, rows_in
from jobforge.pipeline.audit.traced import Fate, LayerFate, LeftRows, RecordName
from jobforge.pipeline.collecting import collected
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.layers.leaving import EDGE_OUTCOME, EDGE_STEP, FILTERED
from jobforge.pipeline.models import BatchRecord, LayerTransitionLog, Operation
from jobforge.pipeline.provenance import BATCH_ID, SOURCE_FILE, SOURCE_ROW
from jobforge.pipeline.rejects.snapshot import standing_moves
from jobforge.pipeline.rejects.state import RejectFile, RejectState, reject_files, states
from jobforge.pipeline.versions import table_store
from jobforge.quality.columns import columns
from jobforge.quality.quarantine import REASONS


@dataclass(frozen=True)
class Fates:
    """What became of a record in each layer that its batch came to.

    Args:
        config: Where the data root is.
        rows: Finds rows in files.
        record: The batch.
        name: The record.
        hidden: Columns whose cells are not shown, by layer.
    """

    config: PipelineConfig
    rows: Rows
    record: BatchRecord
    name: RecordName
    hidden: Hidden

    def all(self) -> Iterator[LayerFate]:
        """From staged up, to the layer where it left."""
        for log in standing_moves(self.record).values():
            fate = self._fate(log)
            yield fate
            if fate.fate not in ("row", "aggregated", "removed", "unknown"):
                return

    def _fate(self, log: LayerTransitionLog) -> LayerFate:
        left = (*self._rejected(log), *self._edges(log))
        there = self._grouped(log) if log.groups_file is not None else None
        if there is None and log.target_file is not None:
            found = self.rows.find(log, [self.name])
            # A file that `clean` removed may have gone into a larger one.
            rows = len(found[key_of(self.name)]) if found is not None else self._in_table(log)
            there = self._there(log, "row", rows=rows) if rows else None
        if there is not None:
            return there.model_copy(update={"left": left})
        if left:
            first, *others = left
            return LayerFate(
                layer=log.target_layer,
                fate=first.fate,
                by=first.by,
                reasons=first.reasons,
                state=first.state,
                left=tuple(others),
                file=first.file,
            )
        return self._erased(log) or self._untold(log)

    def _untold(self, log: LayerTransitionLog) -> LayerFate:
        """Its rows are not at hand, or do not name their records."""
        file = log.target_file
        removed = file is not None and self.rows.snapshot.removal_of(file) is not None
        fate: Fate = "removed" if removed else "unknown"
        return LayerFate(layer=log.target_layer, fate=fate, file=file)

    def _there(
        self,
        log: LayerTransitionLog,
        fate: Fate,
        *,
        rows: int,
        keys: tuple[dict[str, Any], ...] = (),
    ) -> LayerFate:
        """It is in the file of the layer; whether it is in the table still is another question."""
        if log.target_layer is Layer.STAGED:
            current, by = True, None
        else:
            current, by = self._standing(log)
        return LayerFate(
            layer=log.target_layer,
            fate=fate,
            rows=rows,
            keys=keys,
            file=log.target_file,
            current=current,
            replaced_by=by,
        )

    def _standing(self, log: LayerTransitionLog) -> tuple[bool, str | None]:
        """Whether the newest version has rows of the batch, and what took their place."""
        if self._in_table(log):
            return True, None
        store = table_store(self.config, log.target_layer, log.domain, log.table)
        folder = Path(str(log.target_file)).parent
        instead = self.rows.snapshot.instead
        carriers = {Path(str(log.target_file)).name}
        before: frozenset[str] = frozenset()
        by = None
        for number, commit, files in store.replayed():
            gone = carriers & (before - files.keys())
            # A compaction and an erasure put the rows into files of other names.
            if commit.operation == Operation.COMPACT and gone:
                carriers |= files.keys() - before
            elif commit.operation == Operation.ERASE:
                new = (instead((folder / name).as_posix()) for name in gone)
                carriers |= {Path(file).name for file in new if file is not None}
            # A rollback may bring them back: what took their place is the last that did.
            if gone and not carriers & files.keys():
                by = f"version {number}, {commit.operation} by batch {commit.batch_id}"
            before = frozenset(files)
        return False, by

    def _in_table(self, log: LayerTransitionLog) -> int:
        """Rows of the newest version that are of the record; of an aggregate, of its batch."""
        if log.target_layer is Layer.STAGED:
            return 0
        store = table_store(self.config, log.target_layer, log.domain, log.table)
        version = store.version()
        table = store.scan(version)
        mine = table.filter(pl.col(BATCH_ID) == self.record.batch_id)
        if log.groups_file is None:
            if SOURCE_ROW not in table.collect_schema():
                return 0
            mine = mine.filter(
                (pl.col(SOURCE_ROW) == self.name.source_row)
                & (pl.col(SOURCE_FILE) == self.name.source_file)
            )
        files = (store.folder / file.name for file in version.files)
        return int(collected(mine.select(pl.len()), files).item())

    def _rejected(self, log: LayerTransitionLog) -> Iterator[LeftRows]:
        """Its rows in quarantine, by the rules that they failed."""
        for file in reject_files(self.rows.snapshot, self.record, log.target_layer):
            if file.log.transition_id != log.transition_id:
                continue
            by_rules: dict[tuple[str, ...], list[dict[str, Any]]] = {}
            for row in rows_in(file.path, [self.name])[key_of(self.name)]:
                rules = tuple(reason["rule"] for reason in row[REASONS])
                by_rules.setdefault(rules, []).append(row)
            masks = self.hidden.any_in(log.target_layer)
            for rules, rows in by_rules.items():
                told = [_told(reason, masks=masks) for row in rows for reason in row[REASONS]]
                yield LeftRows(
                    fate="deduplicated" if file.duplicates.intersection(rules) else "quarantined",
                    by=rules,
                    reasons=tuple(dict.fromkeys(told)),
                    state=self._state(file, rules[0]),
                    rows=len(rows),
                    file=log.quarantine_file,
                )

    def _state(self, file: RejectFile, rule: str) -> str | None:
        """How its rows stand that failed a rule first."""
        standing = states(self.rows.snapshot, file)
        if SOURCE_ROW not in standing.columns:
            return None
        mine = standing.filter(
            (pl.col("rule") == rule)
            & (pl.col(SOURCE_ROW) == self.name.source_row)
            & (pl.col(SOURCE_FILE) == self.name.source_file)
        )
        return str(RejectState(mine.item(0, "state"))) if mine.height else None

    def _edges(self, log: LayerTransitionLog) -> Iterator[LeftRows]:
        """The filters and functions that left it out."""
        path = self.rows.file_of(log.edges_file) if log.edges_file is not None else None
        if path is None:
            return
        for row in rows_in(path, [self.name])[key_of(self.name)]:
            fate: Fate = "filtered" if row[EDGE_OUTCOME] == FILTERED else "dropped"
            yield LeftRows(fate=fate, by=(row[EDGE_STEP],))

    def _erased(self, log: LayerTransitionLog) -> LayerFate | None:
        """It was in a file that an erasure wrote anew, and is in none now."""
        files = (log.target_file, log.groups_file)
        if not any(self.rows.snapshot.was_rewritten(str(file)) for file in files if file):
            return None
        return LayerFate(layer=log.target_layer, fate="erased")

    def _grouped(self, log: LayerTransitionLog) -> LayerFate | None:
        """It went into an aggregate, or into a group of which there is no row; None if neither."""
        path = self.rows.file_of(str(log.groups_file))
        target = self.rows.file_of(str(log.target_file))
        if path is None or target is None:
            return self._untold(log)
        keys = frame_of(path, [self.name]).select(columns(log.grain)).unique(maintain_order=True)
        if not keys.height:
            return None
        made = _present(target, keys)
        if not made.height:
            return self._rejected_group(log, keys) or LayerFate(
                layer=log.target_layer, fate="left out", by=_left_out_by(log)
            )
        layer = log.target_layer
        shown = tuple(self.hidden.masked(layer, key) for key in exact_rows(made))
        return self._there(log, "aggregated", rows=made.height, keys=shown)

    def _rejected_group(self, log: LayerTransitionLog, keys: pl.DataFrame) -> LayerFate | None:
        """The row of its group is in quarantine."""
        for file in reject_files(self.rows.snapshot, self.record, log.target_layer):
            if file.log.transition_id != log.transition_id:
                continue
            names = file.rows().collect_schema().names()
            if not set(keys.columns).issubset(names):
                continue
            held = _present(file.path, keys, [REASONS])
            if held.height:
                rules = [reason["rule"] for reason in held.item(0, REASONS)]
                return LayerFate(
                    layer=log.target_layer,
                    fate="quarantined",
                    by=tuple(rules),
                    keys=tuple(
                        self.hidden.masked(log.target_layer, key)
                        for key in exact_rows(held.select(keys.columns))
                    ),
                    file=log.quarantine_file,
                )
        return None


def _present(path: Path, keys: pl.DataFrame, more: Sequence[str] = ()) -> pl.DataFrame:
    """The keys that a file has, and other cells of their rows."""
    rows = pl.scan_parquet(path, glob=False).select(columns([*keys.columns, *more]))
    found = rows.join(keys.lazy(), on=keys.columns, how="semi", nulls_equal=True)
    return collected(found, [path])


def _left_out_by(log: LayerTransitionLog) -> tuple[str, ...]:
    """The function that aggregates, and every step after it by which rows left."""
    account = log.account
    if account is None:
        return ()
    left = {**account.filtered, **account.dropped, **account.deduplicated, **account.quarantined}
    names = [step.name for step in log.transforms_applied]
    first = next((at for at, name in enumerate(names) if name in account.generated), 0)
    return tuple(
        name for at, name in enumerate(names) if at == first or (at > first and name in left)
    )


def _told(reason: dict[str, Any], *, masks: bool) -> str:
    """A reason in words; without the value where it may be personal."""
    return str(reason["rule"] if masks else reason["reason"])
