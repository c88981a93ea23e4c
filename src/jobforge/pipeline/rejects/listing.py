"""What is in quarantine: counts for every batch, and the rows with their reasons."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
from pydantic import NonNegativeInt

from jobforge.contracts.contract import Contract
from jobforge.pipeline import lineage, query
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.models import TransitionStatus
from jobforge.pipeline.provenance import SOURCE_FILE, SOURCE_ROW
from jobforge.pipeline.records import Record
from jobforge.pipeline.rejects.state import RejectFile, RejectState, reject_files, states
from jobforge.quality.quarantine import REASONS, STEP

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
    records = query.batches(config, table)
    correcting = [record for record in records if record.cures is not None]
    return [
        _summary(config, file)
        for record in records
        for file in reject_files(config, record, known=correcting)
    ]


def reject_rows(
    config: PipelineConfig,
    batch_id: str,
    layer: Layer | None = None,
    *,
    personal: bool = False,
) -> pl.DataFrame:
    """The rejected rows of a batch, one line for each reason.

    Args:
        config: Where the data root is.
        batch_id: The batch.
        layer: The layer that rejected them; every one unless given.
        personal: Whether to show the values of personal columns.

    Returns:
        `layer`, `step`, `file`, `record`, `rule`, `column`, `value`, `reason`, `state`.

    Raises:
        TableNotFoundError: There is no such batch.
        StorageError: A record or a file cannot be read.
    """
    record = lineage.known(config, batch_id)
    parts = [
        _lines(config, file, personal=personal) for file in reject_files(config, record, layer)
    ]
    schema = dict.fromkeys(
        ("layer", "step", "file", "record", "rule", "column", "value", "reason", "state"), pl.String
    )
    empty = pl.DataFrame(schema={**schema, "record": pl.Int64})
    return pl.concat([empty, *parts])


def may_be_shown(file: RejectFile) -> set[str] | None:
    """The rules whose values are of no personal column; None where all are."""
    declared = file.footer.contract
    shown = Contract.from_dict(declared).shown if declared is not None else None
    if shown is None:
        return None
    return {count.rule for count in file.log.rules if shown.issuperset(count.columns)}


def _summary(config: PipelineConfig, file: RejectFile) -> RejectSummary:
    rows = states(config, file)
    log = file.log
    return RejectSummary(
        batch_id=file.record.batch_id,
        table=file.record.table,
        domain=file.record.domain,
        layer=log.target_layer,
        stopped=log.status is TransitionStatus.FAILED,
        file=str(log.quarantine_file),
        rules=dict(_counted(rows, "rule")),
        states={RejectState(name): n for name, n in _counted(rows, "state")},
    )


def _counted(rows: pl.DataFrame, name: str) -> Iterator[tuple[str, int]]:
    counted = rows.group_by(name).len().sort(["len", name], descending=[True, False])
    yield from counted.iter_rows()


def _lines(config: PipelineConfig, file: RejectFile, *, personal: bool) -> pl.DataFrame:
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
    rows = rows.with_columns(states(config, file)["state"])
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
