"""The rows that leave a layer: to quarantine, by a filter, or without a word."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from jobforge.contracts.contract import Contract
from jobforge.errors import JobforgeError, RejectLimitError
from jobforge.pipeline.layers.guard import Guard, Seen, Stage
from jobforge.pipeline.layers.identity import keys_of
from jobforge.pipeline.models import Note
from jobforge.pipeline.provenance import BATCH_ID, PROVENANCE_DTYPES, SOURCE_FILE, SOURCE_ROW
from jobforge.pipeline.writing import Verdict, Written
from jobforge.quality.account import RowAccount
from jobforge.quality.columns import columns
from jobforge.quality.declared import refusal
from jobforge.quality.quarantine import REASONS, STEP, count_by_first_reason, gathered
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
    rows = gathered(parts)
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
    return pl.concat(parts) if parts else None


def edges_of(
    guard: Guard,
    stages: Sequence[Stage],
    seen: Sequence[Seen],
    written: Written,
    account: RowAccount,
) -> pl.LazyFrame | None:
    """The source records that left without a trace in quarantine; None where there are none.

    What a declared filter leaves out was named in the pass that wrote the
    rows. What a plain function leaves out is looked up where it did so.
    """
    parts = []
    if written.filtered is not None and account.filtered:
        parts.append(written.filtered)
    for stage, _ in zip(stages, seen, strict=True):
        if stage.parting is None and stage.identified and account.dropped.get(stage.step.name):
            kept = keys_of(stage.frame, guard.key)
            gone = keys_of(stage.before, guard.key).unique().join(kept, on=guard.key, how="anti")
            parts.append(_edges(guard, gone, pl.lit(stage.step.name), DROPPED))
    if not parts:
        return None
    return pl.concat(parts).sort(SOURCE_FILE, SOURCE_ROW)


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
    stopped = _stopped(guard, stages, rules) or over_the_limit(contract, rules, account)
    return Verdict(
        account,
        (*guard.notes(list(stages), list(seen)), *notes, *warnings(rules)),
        stopped.at(layer=guard.place.layer, table=guard.place.table) if stopped else None,
        rules,
        edges_of(guard, stages, seen, written, account) if stopped is None else None,
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
    contract: Contract | None, rules: Sequence[RuleCount], account: RowAccount
) -> JobforgeError | None:
    """The refusal of a batch of which more rows leave than its contract allows."""
    if contract is None or contract.max_rejects is None:
        return None
    own = {c.rule for c in rules if c.kind in (RuleKind.CAST, RuleKind.CHECK)}
    rows = sum(n for rule, n in account.quarantined.items() if rule in own)
    if not exceeds(rows, account.rows_in, contract.max_rejects):
        return None
    limit = contract.max_rejects
    allowed = f"{limit:.4%}" if isinstance(limit, float) else f"{limit:,}"
    worst = next(rule for rule in account.quarantined if rule in own)
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
        if count.exceeded and count.on_fail is not OnFail.WARN:
            return refusal(count, _records(guard, stages, count.rule))
    return None


def _records(guard: Guard, stages: Sequence[Stage], rule: str) -> str:
    """The first source records that fail a rule, for its error."""
    for stage in stages:
        if stage.parting is not None and rule in stage.parting.failing and stage.identified:
            rows = stage.parting.failing[rule].select(guard.key)
            head = rows.head(_SHOWN).collect(engine="streaming")
            return " (records " + ", ".join(str(row[-1]) for row in head.rows()) + ", ...)"
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
