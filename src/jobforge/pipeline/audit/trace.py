"""`trace`: from a row of a table to the records of its source, with every step between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from jobforge.errors import InvalidOptionError, RecordNotFoundError, TableDamagedError
from jobforge.pipeline import lineage
from jobforge.pipeline.adoption import known_store
from jobforge.pipeline.audit.conditions import by_key, by_sql
from jobforge.pipeline.audit.places import places_of, with_rebuilt
from jobforge.pipeline.audit.private import hidden_of
from jobforge.pipeline.audit.routes import Key, Rows, in_layer, key_of, maker_of, ways_down
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
    names: tuple[str, ...] = ()
    if seen.version is not None:
        store = known_store(config, seen.layer, seen.domain, seen.table, seen.version)
        names = tuple(file.name for file in store.version(seen.version).files)
    tracer = _Tracer(config, Rows(snapshot), seen, asked, names)
    return Trace(
        table=seen.table,
        domain=seen.domain,
        layer=seen.layer,
        version=seen.version,
        matched=matched,
        rows=tuple(tracer.row(values) for values in found),
    )


def _records_of(config: PipelineConfig, seen: Seen) -> tuple[BatchRecord, ...]:
    return tuple(
        record
        for record in lineage.all_records(config)
        if (record.domain, record.table) == (seen.domain, seen.table)
    )


def _rows(seen: Seen, asked: Asked) -> tuple[list[dict[str, Any]], int]:
    """The rows that fit, some of them, and how many there are."""
    ways = [asked.where is not None, asked.key is not None, asked.row is not None]
    if sum(ways) != 1:
        raise InvalidOptionError(
            "say which rows, in one way",
            hint='--where "order_id = 5", --key order_id=5 or --row 1',
        )
    for name, value in (("rows", asked.rows), ("records", asked.records), ("row", asked.row)):
        number = isinstance(value, int) and not isinstance(value, bool) and value > 0
        if value is not None and not number:
            raise InvalidOptionError(f"{name} is {value!r}", hint="use a number from 1")
    try:
        if asked.row is not None:
            chosen = seen.frame.slice(asked.row - 1, 1)
            found = chosen.collect(engine="streaming").to_dicts()
            matched = len(found)
        else:
            condition = (
                by_sql(asked.where, seen.frame)
                if asked.where is not None
                else by_key(asked.key, seen.frame)
            )
            fitting = seen.frame.filter(condition)
            counted, first = pl.collect_all(
                [
                    fitting.select(pl.len()),
                    fitting if asked.rows is None else fitting.head(asked.rows),
                ],
                engine="streaming",
            )
            found, matched = first.to_dicts(), int(counted.item())
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise TableDamagedError(
            f"the rows cannot be read ({(str(error).splitlines() or [''])[0]})",
            hint="`jobforge verify` says what is damaged",
            table=seen.table,
        ) from error
    if not found:
        fits = asked.where or asked.key
        what = f"row {asked.row}" if asked.row is not None else f"row with {fits}"
        raise RecordNotFoundError(
            f"{seen.layer} of {seen.domain}/{seen.table} has no {what}",
            hint=f"it has {seen.rows:,} rows; `jobforge show` lists some",
            table=seen.table,
        )
    return found, matched


@dataclass(frozen=True)
class _Tracer:
    config: PipelineConfig
    rows: Rows
    seen: Seen
    asked: Asked
    files: tuple[str, ...]
    """Names of the files of the version."""

    def row(self, values: dict[str, Any]) -> RowTrace:
        """One row of the table, followed down."""
        record = lineage.known(self.config, str(values[BATCH_ID]))
        log = maker_of(record, self.seen.layer, self.files)
        if log is None:
            raise TableDamagedError(
                f"the batch {record.batch_id} has no record of how it came to {self.seen.layer}",
                hint="`jobforge verify` says what is missing",
                table=self.seen.table,
            )
        logs = ways_down(record, log)
        hidden = {} if self.asked.personal else hidden_of(self.rows, logs)
        number = values.get(SOURCE_ROW)
        if number is not None:
            name = RecordName(
                batch_id=record.batch_id, source_file=values[SOURCE_FILE], source_row=number
            )
            below = _first(self.rows.find(logs[1], [name]), name) if logs[1:] else None
            row = in_layer(log, values, below, hidden.get(log.target_layer, frozenset()))
            found = self._records(record, logs[1:], [name], hidden)
            return _row(row, "record", {}, 1, (name.source_file,), found)
        row = in_layer(log, values, None, hidden.get(log.target_layer, frozenset()))
        if log.groups_file is None or any(name not in values for name in log.grain):
            return self._batch_only(record, row, log)
        key = {name: values[name] for name in log.grain}
        names, total, files = self._group(record, log, key)
        shown = {name: (row.values or {})[name] for name in key}
        return _row(
            row, "group", shown, total, files, self._records(record, logs[1:], names, hidden)
        )

    def _batch_only(
        self, record: BatchRecord, row: RowInLayer, log: LayerTransitionLog
    ) -> RowTrace:
        why = "the batch was ingested without row numbers"
        below = [self.rows.file_of(str(step.target_file)) for step in ways_down(record, log)[1:]]
        if any(path is not None and read_footer(path).traceable for path in below):
            why = "a function lost the source records, and no grain was declared"
        files = tuple(info.name for info in record.sources)
        return RowTrace(
            row=row, reach="batch", key={}, records=None, files=files, traces=(), why=why
        )

    def _group(
        self, record: BatchRecord, log: LayerTransitionLog, key: dict[str, Any]
    ) -> tuple[list[RecordName], int, tuple[str, ...]]:
        """The records of a group: some of them, how many there are, and their files."""
        path = self.rows.file_of(str(log.groups_file))
        if path is None:
            return [], 0, ()
        groups = pl.scan_parquet(path, glob=False)
        types = groups.collect_schema()
        condition = pl.lit(value=True)
        for name, value in key.items():
            typed = pl.lit(pl.Series([value], dtype=types[name]).first())
            condition &= column(name).eq_missing(typed)
        members = groups.filter(condition)
        order = members.select(columns([SOURCE_FILE, SOURCE_ROW])).sort(SOURCE_FILE, SOURCE_ROW)
        found = order.collect(engine="streaming")
        shown = found if self.asked.records is None else found.head(self.asked.records)
        names = [
            RecordName(batch_id=record.batch_id, source_file=file, source_row=number)
            for file, number in shown.iter_rows()
        ]
        return names, found.height, tuple(found[SOURCE_FILE].unique().sort())

    def _records(
        self,
        record: BatchRecord,
        logs: list[LayerTransitionLog],
        names: list[RecordName],
        hidden: dict[Layer, frozenset[str]],
    ) -> list[RecordTrace]:
        """Source records with their rows in each layer below."""
        by_file: dict[str, list[int]] = {}
        for name in names:
            by_file.setdefault(name.source_file, []).append(name.source_row)
        places = {
            (file, place.record): place
            for file, numbers in by_file.items()
            for place in places_of(self.config, record, file, numbers, verify=self.asked.verify)
        }
        cells = [self.rows.find(log, names) if names else {} for log in logs]
        private = hidden.get(Layer.STAGED, frozenset())
        found = []
        for name in names:
            mine = [_first(layer, name) for layer in cells]
            rows = tuple(
                in_layer(log, values, below, hidden.get(log.target_layer, frozenset()))
                for log, values, below in zip(logs, mine, [*mine[1:], None], strict=True)
            )
            staged = next((row.values for row in rows if row.layer is Layer.STAGED), None)
            place = with_rebuilt(places[key_of(name)], staged, private)
            found.append(RecordTrace(name=name, layers=rows, source=place))
        return found


def _first(rows: dict[Key, list[dict[str, Any]]] | None, name: RecordName) -> dict[str, Any] | None:
    """The row of a record in a layer below gold, which has one of it at most."""
    return next(iter((rows or {}).get(key_of(name), [])), None)


def _row(
    row: RowInLayer,
    reach: Any,  # noqa: ANN401 - one of three words, checked by the record
    key: dict[str, Any],
    records: int,
    files: tuple[str, ...],
    traces: list[RecordTrace],
) -> RowTrace:
    return RowTrace(
        row=row, reach=reach, key=key, records=records, files=files, traces=tuple(traces)
    )
