"""The rows that leave a layer: to quarantine, by a filter, or without a word."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from jobforge.contracts.contract import Contract
from jobforge.errors import JobforgeError, RejectLimitError
from jobforge.pipeline.layers.guard import Guard
from jobforge.pipeline.layers.identity import keys_of
from jobforge.pipeline.layers.stages import Seen, Stage
from jobforge.pipeline.models import Note
from jobforge.pipeline.provenance import BATCH_ID, PROVENANCE_DTYPES, SOURCE_FILE, SOURCE_ROW
from jobforge.pipeline.work import Verdict, Written
from jobforge.quality.account import RowAccount
from jobforge.quality.columns import columns
from jobforge.quality.declared import refusal
from jobforge.quality.quarantine import REASONS, STEP, count_by_first_reason, count_with, gathered
from jobforge.quality.rules import OnFail, RuleCount, RuleKind, exceeds

_SHOWN = 3
EDGE_STEP, EDGE_OUTCOME = "step", "outcome"
FILTERED, DROPPED = "filtered", "dropped"
"""What `outcome` says of a record in the edges: a declared filter, or a plain function."""


def rejects_of(guard: Guard, stages: Sequence[Stage]) -> pl.LazyFrame | None:
    """Every row that goes to quarantine, with the reasons before its provenance."""
    parts = [
        guard.stamped(stage.parting.rejects, identified=stage.identified)
        for stage in stages
        if stage.parting is not None and stage.parting.rejects is not None
    ]
    if not parts:
        return None
    rows = gathered(parts, [SOURCE_FILE, SOURCE_ROW])
    names = rows.collect_schema().names()
    last = [REASONS, STEP, *(name for name in PROVENANCE_DTYPES if name in names)]
    return rows.select(columns([*(name for name in names if name not in last), *last]))


def filtered_of(guard: Guard, stages: Sequence[Stage]) -> pl.LazyFrame | None:
    """The source records that declared filters leave out."""
    parts = [
        _edges(guard, stage.parting.filtered, pl.col(STEP), FILTERED)
        for stage in stages
        if stage.parting is not None and stage.parting.filtered is not None and stage.identified
    ]
    return pl.union(parts) if parts else None


def edges_of(
    guard: Guard,
    stages: Sequence[Stage],
    written: Written,
    account: RowAccount,
) -> pl.LazyFrame | None:
    """The source records that left without a trace in quarantine; None where there are none.

    Which they are is told by what was written: records of the input that are
    neither in the table, nor in quarantine, nor named by a filter in the same
    pass, were dropped by a function. Where several functions dropped some,
    they are asked again which one it was.
    """
    droppers = [
        stage
        for stage in stages
        if stage.parting is None and stage.identified and account.dropped.get(stage.step.name)
    ]
    named = written.filtered if account.filtered else None
    if not guard.opened.footer.traceable or (named is None and not droppers):
        return None
    held = written.rejects if account.quarantined or account.deduplicated else None
    files = [written.target, *([held] if held is not None else [])]
    there = [pl.scan_parquet(file, glob=False) for file in files]
    there = [rows for rows in there if SOURCE_ROW in rows.collect_schema()]
    parts = []
    if named is not None:
        if guard.lossy:
            # A record of which a step made several rows may still be there.
            named = _without(guard, named.unique(guard.key, keep="first"), there)
        parts.append(named)
        there.append(named)
    if droppers and SOURCE_ROW in pl.scan_parquet(written.target, glob=False).collect_schema():
        gone = _without(guard, keys_of(guard.opened.frame, guard.key), there)
        parts += _dropped(guard, droppers, gone)
    elif droppers:
        # The rows of the table no longer say which record they are from: each function is
        # asked again.
        for stage in droppers:
            kept = keys_of(stage.frame, guard.key)
            own = keys_of(stage.before, guard.key).unique().join(kept, on=guard.key, how="anti")
            parts.append(_edges(guard, own, pl.lit(stage.step.name), DROPPED))
    return pl.concat(parts).sort(SOURCE_FILE, SOURCE_ROW) if parts else None


def _without(guard: Guard, rows: pl.LazyFrame, there: list[pl.LazyFrame]) -> pl.LazyFrame:
    for other in there:
        keys = keys_of(other, guard.key)
        rows = rows.join(keys, on=guard.key, how="anti", maintain_order="left")
    return rows


def _dropped(guard: Guard, droppers: list[Stage], gone: pl.LazyFrame) -> list[pl.LazyFrame]:
    """Records that functions dropped, each under the function that did it."""
    parts = []
    for stage in droppers[:-1]:
        # A function whose result changes from run to run may say something else now; that
        # a record is gone stays true.
        kept = keys_of(stage.frame, guard.key)
        own = gone.join(kept, on=guard.key, how="anti", maintain_order="left")
        parts.append(_edges(guard, own, pl.lit(stage.step.name), DROPPED))
        gone = gone.join(kept, on=guard.key, how="semi", maintain_order="left")
    parts.append(_edges(guard, gone, pl.lit(droppers[-1].step.name), DROPPED))
    return parts


def by_kind(
    rules: Sequence[RuleCount], written: Written
) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Rows in quarantine, duplicates and filtered rows, by rule.

    The first two are counted in the file that was written.
    """
    kinds = {count.rule: count.kind for count in rules}
    kept_out = count_by_first_reason(written.rejects) if written.rejects else {}
    doubles = {rule: n for rule, n in kept_out.items() if kinds[rule] is RuleKind.DUPLICATE}
    others = {rule: n for rule, n in kept_out.items() if rule not in doubles}
    filtered = {c.rule: c.failed for c in rules if c.kind is RuleKind.KEEP and c.failed}
    return others, doubles, filtered


def verdict_of(
    guard: Guard,
    stages: Sequence[Stage],
    seen: Sequence[Seen],
    written: Written,
    account: RowAccount,
    contract: Contract | None = None,
    notes: tuple[Note, ...] = (),
) -> Verdict:
    """Whether a layer may be published, and what is said of it either way."""
    rules = tuple(count for entry in seen for count in entry.rules)
    stopped = _stopped(guard, stages, rules) or over_the_limit(contract, rules, account, written)
    return Verdict(
        account,
        (*guard.notes(list(stages), list(seen)), *notes, *warnings(rules)),
        stopped.at(layer=guard.place.layer, table=guard.place.table) if stopped else None,
        rules,
        edges_of(guard, stages, written, account) if stopped is None else None,
    )


def warnings(rules: Sequence[RuleCount]) -> tuple[Note, ...]:
    """What rules say that stop nobody, and those that were tolerated."""
    found = []
    for count in rules:
        if count.failed and count.on_fail is OnFail.WARN and count.exceeded:
            text = f"{count.failed:,} of {count.judged:,} rows fail {count.rule}; they stay"
            found.append(Note(topic="expectation", text=text))
        if count.failed and count.on_fail is OnFail.FAIL and not count.exceeded:
            text = (
                f"{count.failed:,} of {count.judged:,} rows fail {count.rule}: tolerated, they stay"
            )
            found.append(Note(topic="expectation", text=text))
    return tuple(found)


def over_the_limit(
    contract: Contract | None, rules: Sequence[RuleCount], account: RowAccount, written: Written
) -> JobforgeError | None:
    """The refusal of a batch of which more rows leave than its contract allows."""
    own = {c.rule: c.failed for c in rules if c.kind in (RuleKind.CAST, RuleKind.CHECK)}
    if contract is None or contract.max_rejects is None or written.rejects is None or not own:
        return None
    rows = count_with(written.rejects, set(own))
    if not exceeds(rows, account.rows_in, contract.max_rejects):
        return None
    limit = contract.max_rejects
    allowed = f"{limit:.4%}" if isinstance(limit, float) else f"{limit:,}"
    worst = max(own, key=own.__getitem__)
    return RejectLimitError(
        f"{rows:,} of {account.rows_in:,} rows ({rows / account.rows_in:.2%}) would leave for "
        f"quarantine, most of them by {worst}, and max_rejects is {allowed}",
        hint="look at the rejects: is the source another one, or the contract wrong?",
    )


def _stopped(
    guard: Guard, stages: Sequence[Stage], rules: Sequence[RuleCount]
) -> JobforgeError | None:
    """The refusal by the first rule that more rows fail than it tolerates."""
    for count in rules:
        if count.stopped:
            return refusal(count, _records(guard, stages, count.rule))
    return None


def _records(guard: Guard, stages: Sequence[Stage], rule: str) -> str:
    """The first source records that fail a rule, for its error."""
    for stage in stages:
        if stage.parting is not None and rule in stage.parting.flags and stage.identified:
            rows = stage.parting.failing(rule).select(guard.key)
            head = rows.head(_SHOWN + 1).collect(engine="streaming").rows()
            shown = [" of ".join(map(str, reversed(row))) for row in head[:_SHOWN]]
            more = ", ..." if len(head) > _SHOWN else ""
            return f" (records {', '.join(shown)}{more})"
    return ""


def _edges(guard: Guard, rows: pl.LazyFrame, step: pl.Expr, outcome: str) -> pl.LazyFrame:
    """Source records with the step that left them out; rows that name none are left alone."""
    file = (
        pl.col(SOURCE_FILE).cast(pl.String)
        if SOURCE_FILE in guard.key
        else pl.lit(guard.files[0], dtype=pl.String).alias(SOURCE_FILE)
    )
    return rows.filter(pl.col(SOURCE_ROW).is_not_null()).select(
        pl.col(SOURCE_ROW).cast(PROVENANCE_DTYPES[SOURCE_ROW]),
        file,
        pl.lit(guard.opened.footer.batch_id, dtype=pl.String).alias(BATCH_ID),
        step.cast(pl.String).alias(EDGE_STEP),
        pl.lit(outcome, dtype=pl.String).alias(EDGE_OUTCOME),
    )
