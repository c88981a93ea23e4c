"""Rejected rows for a pack: every reason with how it stands, and no personal value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from jobforge.contracts.contract import Contract
from jobforge.errors import TableDamagedError
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.footer import read_footer
from jobforge.pipeline.models import BatchRecord
from jobforge.pipeline.rejects.listing import MASK, may_be_shown, reject_rows
from jobforge.pipeline.rejects.snapshot import Snapshot
from jobforge.pipeline.rejects.state import reject_files
from jobforge.pipeline.schemas import SchemaHistory
from jobforge.quality.rules import RuleKind

_OWN_WORDS = {
    RuleKind.CHECK: "fails this check of the contract",
    RuleKind.CAST: "cannot be cast as the contract says",
}
"""In place of reasons that repeat what a contract says: a pattern, a bound, the words of a type."""


def discreet_contracts(
    config: PipelineConfig,
    domain: str,
    table: str,
    history: SchemaHistory | None,
    snapshot: Snapshot | None = None,
) -> tuple[dict[str, Any], ...]:
    """Every contract of a table that is known and classes a column as personal.

    Those of the schema versions, and those that rejected rows name: a batch that was
    stopped in bronze made no schema version, and its rejects are there all the same.

    Args:
        config: Where the data root is.
        domain: Business domain of the table.
        table: Its name.
        history: Its schema versions.
        snapshot: All batch records; read unless given.

    Raises:
        StorageError: A record, or a file of rejects that is there, cannot be read.
    """
    declared = [version.contract for version in history.versions] if history is not None else []
    snapshot = snapshot or Snapshot.of(config)
    for record in snapshot.records:
        for log in record.transitions if (record.domain, record.table) == (domain, table) else ():
            if log.quarantine_file is None:
                continue
            try:
                path = snapshot.path(log.quarantine_file)
            except TableDamagedError:
                continue  # removed, on purpose or not: what it said nobody can tell
            declared.append(read_footer(path).contract)
    return tuple(
        found for found in declared if found is not None and Contract.from_dict(found).personal
    )


def packed_rejects(
    config: PipelineConfig,
    record: BatchRecord,
    discreet: Sequence[dict[str, Any]] | None,
    *,
    personal: bool,
    snapshot: Snapshot | None = None,
) -> pl.DataFrame:
    """The rejected rows of a batch, one line for each reason.

    A pack leaves the house. So a column counts as personal that any contract of
    the table calls so, and the text of a record that could not be read, of
    which nobody can say what stands in it, is personal where the table has such.

    Args:
        config: Where the data root is.
        record: The batch.
        discreet: The contracts of the table that have personal columns; None where that
            cannot be told, and every value may be personal.
        personal: Whether to tell the values of personal columns.
        snapshot: All batch records; read unless given.

    Raises:
        StorageError: A record or a file cannot be read.
    """
    snapshot = snapshot or Snapshot.of(config)
    rows = reject_rows(config, record.batch_id, personal=personal, snapshot=snapshot)
    if personal or (discreet is not None and not discreet):
        return rows
    for file in reject_files(snapshot, record):
        layer = file.log.target_layer
        shown: set[str] = set()
        if layer is not Layer.STAGED and discreet is not None:
            each = [
                may_be_shown(
                    replace(file, footer=file.footer.model_copy(update={"contract": contract}))
                )
                for contract in discreet
            ]
            shown = set.intersection(*(rules for rules in each if rules is not None))
        own = pl.col("layer") == str(layer)
        hidden = own & ~pl.col("rule").is_in(sorted(shown))
        value = pl.when(hidden & pl.col("value").is_not_null()).then(pl.lit(MASK))
        rows = rows.with_columns(value.otherwise(pl.col("value")).alias("value"))
        for kind, words in _OWN_WORDS.items():
            rules = [count.rule for count in file.log.rules if count.kind is kind]
            reason = pl.when(own & pl.col("rule").is_in(rules)).then(pl.lit(words))
            rows = rows.with_columns(reason.otherwise(pl.col("reason")).alias("reason"))
    return rows
