"""`trace`: from a row of a table to the records of its source, with every step between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from jobforge.errors import InvalidOptionError, RecordNotFoundError, TableDamagedError
from jobforge.pipeline import lineage
from jobforge.pipeline.adoption import known_store
from jobforge.pipeline.audit.cells import exact_rows
from jobforge.pipeline.audit.conditions import by_key, by_sql
from jobforge.pipeline.audit.places import places_of, with_rebuilt
from jobforge.pipeline.audit.private import NOTHING, Hidden, hidden_of
from jobforge.pipeline.audit.routes import (
    Key,
    Rows,
    in_layer,
    key_of,
    maker_of,
    makers_of,
    unreadable,
    ways_down,
)
from jobforge.pipeline.audit.traced import (
    RecordName,
    RecordTrace,
    RowInLayer,
    RowTrace,
    Trace,
)
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.footer import read_footer
from jobforge.pipeline.models import BatchRecord, LayerTransitionLog
from jobforge.pipeline.provenance import BATCH_ID, SOURCE_FILE, SOURCE_ROW
from jobforge.pipeline.reads import Seen, look
from jobforge.pipeline.rejects.snapshot import Snapshot
from jobforge.quality.columns import column, columns

_MOST = 1 << 31
"""A number of rows or records that nobody asks for by intent."""


@dataclass(frozen=True)
class Asked:
    """Which rows, and how much of each.

    Args:
        where: An SQL condition.
        key: Columns and their values.
        row: The number of a row in the table, from 1.
        layer: The layer that the rows are of; the highest one unless given.
        version: The version; the newest unless given.
        rows: How many rows to follow, at most; None for all.
        records: How many records of each row to follow, at most; None for all.
        personal: Whether to show the values of personal columns.
        verify: Whether to hash large sources before they are looked into.
    """

    where: str | None = None
    key: Mapping[str, object] | None = None
    row: int | None = None
    layer: Layer | str | None = None
    version: int | None = None
    rows: int | None = 10
    records: int | None = 10
    personal: bool = False
    verify: bool = False


def trace(config: PipelineConfig, table: str, asked: Asked) -> Trace:
    """Follow rows of a table down to their source.

    Raises:
        TableNotFoundError: There is no such table, or no record of the batch of a row.
        RecordNotFoundError: No row fits.
        InvalidOptionError: The condition, key or row makes no sense.
        UnknownColumnError: A column is not there.
        StorageError: A record or a file cannot be read.
    """
    seen = look(config, table, asked.layer, asked.version)
    found, matched = _rows(seen, asked)
    snapshot = Snapshot(config, _records_of(config, seen))
    there: tuple[LayerTransitionLog, ...] = ()
    if seen.version is not None:
        store = known_store(config, seen.layer, seen.domain, seen.table, seen.version)
        folder = f"{seen.layer}/{seen.domain}/{seen.table}"
        files = [f"{folder}/{file.name}" for file in store.version(seen.version).files]
        there = tuple(makers_of(snapshot, files))
    tracer = _Tracer(config, Rows(snapshot), seen, asked, there)
    return Trace(
        table=seen.table,
        domain=seen.domain,
        layer=seen.layer,
        version=seen.version,
        matched=matched,
        rows=tuple(tracer.row(found[at]) for at in range(found.height)),
    )


def _records_of(config: PipelineConfig, seen: Seen) -> tuple[BatchRecord, ...]:
    return tuple(
        record
        for record in lineage.all_records(config)
        if (record.domain, record.table) == (seen.domain, seen.table)
    )


def _rows(seen: Seen, asked: Asked) -> tuple[pl.DataFrame, int]:
    """The rows that fit, some of them, and how many there are."""
    ways = [asked.where is not None, asked.key is not None, asked.row is not None]
    if sum(ways) != 1:
        raise InvalidOptionError(
            "say which rows, in one way",
            hint='--where "order_id = 5", --key order_id=5 or --row 1',
        )
    for name, value in (("rows", asked.rows), ("records", asked.records), ("row", asked.row)):
        number = isinstance(value, int) and not isinstance(value, bool) and 0 < value < _MOST
        if value is not None and not number:
            raise InvalidOptionError(f"{name} is {value!r}", hint="use a number from 1")
    if asked.row is not None:
        found = _collected(seen, seen.frame.slice(asked.row - 1, 1))
        matched = found.height
    else:
        condition = (
            by_sql(asked.where, seen.frame)
            if asked.where is not None
            else by_key(asked.key, seen.frame)
        )
        fitting = seen.frame.filter(condition)
        found = _collected(seen, fitting if asked.rows is None else fitting.head(asked.rows))
        matched = found.height
        if asked.rows is not None and matched == asked.rows:
            matched = int(_collected(seen, fitting.select(pl.len())).item())
    if not found.height:
        fits = asked.where or asked.key
        what = f"row {asked.row}" if asked.row is not None else f"row with {fits}"
        raise RecordNotFoundError(
            f"{seen.layer} of {seen.domain}/{seen.table} has no {what}",
            hint=f"it has {seen.rows:,} rows; `jobforge show` lists some",
            table=seen.table,
        )
    return found, matched


def _collected(seen: Seen, rows: pl.LazyFrame) -> pl.DataFrame:
    """Rows that were asked for.

    Raises:
        InvalidOptionError: They can be read, and what was asked of them cannot be computed.
        TableDamagedError: They cannot be read.
    """
    try:
        return rows.collect(engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        first = (str(error).splitlines() or [""])[0]
        try:
            seen.frame.select(pl.all().null_count()).collect(engine="streaming")
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
            raise TableDamagedError(
                f"the rows cannot be read ({first})",
                hint="`jobforge verify` says what is damaged",
                table=seen.table,
            ) from error
        raise InvalidOptionError(
            f"the condition cannot be computed: {first}",
            hint="use a condition that every row can answer",
        ) from error


@dataclass(frozen=True)
class _Tracer:
    config: PipelineConfig
    rows: Rows
    seen: Seen
    asked: Asked
    there: tuple[LayerTransitionLog, ...]
    """The transitions that the rows of the version came by."""

    def row(self, found: pl.DataFrame) -> RowTrace:
        """One row of the table, followed down; as a frame, whose cells are exact."""
        (values,) = exact_rows(found)
        record = lineage.known(self.config, str(values[BATCH_ID]))
        log = maker_of(record, self.seen.layer, self.there, self.seen.version)
        if log is None:
            raise TableDamagedError(
                f"the batch {record.batch_id} has no record of how it came to {self.seen.layer}",
                hint="`jobforge verify` says what is missing",
                table=self.seen.table,
            )
        logs = ways_down(record, log)
        hidden = NOTHING if self.asked.personal else hidden_of(self.rows, record, logs)
        if log.groups_file is not None and all(name in values for name in log.grain):
            return self._grouped(record, logs, found, hidden)
        number = values.get(SOURCE_ROW)
        if number is None:
            return self._batch_only(record, hidden.row(in_layer(log, values, None)), logs)
        name = RecordName(
            batch_id=record.batch_id, source_file=values[SOURCE_FILE], source_row=number
        )
        below = _first(self.rows.find(logs[1], [name]), name) if logs[1:] else None
        return RowTrace(
            row=hidden.row(in_layer(log, values, below)),
            reach="record",
            key={},
            records=1,
            files=(name.source_file,),
            traces=self._records(record, logs[1:], [name], hidden, values),
        )

    def _batch_only(
        self, record: BatchRecord, row: RowInLayer, logs: list[LayerTransitionLog]
    ) -> RowTrace:
        why = "the batch was ingested without row numbers"
        paths = [self.rows.file_of(str(log.target_file)) for log in logs]
        names_records = [path is not None and read_footer(path).traceable for path in paths]
        if names_records[0]:
            why = "the row comes from no source record: a step made it"
        elif any(names_records):
            why = "a function lost the source records, and no grain was declared"
        files = tuple(info.name for info in record.sources)
        return RowTrace(
            row=row, reach="batch", key={}, records=None, files=files, traces=(), why=why
        )

    def _grouped(
        self,
        record: BatchRecord,
        logs: list[LayerTransitionLog],
        found: pl.DataFrame,
        hidden: Hidden,
    ) -> RowTrace:
        """A row of an aggregate, with the records of its group."""
        log = logs[0]
        members = self._members(log, found)
        shown = members if self.asked.records is None else members.head(self.asked.records)
        names = [
            RecordName(batch_id=record.batch_id, source_file=file, source_row=number)
            for file, number in shown.iter_rows()
        ]
        (values,) = exact_rows(found)
        key = {name: values[name] for name in log.grain}
        why = ""
        if self.rows.snapshot.was_rewritten(str(log.groups_file)):
            why = "records were erased since: what they gave to the row is in it still"
        return RowTrace(
            row=hidden.row(in_layer(log, values, None)),
            reach="group",
            key=hidden.masked(log.target_layer, key),
            records=members.height,
            files=tuple(members[SOURCE_FILE].unique().sort()),
            traces=self._records(record, logs[1:], names, hidden),
            why=why,
        )

    def _members(self, log: LayerTransitionLog, found: pl.DataFrame) -> pl.DataFrame:
        """File and number of each record of a group, once, in their order."""
        path = self.rows.file_of(str(log.groups_file))
        if path is None:
            return pl.DataFrame(schema={SOURCE_FILE: pl.String, SOURCE_ROW: pl.Int64})
        condition = pl.lit(value=True)
        for name in log.grain:
            # Not by way of Python, whose times have no nanoseconds.
            condition &= column(name).eq_missing(pl.lit(found.get_column(name)).first())
        try:
            members = pl.scan_parquet(path, glob=False).filter(condition)
            records = members.select(columns([SOURCE_FILE, SOURCE_ROW])).unique()
            return records.sort(SOURCE_FILE, SOURCE_ROW).collect(engine="streaming")
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise unreadable(path, error) from error

    def _records(
        self,
        record: BatchRecord,
        logs: list[LayerTransitionLog],
        names: list[RecordName],
        hidden: Hidden,
        itself: dict[str, Any] | None = None,
    ) -> tuple[RecordTrace, ...]:
        """Source records with their rows in each layer below.

        Args:
            record: The batch.
            logs: The transitions into those layers, from the highest down.
            names: The records.
            hidden: What is not shown.
            itself: The row that is followed, which is that of staged where there is no layer below.
        """
        by_file: dict[str, list[int]] = {}
        for name in names:
            by_file.setdefault(name.source_file, []).append(name.source_row)
        places = {
            (file, place.record): place
            for file, numbers in by_file.items()
            for place in places_of(self.config, record, file, numbers, verify=self.asked.verify)
        }
        cells = [self.rows.find(log, names) if names else {} for log in logs]
        private = hidden.any_in(Layer.STAGED)
        found = []
        for name in names:
            mine = [_first(layer, name) for layer in cells]
            layers = tuple(
                hidden.row(in_layer(log, values, below))
                for log, values, below in zip(logs, mine, [*mine, None][1:], strict=True)
            )
            staged = mine[-1] if mine else itself
            rebuilt = None if staged is None else hidden.masked(Layer.STAGED, staged)
            place = with_rebuilt(places[key_of(name)], rebuilt, private=private)
            found.append(RecordTrace(name=name, layers=layers, source=place))
        return tuple(found)


def _first(rows: dict[Key, list[dict[str, Any]]] | None, name: RecordName) -> dict[str, Any] | None:
    """The row of a record in a layer below gold, which has one of it at most."""
    return next(iter((rows or {}).get(key_of(name), [])), None)
