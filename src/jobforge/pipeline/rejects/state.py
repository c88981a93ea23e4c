"""How the rejected rows of a batch stand: open, cured, waived, or duplicates that nobody misses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import polars as pl

from jobforge.errors import InvalidOptionError
from jobforge.pipeline.config import Layer
from jobforge.pipeline.footer import Footer, open_layer_file, read_footer
from jobforge.pipeline.models import BatchRecord, LayerTransitionLog, RecordRef, Waiver
from jobforge.pipeline.provenance import REJECTED_COLUMNS, SOURCE_FILE, SOURCE_ROW
from jobforge.pipeline.rejects.snapshot import Snapshot, standing_moves
from jobforge.quality.quarantine import REASONS
from jobforge.quality.rules import RuleKind

REJECTED_BATCH, REJECTED_FILE, REJECTED_ROW, REJECTED_REASONS = REJECTED_COLUMNS
KEY = [SOURCE_FILE, SOURCE_ROW]
_NO_RECORDS = pl.DataFrame(schema={SOURCE_FILE: pl.String, SOURCE_ROW: pl.Int64})


class RejectState(StrEnum):
    """How one rejected row stands."""

    OPEN = "open"
    CURED = "cured"
    """A later batch brought the record into silver, corrected."""
    WAIVED = "waived"
    """Somebody decided to leave it out."""
    DUPLICATE = "duplicate"
    """Another row of its key was chosen at that step; a later rule may have rejected that one."""


@dataclass(frozen=True)
class RejectFile:
    """The rejects of one layer of a batch."""

    record: BatchRecord
    log: LayerTransitionLog
    path: Path
    footer: Footer

    @property
    def duplicates(self) -> set[str]:
        """Rules that set duplicates aside."""
        return {count.rule for count in self.log.rules if count.kind is RuleKind.DUPLICATE}

    def rows(self) -> pl.LazyFrame:
        """The rejected rows, as they are kept."""
        return pl.scan_parquet(self.path, glob=False)


def reject_files(
    snapshot: Snapshot, record: BatchRecord, layer: Layer | None = None
) -> list[RejectFile]:
    """The rejects of a batch, layer by layer.

    Raises:
        TableDamagedError: A file that the record names is not there.
    """
    found = []
    for member, log in standing_moves(record).items():
        if log.quarantine_file is not None and layer in (None, member):
            path = snapshot.path(log.quarantine_file)
            found.append(RejectFile(record, log, path, read_footer(path)))
    return found


def states(snapshot: Snapshot, file: RejectFile) -> pl.DataFrame:
    """How each row of a reject file stands, in its order.

    Returns:
        `rule` (the first that it failed), `state`, and, where rows have an
        identity, `_source_file` and `_source_row`.
    """
    frame = file.rows()
    named = [name for name in KEY if name in frame.collect_schema()]
    first = pl.col(REASONS).list.first().struct.field("rule").alias("rule")
    rows = frame.select(first, *named).collect(engine="streaming")
    doubles = pl.col("rule").is_in(list(file.duplicates))
    rows = rows.with_columns(
        pl.when(doubles)
        .then(pl.lit(str(RejectState.DUPLICATE)))
        .otherwise(pl.lit(str(RejectState.OPEN)))
        .alias("state")
    )
    waivers = [w for w in file.record.waivers if w.quarantine_file == file.log.quarantine_file]
    if named != KEY:
        return _waived(rows, waivers, identified=False)
    cured = among(_cured(snapshot, file.record))
    return _waived(_set(rows, cured, RejectState.CURED), waivers, identified=True)


def among(records: pl.DataFrame) -> pl.Expr:
    """Whether a row is one of some records, by `_source_file` and `_source_row`."""
    keys = records.select(KEY).to_struct().implode()
    return pl.struct(KEY).is_in(keys).fill_null(value=False)


def refs(records: Iterable[RecordRef]) -> pl.DataFrame:
    """Records as rows of `_source_file` and `_source_row`."""
    keys = [(ref.source_file, ref.source_row) for ref in records]
    return pl.DataFrame(keys, schema=_NO_RECORDS.schema, orient="row")


def _set(rows: pl.DataFrame, meant: pl.Expr, state: RejectState) -> pl.DataFrame:
    """The rows with a state for those that are meant and open."""
    open_ = pl.col("state") == RejectState.OPEN
    chosen = pl.when(open_ & meant).then(pl.lit(str(state))).otherwise("state")
    return rows.with_columns(chosen.alias("state"))


def _waived(rows: pl.DataFrame, waivers: Sequence[Waiver], *, identified: bool) -> pl.DataFrame:
    for waiver in waivers:
        meant = pl.lit(value=True)
        if identified:
            meant = (
                among(refs(waiver.records))
                if waiver.records is not None
                else ~among(refs(waiver.besides))
            )
        rows = _set(rows, meant, RejectState.WAIVED)
    return rows


def _cured(snapshot: Snapshot, record: BatchRecord) -> pl.DataFrame:
    """The records of a batch that later ones brought into silver, corrected, each once.

    A batch that corrects rejects may have rejects itself: one of them is cured
    too where another batch brought the first record in.
    """
    own = brought_in(snapshot, record)
    first = next((r for r in snapshot.records if r.batch_id == record.cures), None)
    if first is None:
        return own
    known = _origins(snapshot, record)
    through = known.join(
        brought_in(snapshot, first),
        left_on=[REJECTED_FILE, REJECTED_ROW],
        right_on=KEY,
        how="semi",
    )
    return pl.concat([own, through.select(KEY)]).unique(maintain_order=True)


def brought_in(
    snapshot: Snapshot, record: BatchRecord, batches: set[str] | None = None
) -> pl.DataFrame:
    """The records of a batch that batches of corrections have in silver, each once.

    Looked up in what those batches hold, not in a list of what was meant to come.

    Args:
        snapshot: The records.
        record: The batch.
        batches: Look at these batches of corrections only.
    """
    parts = [_NO_RECORDS]
    for other in snapshot.corrections(record.batch_id):
        own = batches is None or other.batch_id in batches
        arrived = pl.concat(
            [
                _arrived(snapshot, other) if own else _NO_RECORDS,
                brought_in(snapshot, other, batches),
            ]
        )
        origins = _origins(snapshot, other).join(arrived.unique(), on=KEY, how="semi")
        parts.append(
            origins.select(
                pl.col(REJECTED_FILE).alias(SOURCE_FILE), pl.col(REJECTED_ROW).alias(SOURCE_ROW)
            )
        )
    return pl.concat(parts).unique(maintain_order=True)


def curers(snapshot: Snapshot, record: BatchRecord) -> list[str]:
    """The batches of corrections that have a record of a batch in silver."""
    return [
        other.batch_id
        for other in snapshot.corrections(record.batch_id)
        if _arrived(snapshot, other).height
    ]


def _origins(snapshot: Snapshot, record: BatchRecord) -> pl.DataFrame:
    """For each record of a batch of corrections the record that it corrects."""
    staged = standing_moves(record).get(Layer.STAGED)
    if staged is None or staged.target_file is None:
        return _NO_RECORDS.with_columns(
            pl.col(SOURCE_FILE).alias(REJECTED_FILE), pl.col(SOURCE_ROW).alias(REJECTED_ROW)
        )
    rows = pl.scan_parquet(snapshot.path(staged.target_file), glob=False)
    return rows.select(*KEY, REJECTED_FILE, pl.col(REJECTED_ROW).cast(pl.Int64)).collect(
        engine="streaming"
    )


def _arrived(snapshot: Snapshot, record: BatchRecord) -> pl.DataFrame:
    """The records of a batch that it has in silver: those that did not leave before."""
    moves = standing_moves(record)
    silver = moves.get(Layer.SILVER)
    if silver is None or silver.target_file is None:
        return _NO_RECORDS
    rows = _origins(snapshot, record).select(KEY).lazy()
    gone = [
        file.rows()
        for file in reject_files(snapshot, record)
        if file.log.target_layer in (Layer.BRONZE, Layer.SILVER)
    ]
    if silver.edges_file is not None:
        gone.append(pl.scan_parquet(snapshot.path(silver.edges_file), glob=False))
    for left in gone:
        rows = rows.join(left.select(KEY), on=KEY, how="anti", maintain_order="left")
    return rows.collect(engine="streaming")


def source_rows(snapshot: Snapshot, record: BatchRecord) -> pl.LazyFrame:
    """The records of the source of a batch, as staged has them."""
    staged = standing_moves(record)[Layer.STAGED]
    rows = open_layer_file(snapshot.path(str(staged.target_file)), Layer.STAGED).frame
    return rows.drop(REJECTED_COLUMNS, strict=False) if record.cures is not None else rows


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
