"""Whether the files beside the rows hold what the account of their transition says.

Only what is certain is held: a step that multiplies rows, or gives a row the number of
another record, leaves some counts of source records open.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import polars as pl

from jobforge.pipeline.audit.findings import Findings
from jobforge.pipeline.chain import chain_entry_path
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.layers.leaving import DROPPED, EDGE_OUTCOME, FILTERED
from jobforge.pipeline.models import MOVES, LayerTransitionLog, TransitionStatus
from jobforge.quality.account import RowAccount
from jobforge.quality.quarantine import count_by_first_reason
from jobforge.storage.paths import relative_to_root

_DAMAGE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
_PUBLISHED = (TransitionStatus.SUCCESS, TransitionStatus.PARTIAL)


def check_beside(
    config: PipelineConfig,
    log: LayerTransitionLog,
    number: int,
    stands: AbstractSet[str | None],
    findings: Findings,
) -> None:
    """Hold rejects, edges and groups against the account of their transition.

    Args:
        config: Where the data root is.
        log: The transition.
        number: Of its entry in the chain.
        stands: Those of the files that have the bytes which were published.
        findings: What does not fit is added here.
    """
    account = log.account
    if account is None:
        return
    if log.quarantine_file is None:
        _check_named(config, log, account, number, findings)
    for file, check in (
        (log.quarantine_file, _rejects),
        (log.edges_file, _edges),
        (log.groups_file, _groups),
    ):
        if file is None or file not in stands:
            continue
        try:
            text = check(config, file, log, account)
        except _DAMAGE:
            continue  # its form is another one than that of this version
        if text:
            findings.add("count", file, text, number)


def _check_named(
    config: PipelineConfig,
    log: LayerTransitionLog,
    account: RowAccount,
    number: int,
    findings: Findings,
) -> None:
    """Rows in quarantine are in some file, where the transition came to its end."""
    rows = sum(_kept(account).values())
    if rows and log.status in _PUBLISHED and log.operation in MOVES:
        place = relative_to_root(chain_entry_path(config, number), config.data_root)
        text = f"its log says that {rows} rows are in quarantine, and names no file"
        findings.add("count", place, text, number)


def _kept(account: RowAccount) -> dict[str, int]:
    """Rows in quarantine by the first rule that each failed, duplicates too."""
    rows = {**account.quarantined, **account.deduplicated}
    return {rule: count for rule, count in rows.items() if count}


def _rejects(
    config: PipelineConfig,
    file: str,
    log: LayerTransitionLog,  # noqa: ARG001 - the checks are called alike
    account: RowAccount,
) -> str:
    """What does not fit of the rejects, each of which is one row, whatever it failed besides."""
    said, found = _kept(account), count_by_first_reason(config.data_root / file)
    rows, wanted = sum(found.values()), sum(said.values())
    if rows != wanted:
        return f"it has {rows} rows, and its log says {wanted}"
    other = sorted(rule for rule in {*said, *found} if said.get(rule) != found.get(rule))
    if not other:
        return ""
    return f"its rows are in quarantine for other rules than its log says: {', '.join(other)}"


def _edges(config: PipelineConfig, file: str, log: LayerTransitionLog, account: RowAccount) -> str:
    """What does not fit of the records that left: one line for each in silver.

    In gold several rows may be of one record, which is named once, if at all.
    """
    if log.target_layer is not Layer.SILVER:
        return ""
    outcomes = pl.scan_parquet(config.data_root / file, glob=False).select(EDGE_OUTCOME)
    found = dict(outcomes.group_by(EDGE_OUTCOME).len().collect(engine="streaming").iter_rows())
    left, gone = (sum(rows.values()) for rows in (account.filtered, account.dropped))
    if found.get(FILTERED, 0) != left:
        return f"it has {found.get(FILTERED, 0)} filtered records, and its log says {left}"
    # A function that gives a row the number of another record hides one more that is gone.
    if found.get(DROPPED, 0) < gone:
        return f"it has {found.get(DROPPED, 0)} dropped records, and its log says {gone}"
    return ""


def _groups(config: PipelineConfig, file: str, log: LayerTransitionLog, account: RowAccount) -> str:
    """What does not fit of the records in aggregates, of which every row has one at least."""
    frame = pl.scan_parquet(config.data_root / file, glob=False)
    rows = int(frame.select(pl.len()).collect().item())
    least, most = log.row_count_out or 0, account.rows_in + sum(account.generated.values())
    if len(log.transforms_applied) == 1:  # the only step gets every row that came in
        least = most = account.rows_in
    if least <= rows <= most:
        return ""
    wanted = f"{least}" if least == most else f"{least} to {most}"
    return f"it has {rows} records, and by its log there are {wanted}"
