"""How the rejected rows of a batch stand: open, cured, waived, or duplicates that nobody misses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import polars as pl

from jobforge.errors import InvalidOptionError, TableDamagedError
from jobforge.pipeline import lineage
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.footer import Footer, read_footer
from jobforge.pipeline.models import (
    BatchRecord,
    LayerTransitionLog,
    Operation,
    TransitionStatus,
    Waiver,
)
from jobforge.pipeline.provenance import REJECTED_COLUMNS, SOURCE_FILE, SOURCE_ROW
from jobforge.quality.quarantine import REASONS
from jobforge.quality.rules import RuleKind

MOVES = (Operation.INGEST, Operation.REPLACE, Operation.APPEND, None)
"""Operations that move a batch; null in records of format 1."""
REJECTED_BATCH, REJECTED_FILE, REJECTED_ROW, REJECTED_REASONS = REJECTED_COLUMNS
_KEY = [SOURCE_FILE, SOURCE_ROW]
_NO_RECORDS = pl.DataFrame(schema={SOURCE_FILE: pl.String, SOURCE_ROW: pl.Int64})


class RejectState(StrEnum):
    """How one rejected row stands."""

    OPEN = "open"
    CURED = "cured"
    """A later batch brought the record in, corrected."""
    WAIVED = "waived"
    """Somebody decided to leave it out."""
    DUPLICATE = "duplicate"
    """Another row of its key is in the table."""


@dataclass(frozen=True)
class RejectFile:
    """The rejects of one layer of a batch, as its last transition left them."""

    record: BatchRecord
    log: LayerTransitionLog
    path: Path
    footer: Footer
    corrections: tuple[BatchRecord, ...]
    """Later batches that bring rejects of this one in, corrected."""

    @property
    def duplicates(self) -> set[str]:
        """Rules that set duplicates aside."""
        return {count.rule for count in self.log.rules if count.kind is RuleKind.DUPLICATE}

    def rows(self) -> pl.LazyFrame:
        """The rejected rows, as they are kept."""
        return pl.scan_parquet(self.path, glob=False)


def last_moves(record: BatchRecord) -> dict[Layer, LayerTransitionLog]:
    """The last transition that moved the batch into each layer."""
    return {log.target_layer: log for log in record.transitions if log.operation in MOVES}


def reject_files(
    config: PipelineConfig,
    record: BatchRecord,
    layer: Layer | None = None,
    known: Iterable[BatchRecord] | None = None,
) -> list[RejectFile]:
    """The rejects of a batch, layer by layer.

    Args:
        config: Where the data root is.
        record: The batch.
        layer: One layer; every one unless given.
        known: The records of all batches, where the caller has them.

    Raises:
        TableDamagedError: A file that the record names is not there.
    """
    found = []
    others: tuple[BatchRecord, ...] | None = None
    for member, log in last_moves(record).items():
        if log.quarantine_file is None or layer not in (None, member):
            continue
        path = config.data_root / log.quarantine_file
        if not path.is_file():
            raise TableDamagedError(
                f"the rejects {path} are not there",
                hint="restore the file from a backup; the record of the batch names it",
                table=record.table,
            )
        if others is None:
            every = lineage.all_records(config) if known is None else known
            others = tuple(other for other in every if other.cures == record.batch_id)
        found.append(RejectFile(record, log, path, read_footer(path), others))
    return found


def states(config: PipelineConfig, file: RejectFile) -> pl.DataFrame:
    """How each row of a reject file stands, in its order.

    Returns:
        `rule` (the first that it failed), `state`, and, where rows have an
        identity, `_source_file` and `_source_row`.
    """
    frame = file.rows()
    named = [name for name in _KEY if name in frame.collect_schema()]
    rows = frame.select(
        pl.col(REASONS).list.first().struct.field("rule").alias("rule"), *named
    ).collect(engine="streaming")
    state = pl.lit(str(RejectState.OPEN))
    state = (
        pl.when(pl.col("rule").is_in(list(file.duplicates)))
        .then(pl.lit(str(RejectState.DUPLICATE)))
        .otherwise(state)
    )
    rows = rows.with_columns(state.alias("state"))
    if named != _KEY:
        return _waived(rows, [w for w in _waivers(file) if w.records is None])
    cured = _cured(config, file.corrections)
    rows = rows.join(
        cured.with_columns(pl.lit(value=True).alias("cured")),
        on=_KEY,
        how="left",
        maintain_order="left",
        nulls_equal=False,
    )
    cure = pl.col("cured").fill_null(value=False) & (pl.col("state") == RejectState.OPEN)
    rows = rows.with_columns(
        pl.when(cure).then(pl.lit(str(RejectState.CURED))).otherwise("state").alias("state")
    ).drop("cured")
    return _waived(rows, _waivers(file))


def _waivers(file: RejectFile) -> list[Waiver]:
    name = file.log.quarantine_file
    return [waiver for waiver in file.record.waivers if waiver.quarantine_file == name]


def _waived(rows: pl.DataFrame, waivers: list[Waiver]) -> pl.DataFrame:
    open_ = pl.col("state") == RejectState.OPEN
    for waiver in waivers:
        meant = open_
        if waiver.records is not None:
            keys = [(r.source_file, r.source_row) for r in waiver.records]
            among = pl.struct(_KEY).is_in(
                pl.DataFrame(keys, schema=_NO_RECORDS.schema, orient="row").to_struct().implode()
            )
            meant = open_ & among.fill_null(value=False)
        rows = rows.with_columns(
            pl.when(meant).then(pl.lit(str(RejectState.WAIVED))).otherwise("state").alias("state")
        )
    return rows


def _cured(config: PipelineConfig, corrections: Iterable[BatchRecord]) -> pl.DataFrame:
    """The records that batches of corrections brought into silver, each once.

    Looked up in what those batches hold, not in a list of what was meant to come.
    """
    parts = [_arrived(config, record) for record in corrections]
    return pl.concat([_NO_RECORDS, *parts]).unique(maintain_order=True)


def _arrived(config: PipelineConfig, record: BatchRecord) -> pl.DataFrame:
    """Which records a batch of corrections has in silver: those that did not leave before."""
    moves = last_moves(record)
    staged, silver = moves.get(Layer.STAGED), moves.get(Layer.SILVER)
    done = (TransitionStatus.SUCCESS, TransitionStatus.PARTIAL)
    if staged is None or silver is None or silver.status not in done or not staged.target_file:
        return _NO_RECORDS
    path = config.data_root / staged.target_file
    if not path.is_file():
        return _NO_RECORDS
    rows = pl.scan_parquet(path, glob=False)
    gone = [
        file.rows() for file in reject_files(config, record, known=()) if file.log is not staged
    ]
    if silver.edges_file is not None:
        gone.append(pl.scan_parquet(config.data_root / silver.edges_file, glob=False))
    for left in gone:
        rows = rows.join(left.select(_KEY), on=_KEY, how="anti")
    return rows.select(
        pl.col(REJECTED_FILE).alias(SOURCE_FILE),
        pl.col(REJECTED_ROW).cast(pl.Int64).alias(SOURCE_ROW),
    ).collect(engine="streaming")


def need_identity(file: RejectFile) -> None:
    """Refuse work that has to name single records where they have no number.

    Raises:
        InvalidOptionError: The batch was ingested without row numbers.
    """
    if not file.footer.traceable or SOURCE_ROW not in file.rows().collect_schema():
        raise InvalidOptionError(
            "the rows of this batch do not name their source record",
            hint="look at them with `jobforge quarantine show`; ingest the corrected source "
            "as a batch of its own",
            batch=file.record.batch_id,
        )
