"""What became of one record, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from jobforge.pipeline.audit.cells import exact_rows
from jobforge.pipeline.audit.private import Hidden
from jobforge.pipeline.audit.routes import Rows, frame_of, key_of, rows_in, unreadable
from jobforge.pipeline.audit.traced import Fate, LayerFate, RecordName
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.layers.leaving import EDGE_OUTCOME, EDGE_STEP, FILTERED
from jobforge.pipeline.models import BatchRecord, LayerTransitionLog
from jobforge.pipeline.provenance import BATCH_ID, SOURCE_FILE, SOURCE_ROW
from jobforge.pipeline.rejects.snapshot import standing_moves
from jobforge.pipeline.rejects.state import RejectState, reject_files, states
from jobforge.pipeline.versions import table_store
from jobforge.quality.columns import columns
from jobforge.quality.quarantine import REASONS

_DAMAGE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


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
            if fate.fate not in ("row", "aggregated", "unknown"):
                return

    def _fate(self, log: LayerTransitionLog) -> LayerFate:
        grouped = self._grouped(log) if log.groups_file is not None else None
        if grouped is not None:
            return grouped
        if log.target_file is not None:
            found = self.rows.find(log, [self.name])
            # A file that `clean` removed may have gone into a larger one.
            rows = len(found[key_of(self.name)]) if found is not None else self._in_table(log)
            if rows:
                return self._there(log, "row", rows=rows)
        left = self._rejected(log) or self._edge(log) or self._erased(log)
        if left is not None:
            return left
        return LayerFate(layer=log.target_layer, fate="unknown", file=log.target_file)

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
        own = Path(str(log.target_file)).name
        had = False
        for number, commit, files in store.replayed():
            if had and own not in files and commit.operation != "compact":
                return False, f"version {number}, {commit.operation} by batch {commit.batch_id}"
            had = had or own in files
        return False, None

    def _in_table(self, log: LayerTransitionLog) -> int:
        """Rows of the newest version that are of the record; of an aggregate, of its batch."""
        if log.target_layer is Layer.STAGED:
            return 0
        store = table_store(self.config, log.target_layer, log.domain, log.table)
        table = store.scan(store.version())
        mine = table.filter(pl.col(BATCH_ID) == self.record.batch_id)
        if log.groups_file is None:
            if SOURCE_ROW not in table.collect_schema():
                return 0
            mine = mine.filter(
                (pl.col(SOURCE_ROW) == self.name.source_row)
                & (pl.col(SOURCE_FILE) == self.name.source_file)
            )
        return int(mine.select(pl.len()).collect(engine="streaming").item())

    def _rejected(self, log: LayerTransitionLog) -> LayerFate | None:
        """It is in quarantine."""
        for file in reject_files(self.rows.snapshot, self.record, log.target_layer):
            if file.log.transition_id != log.transition_id:
                continue
            rows = rows_in(file.path, [self.name])[key_of(self.name)]
            if not rows:
                continue
            reasons = rows[0][REASONS]
            state = self._state(file)
            doubles = [reason["rule"] for reason in reasons if reason["rule"] in file.duplicates]
            masks = self.hidden.any_in(log.target_layer)
            return LayerFate(
                layer=log.target_layer,
                fate="deduplicated" if doubles else "quarantined",
                by=tuple(reason["rule"] for reason in reasons),
                reasons=tuple(_told(reason, masks=masks) for reason in reasons),
                state=state,
                file=log.quarantine_file,
            )
        return None

    def _state(self, file: Any) -> str | None:  # noqa: ANN401 - a `RejectFile`
        standing = states(self.rows.snapshot, file)
        if SOURCE_ROW not in standing.columns:
            return None
        mine = standing.filter(
            (pl.col(SOURCE_ROW) == self.name.source_row)
            & (pl.col(SOURCE_FILE) == self.name.source_file)
        )
        return str(RejectState(mine.item(0, "state"))) if mine.height else None

    def _edge(self, log: LayerTransitionLog) -> LayerFate | None:
        """A filter or a function left it out."""
        path = self.rows.file_of(log.edges_file) if log.edges_file is not None else None
        if path is None:
            return None
        for row in rows_in(path, [self.name])[key_of(self.name)]:
            fate: Fate = "filtered" if row[EDGE_OUTCOME] == FILTERED else "dropped"
            return LayerFate(layer=log.target_layer, fate=fate, by=(row[EDGE_STEP],))
        return None

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
            return LayerFate(layer=log.target_layer, fate="unknown", file=log.target_file)
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
    try:
        rows = pl.scan_parquet(path, glob=False).select(columns([*keys.columns, *more]))
        found = rows.join(keys.lazy(), on=keys.columns, how="semi", nulls_equal=True)
        return found.collect(engine="streaming")
    except _DAMAGE as error:
        raise unreadable(path, error) from error


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
