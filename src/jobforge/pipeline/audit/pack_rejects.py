"""Rejected rows for a pack: every reason with how it stands, and no personal value."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from jobforge.contracts.contract import Contract
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.models import BatchRecord
from jobforge.pipeline.rejects.listing import MASK, may_be_shown, reject_rows
from jobforge.pipeline.rejects.snapshot import Snapshot
from jobforge.pipeline.rejects.state import reject_files
from jobforge.pipeline.schemas import SchemaHistory


def packed_rejects(
    config: PipelineConfig,
    record: BatchRecord,
    history: SchemaHistory | None,
    *,
    personal: bool,
) -> pl.DataFrame:
    """The rejected rows of a batch, one line for each reason.

    A pack leaves the house. So a column counts as personal that any contract of
    the table ever called so, and the text of a record that could not be read, of
    which nobody can say what stands in it, is personal where the table has such.

    Args:
        config: Where the data root is.
        record: The batch.
        history: The contracts of the table.
        personal: Whether to tell the values of personal columns.

    Raises:
        StorageError: A record or a file cannot be read.
    """
    rows = reject_rows(config, record.batch_id, personal=personal)
    declared = [version.contract for version in history.versions] if history is not None else []
    discreet = [d for d in declared if d is not None and Contract.from_dict(d).personal]
    if personal or not discreet:
        return rows
    for file in reject_files(Snapshot.of(config), record):
        layer = file.log.target_layer
        shown: set[str] = set()
        if layer is not Layer.STAGED:
            each = [
                may_be_shown(
                    replace(file, footer=file.footer.model_copy(update={"contract": contract}))
                )
                for contract in discreet
            ]
            shown = set.intersection(*(rules for rules in each if rules is not None))
        hidden = (pl.col("layer") == str(layer)) & ~pl.col("rule").is_in(sorted(shown))
        value = pl.when(hidden & pl.col("value").is_not_null()).then(pl.lit(MASK))
        rows = rows.with_columns(value.otherwise(pl.col("value")).alias("value"))
    return rows
