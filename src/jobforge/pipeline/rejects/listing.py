"""What is in quarantine: counts for every batch, and the rows with their reasons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl
from pydantic import NonNegativeInt

from jobforge.contracts.contract import Contract
from jobforge.errors import StorageError
from jobforge.pipeline import lineage, query
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.models import BatchRecord, LayerTransitionLog
from jobforge.pipeline.provenance import SOURCE_FILE, SOURCE_ROW
from jobforge.pipeline.records import Record
from jobforge.pipeline.rejects.snapshot import Snapshot, standing_moves
from jobforge.pipeline.rejects.state import RejectFile, RejectState, reject_files, states
from jobforge.quality.quarantine import REASONS, STEP
from jobforge.quality.rules import RuleKind

MASK = "[masked]"
"""Stands in place of a value of a personal column."""


class RejectSummary(Record):
    """The rejects of one layer of one batch."""

    batch_id: str
    table: str
    domain: str
    layer: Layer
    stopped: bool
    """Whether the layer was not published: then its good rows are not in the table either."""
    file: str
    """Relative to the data root."""
    rules: dict[str, NonNegativeInt]
    """Rows by the first rule that each failed, most first."""
    states: dict[RejectState, NonNegativeInt]
    """Rows by how they stand; a state that no row has is left out."""
    damaged: str | None = None
    """Why nothing can be said of them, where that is so."""

    @property
    def open(self) -> int:
        """Rows that nobody has seen to."""
        return self.states.get(RejectState.OPEN, 0)


def rejects(config: PipelineConfig, table: str | None = None) -> list[RejectSummary]:
    """What is in quarantine, oldest batch first.

    Args:
        config: Where the data root is.
        table: `table` or `domain/table`; every table unless given.

    Raises:
        DataRootError: There is no such folder.
        TableNotFoundError: There is no such table.
        StorageError: A record or a file cannot be read.
    """
    snapshot = Snapshot(config, tuple(query.batches(config, table)))
    return [
        _summary(snapshot, record, log)
        for record in snapshot.records
        for log in standing_moves(record).values()
        if log.quarantine_file is not None
    ]


def reject_rows(
    config: PipelineConfig,
    batch_id: str,
    layer: Layer | None = None,
    *,
    personal: bool = False,
    snapshot: Snapshot | None = None,
) -> pl.DataFrame:
    """The rejected rows of a batch, one line for each reason.

    Args:
        config: Where the data root is.
        batch_id: The batch.
        layer: The layer that rejected them; every one unless given.
        personal: Whether to show the values of personal columns.
        snapshot: All batch records; read unless given.

    Returns:
        `layer`, `step`, `file`, `record`, `rule`, `column`, `value`, `reason`, `state`.

    Raises:
        TableNotFoundError: There is no such batch.
        StorageError: A record or a file cannot be read.
    """
    record = lineage.known(config, batch_id)
    snapshot = snapshot or Snapshot.of(config)
    files = reject_files(snapshot, record, layer)
    parts = [_lines(snapshot, file, personal=personal) for file in files]
    schema = dict.fromkeys(
        ("layer", "step", "file", "record", "rule", "column", "value", "reason", "state"), pl.String
    )
    empty = pl.DataFrame(schema={**schema, "record": pl.Int64})
    return pl.concat([empty, *parts])


def personal_sources(files: Sequence[RejectFile]) -> set[str]:
    """The columns of the source that a contract classes as personal."""
    declared = [file.footer.contract for file in files if file.footer.contract is not None]
    contracts = [Contract.from_dict(contract) for contract in declared]
    return {contract.source_of(name) for contract in contracts for name in contract.personal}


def may_be_shown(file: RejectFile) -> set[str] | None:
    """The rules whose values are of no personal column; None where all are."""
    declared = file.footer.contract
    contract = Contract.from_dict(declared) if declared is not None else None
    if contract is None or not contract.personal:
        return None
    for log in standing_moves(file.record).values():
        if any(not step.definition for step in log.transforms_applied):
            return set()  # a function may have put a personal value into any column
        if log is file.log:
            break
    names = {kind: contract.shown(source=kind is RuleKind.CAST) or set() for kind in RuleKind}
    return {c.rule for c in file.log.rules if names[c.kind].issuperset(c.columns)}


def _summary(snapshot: Snapshot, record: BatchRecord, log: LayerTransitionLog) -> RejectSummary:
    about = {
        "batch_id": record.batch_id,
        "table": record.table,
        "domain": record.domain,
        "layer": log.target_layer,
        "stopped": log.target_file is None,
        "file": str(log.quarantine_file),
    }
    try:
        (file,) = reject_files(snapshot, record, log.target_layer)
        rows = states(snapshot, file)
    except StorageError as error:
        # One file that is gone does not hide what is known of all others.
        return RejectSummary(**about, rules={}, states={}, damaged=error.message)
    return RejectSummary(
        **about,
        rules=dict(_counted(rows, "rule")),
        states={RejectState(name): n for name, n in _counted(rows, "state")},
    )


def _counted(rows: pl.DataFrame, name: str) -> Iterator[tuple[str, int]]:
    counted = rows.group_by(name).len().sort(["len", name], descending=[True, False])
    yield from counted.iter_rows()


def _lines(snapshot: Snapshot, file: RejectFile, *, personal: bool) -> pl.DataFrame:
    frame = file.rows()
    schema = frame.collect_schema()
    shown = None if personal else may_be_shown(file)
    reason = pl.col(REASONS).struct
    value = reason.field("value")
    if shown is not None:
        known = reason.field("rule").is_in(sorted(shown))
        value = pl.when(known | value.is_null()).then(value).otherwise(pl.lit(MASK))
    number = pl.col(SOURCE_ROW) if SOURCE_ROW in schema else pl.lit(None, dtype=pl.Int64)
    rows = frame.select(
        pl.lit(str(file.log.target_layer)).alias("layer"),
        pl.col(STEP).alias("step"),
        pl.col(SOURCE_FILE).alias("file"),
        number.alias("record"),
        pl.col(REASONS),
    ).collect(engine="streaming")
    rows = rows.with_columns(states(snapshot, file)["state"])
    return rows.explode(REASONS).select(
        "layer",
        "step",
        "file",
        "record",
        reason.field("rule"),
        reason.field("column"),
        value.alias("value"),
        reason.field("reason"),
        "state",
    )
