"""What became of one record, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from jobforge.pipeline.audit.routes import Rows, key_of, masked, rows_in, unreadable
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
    hidden: dict[Layer, frozenset[str]]

    def all(self) -> Iterator[LayerFate]:
        """From staged up, to the layer where it left."""
        for log in standing_moves(self.record).values():
            fate = self._fate(log)
            yield fate
            if fate.fate not in ("row", "aggregated", "unknown"):
                return

    def _fate(self, log: LayerTransitionLog) -> LayerFate:
        if log.target_file is not None:
            found = self.rows.find(log, [self.name])
            # A file that `clean` removed may have gone into a larger one.
            rows = len(found[key_of(self.name)]) if found is not None else self._in_table(log)
            if rows:
                return self._there(log, "row", rows=rows)
        left = self._rejected(log) or self._edge(log)
        if left is not None:
            return left
        if log.groups_file is not None:
            return self._grouped(log)
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
            hidden = self.hidden.get(log.target_layer)
            return LayerFate(
                layer=log.target_layer,
                fate="deduplicated" if doubles else "quarantined",
                by=tuple(reason["rule"] for reason in reasons),
                reasons=tuple(_told(reason, masks=bool(hidden)) for reason in reasons),
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

    def _grouped(self, log: LayerTransitionLog) -> LayerFate:
        """It went into an aggregate, or into a group of which nothing was made."""
        path = self.rows.file_of(str(log.groups_file))
        members = rows_in(path, [self.name])[key_of(self.name)] if path is not None else []
        keys = [{name: member[name] for name in log.grain} for member in members]
        target = self.rows.file_of(str(log.target_file))
        if not keys or target is None:
            return LayerFate(layer=log.target_layer, fate="unknown", file=log.target_file)
        made = [key for key in keys if _has(target, key)]
        hidden = self.hidden.get(log.target_layer, frozenset())
        if not made:
            return LayerFate(layer=log.target_layer, fate="left out", by=_names(log))
        shown = tuple(masked(key, hidden) for key in made)
        return self._there(log, "aggregated", rows=len(made), keys=shown)


def _has(path: Path, key: dict[str, Any]) -> bool:
    """Whether a file has a row of a key."""
    try:
        frame = pl.scan_parquet(path, glob=False)
        types = frame.collect_schema()
        wanted = pl.LazyFrame({name: pl.Series([key[name]], dtype=types[name]) for name in key})
        rows = frame.select(columns(key)).join(wanted, on=list(key), how="semi", nulls_equal=True)
        return rows.head(1).collect(engine="streaming").height > 0
    except _DAMAGE as error:
        raise unreadable(path, error) from error


def _names(log: LayerTransitionLog) -> tuple[str, ...]:
    return tuple(step.name for step in log.transforms_applied)


def _told(reason: dict[str, Any], *, masks: bool) -> str:
    """A reason in words; without the value where it may be personal."""
    return str(reason["rule"] if masks else reason["reason"])
