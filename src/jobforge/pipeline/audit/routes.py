"""The way of a batch through the layers, and its rows there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from jobforge.errors import TableDamagedError
from jobforge.pipeline.audit.attribution import step_by_step
from jobforge.pipeline.audit.cells import exact_rows, same
from jobforge.pipeline.audit.traced import CellChange, RecordName, RowInLayer, StepChange
from jobforge.pipeline.config import Layer
from jobforge.pipeline.models import MOVES, BatchRecord, LayerTransitionLog, Operation
from jobforge.pipeline.provenance import SOURCE_FILE, SOURCE_ROW, data_columns
from jobforge.pipeline.rejects.snapshot import Snapshot
from jobforge.quality.rules import OnFail


def ways_down(record: BatchRecord, log: LayerTransitionLog) -> list[LayerTransitionLog]:
    """The transitions by which the rows of a layer came, the one into it first."""
    moves = [move for move in record.transitions if move.operation in MOVES]
    by_file = {move.target_file: move for move in moves if move.target_file is not None}
    found = [log]
    while found[-1].inputs and found[-1].inputs[0].file in by_file:
        found.append(by_file[found[-1].inputs[0].file])
    return found


def maker_of(
    record: BatchRecord,
    layer: Layer,
    there: Iterable[LayerTransitionLog] = (),
    version: int | None = None,
) -> LayerTransitionLog | None:
    """The transition by which a batch came into a layer.

    Args:
        record: The batch.
        layer: The layer.
        there: The transitions that the rows of the version that is looked at came by.
        version: The number of that version, for one of which they are not on record: what
            came later is not in it.
    """
    made = [
        log
        for log in record.transitions
        if log.operation in MOVES and log.target_layer is layer and log.target_file is not None
    ]
    known = {log.transition_id for log in there}
    own = [log for log in made if log.transition_id in known]
    before = [log for log in made if version is None or (log.table_version or 0) <= version]
    return next(reversed(own or before or made), None)


def makers_of(snapshot: Snapshot, files: Sequence[str]) -> Iterator[LayerTransitionLog]:
    """The transitions of batches that the rows of files came by.

    A file that an erasure wrote anew, or that others were compacted into, is followed back.
    """
    logs = [log for record in snapshot.records for log in record.transitions]
    made = {log.target_file: log for log in logs if log.target_file is not None}
    before = {new.file: new.instead_of for log in logs for new in log.added if new.instead_of}
    waiting, seen = list(files), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        log = made.get(name)
        if log is None:
            waiting += [before[name]] if name in before else []
        elif log.operation is Operation.COMPACT:
            waiting += [entry.file for entry in log.inputs]
        else:
            yield log


Key = tuple[str, int]
"""Source file and record number: a record within its batch."""
_KEY = {SOURCE_FILE: pl.String, SOURCE_ROW: pl.Int64}


def key_of(name: RecordName) -> Key:
    """The record within its batch."""
    return name.source_file, name.source_row


@dataclass(frozen=True)
class Rows:
    """The rows of records in the files of their batch.

    Args:
        snapshot: The records of the data root.
    """

    snapshot: Snapshot

    def file_of(self, file: str) -> Path | None:
        """Where a file stands; None where it is gone on purpose.

        Raises:
            TableDamagedError: It is gone, and nobody removed it.
        """
        try:
            return self.snapshot.path(file)
        except TableDamagedError:
            logs = [log for record in self.snapshot.records for log in record.transitions]
            if any(removed.file == file for log in logs for removed in log.removed):
                return None
            raise

    def find(
        self, log: LayerTransitionLog, names: Sequence[RecordName]
    ) -> dict[Key, list[dict[str, Any]]] | None:
        """The rows of records in the file of a transition; None where the file is gone.

        Raises:
            TableDamagedError: It cannot be read, or is gone and nobody removed it.
        """
        path = self.file_of(str(log.target_file))
        return rows_in(path, names) if path is not None else None


def frame_of(path: Path, names: Sequence[RecordName]) -> pl.DataFrame:
    """The rows of records in a file of their batch; none where rows name no record.

    Raises:
        TableDamagedError: It cannot be read.
    """
    try:
        frame = pl.scan_parquet(path, glob=False)
        if SOURCE_ROW not in frame.collect_schema() or not names:
            return frame.head(0).collect()
        # Bounds first: they are what row groups are skipped by.
        numbers = [name.source_row for name in names]
        near = pl.col(SOURCE_ROW).is_between(min(numbers), max(numbers))
        rows = frame.filter(near & pl.col(SOURCE_ROW).is_in(numbers)).collect(engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise unreadable(path, error) from error
    wanted = pl.DataFrame([key_of(name) for name in names], _KEY, orient="row").unique()
    return rows.join(wanted, on=list(_KEY), how="semi", maintain_order="left")


def rows_in(path: Path, names: Sequence[RecordName]) -> dict[Key, list[dict[str, Any]]]:
    """The rows of records in a file of their batch, by record.

    Raises:
        TableDamagedError: It cannot be read.
    """
    found: dict[Key, list[dict[str, Any]]] = {key_of(name): [] for name in names}
    for row in exact_rows(frame_of(path, names)):
        if SOURCE_ROW in row:
            found[row[SOURCE_FILE], row[SOURCE_ROW]].append(row)
    return found


def unreadable(path: Path, error: BaseException) -> TableDamagedError:
    """The error for a file that cannot be read."""
    return TableDamagedError(
        f"{path} cannot be read ({(str(error).splitlines() or [''])[0]})",
        hint="restore it from a backup; `jobforge verify` says what else is damaged",
    )


def in_layer(
    log: LayerTransitionLog, values: dict[str, Any] | None, below: Mapping[str, Any] | None
) -> RowInLayer:
    """A row, with how it came there.

    Args:
        log: The transition that brought it.
        values: Its cells.
        below: The cells of its row in the layer before, where they are known.
    """
    changes = () if values is None or below is None else tuple(_changes(log, values, below))
    through = [count.rule for count in log.rules if count.on_fail is not OnFail.WARN]
    return RowInLayer(
        layer=log.target_layer,
        table=log.table,
        domain=log.domain,
        batch_id=log.batch_id,
        file=str(log.target_file),
        version=log.table_version,
        values=values,
        changes=changes,
        transforms=log.transforms_applied,
        rules=tuple(through),
        contract=log.contract,
        transition_id=log.transition_id,
    )


def _changes(
    log: LayerTransitionLog, values: Mapping[str, Any], below: Mapping[str, Any]
) -> Iterable[CellChange]:
    lineage = log.column_lineage
    for name in data_columns(list(values)):
        origin = lineage.of(name) if lineage is not None else None
        sources = origin.values if origin is not None else ()
        if not sources and name in below:
            sources = (name,)
        made_of = {source: below[source] for source in sources if source in below}
        # What stood there before is told too, where a cell takes the place of another.
        before = {name: below[name], **made_of} if name in below else made_of
        if len(made_of) == 1 and all(same(cell, values[name]) for cell in before.values()):
            continue
        if not before and values[name] is None:
            continue
        steps = origin.steps if origin is not None else ()
        steps = tuple(step for step in steps if step != "rename") or steps
        after = values[name]
        each: tuple[StepChange, ...] = ()
        if len(steps) > 1 and list(made_of) == [name]:
            each = step_by_step(log, name, steps, below, after)
            steps = tuple(change.step for change in each) or steps
        yield CellChange(column=name, before=before, after=after, steps=steps, each=each)
