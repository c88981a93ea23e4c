"""A frame parted by rules: every row stays, or leaves at one step under a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import polars as pl

from jobforge.quality.columns import as_text, column, columns, free_name
from jobforge.quality.quarantine import REASON_DTYPE, REASONS, STEP
from jobforge.quality.rules import Rule, RuleCount, RuleKind

Group = Sequence[Rule]
"""Rules that judge the same rows, together; what leaves at one group is not seen by the next."""


@dataclass(frozen=True)
class Parting:
    """What becomes of the rows of a frame; every row is in exactly one of three frames.

    Args:
        rules: Every rule, in order.
        kept: The rows that stay.
        rejects: Rows for quarantine, as they were, with `_reasons` and `_step`;
            None where no rule sends rows there.
        filtered: Rows that a filter left out, with `_step`; None where there is
            no filter.
        tally: One row of counts, to be computed in the same pass.
        failing: For each rule, the rows that it judged and that fail it.
    """

    rules: tuple[Rule, ...]
    kept: pl.LazyFrame
    rejects: pl.LazyFrame | None
    filtered: pl.LazyFrame | None
    tally: pl.LazyFrame
    failing: dict[str, pl.LazyFrame]

    def without(self, names: Sequence[str]) -> Parting:
        """The same without some helping columns."""
        drop = columns(names)
        return replace(
            self,
            kept=self.kept.drop(drop),
            rejects=None if self.rejects is None else self.rejects.drop(drop),
            filtered=None if self.filtered is None else self.filtered.drop(drop),
            failing={name: rows.drop(drop) for name, rows in self.failing.items()},
        )

    def counts(self, tally: pl.DataFrame) -> list[RuleCount]:
        """What the computed tally says of each rule."""
        row = tally.row(0)
        return [
            rule.counted(int(row[2 * at]), int(row[2 * at + 1]))
            for at, rule in enumerate(self.rules)
        ]


def part(frame: pl.LazyFrame, groups: Sequence[Group]) -> Parting:
    """Part a frame by groups of rules.

    Each rule is computed once, as a boolean column; reasons are built for the
    rows that leave only.

    Args:
        frame: The rows as they enter the first group.
        groups: In order. A filter (`keep`) stands in a group of its own.
    """
    rules = tuple(rule for group in groups for rule in group)
    schema = frame.collect_schema()
    flags = {rule.name: free_name(f"__failed_{n}", schema) for n, rule in enumerate(rules)}
    judged = frame.with_columns(rule.failed.alias(flags[rule.name]) for rule in rules).cache()
    reached: dict[str, pl.Expr | None] = {}
    """For each rule, whether a row is still there when its group comes; None where all are."""
    leaves: dict[bool, list[pl.Expr]] = {True: [], False: []}
    """Whether a row leaves at a group, by whether that is a filter."""
    gone: list[str] = []
    for group in groups:
        here = ~pl.any_horizontal(gone) if gone else None
        reached |= {rule.name: here for rule in group}
        removing = [flags[rule.name] for rule in group if rule.removes]
        if removing:
            leaves[group[0].kind is RuleKind.KEEP].append(_both(here, pl.any_horizontal(removing)))
            gone += removing
    failing = {rule.name: _both(reached[rule.name], column(flags[rule.name])) for rule in rules}
    rest = judged.filter(~pl.any_horizontal(gone)) if gone else judged
    temporary = columns(flags.values())
    rejected = [rule for rule in rules if rule.removes and rule.kind is not RuleKind.KEEP]
    filters = [rule for rule in rules if rule.kind is RuleKind.KEEP]
    return Parting(
        rules=rules,
        kept=rest.drop(temporary),
        rejects=_with_reasons(judged, leaves[False], rejected, failing, schema).drop(temporary)
        if rejected
        else None,
        filtered=judged.filter(pl.any_horizontal(leaves[True]))
        .with_columns(_step(filters, failing))
        .drop(temporary)
        if filters
        else None,
        tally=judged.select(
            expression
            for n, rule in enumerate(rules)
            for expression in (
                _count(reached[rule.name]).alias(f"judged_{n}"),
                _count(failing[rule.name]).alias(f"failed_{n}"),
            )
        ),
        failing={rule.name: judged.filter(failing[rule.name]).drop(temporary) for rule in rules},
    )


def _both(first: pl.Expr | None, second: pl.Expr) -> pl.Expr:
    return second if first is None else first & second


def _count(flag: pl.Expr | None) -> pl.Expr:
    return (pl.len() if flag is None else flag.sum()).cast(pl.Int64)


def _with_reasons(
    judged: pl.LazyFrame,
    leaves: list[pl.Expr],
    rules: list[Rule],
    failing: dict[str, pl.Expr],
    schema: pl.Schema,
) -> pl.LazyFrame:
    """The rows that leave for quarantine, with every reason of the group at which they do."""
    reasons = pl.concat_list(
        pl.when(failing[rule.name]).then(
            pl.struct(
                pl.lit(rule.name).alias("rule"),
                pl.lit(", ".join(rule.columns)).alias("column"),
                _value(rule, schema).alias("value"),
                pl.lit(rule.reason).alias("reason"),
            )
        )
        for rule in rules
    ).list.drop_nulls()
    return judged.filter(pl.any_horizontal(leaves)).with_columns(
        reasons.cast(pl.List(REASON_DTYPE)).alias(REASONS), _step(rules, failing)
    )


def _step(rules: list[Rule], failing: dict[str, pl.Expr]) -> pl.Expr:
    """The step of the first rule that a row fails."""
    chain = reduce(
        lambda rest, rule: pl.when(failing[rule.name]).then(pl.lit(rule.step)).otherwise(rest),
        reversed(rules),
        pl.lit(None, dtype=pl.String),
    )
    return chain.alias(STEP)


def _value(rule: Rule, schema: pl.Schema) -> pl.Expr:
    """What the row has in the columns of a rule, as text."""
    if len(rule.columns) == 1:
        (name,) = rule.columns
        return as_text(name, schema[name])
    parts = [
        pl.concat_str(pl.lit(f"{name}="), as_text(name, schema[name]).fill_null("null"))
        for name in rule.columns
    ]
    return pl.concat_str(parts, separator=", ")
