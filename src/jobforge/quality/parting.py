"""A frame parted by rules: every row stays, or leaves under a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import polars as pl

from jobforge.quality.columns import as_text, column, columns, free_name
from jobforge.quality.quarantine import REASON_DTYPE, REASONS, STEP
from jobforge.quality.rules import Rule, RuleCount, RuleKind


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
        judged: Every row as it was, with a flag for each rule; cached.
        flags: For each rule, by name, the column that says whether a row fails it.
    """

    rules: tuple[Rule, ...]
    kept: pl.LazyFrame
    rejects: pl.LazyFrame | None
    filtered: pl.LazyFrame | None
    tally: pl.LazyFrame
    judged: pl.LazyFrame
    flags: dict[str, str]

    def failing(self, rule: str) -> pl.LazyFrame:
        """The rows that fail a rule, with the flags."""
        return self.judged.filter(self.flags[rule])

    def without(self, names: Sequence[str]) -> Parting:
        """The same without some helping columns."""
        drop = columns(names)
        return replace(
            self,
            kept=self.kept.drop(drop),
            rejects=None if self.rejects is None else self.rejects.drop(drop),
            filtered=None if self.filtered is None else self.filtered.drop(drop),
        )

    def stays(self, tally: pl.DataFrame) -> int:
        """How many rows stay, as the computed tally says."""
        return int(tally.item(0, 1))

    def counts(self, tally: pl.DataFrame) -> list[RuleCount]:
        """What the computed tally says of each rule."""
        judged, _, *failed = (int(count) for count in tally.row(0))
        return [rule.counted(judged, n) for rule, n in zip(self.rules, failed, strict=True)]


def part(frame: pl.LazyFrame, rules: Sequence[Rule]) -> Parting:
    """Part a frame by rules that judge the same rows, all of them.

    Each rule is computed once, as a boolean column; reasons are built for the
    rows that leave only.

    Args:
        frame: The rows as they enter.
        rules: At least one. A filter (`keep`) stands alone.
    """
    schema = frame.collect_schema()
    flags = [free_name(f"__failed_{at}", schema) for at in range(len(rules))]
    judged = frame.with_columns(
        rule.failed.alias(flag) for rule, flag in zip(rules, flags, strict=True)
    ).cache()
    removing = [(rule, flag) for rule, flag in zip(rules, flags, strict=True) if rule.removes]
    leaves = pl.any_horizontal(flag for _, flag in removing) if removing else pl.lit(value=False)
    temporary = columns(flags)
    filters = rules[0].kind is RuleKind.KEEP
    left = None
    if removing:
        said = [] if filters else [_reasons(removing, schema)]
        few = judged.filter(leaves).with_columns(*said, _step(removing)).drop(temporary)
        left = few.with_columns(_copies(schema))
    return Parting(
        rules=tuple(rules),
        kept=(judged.filter(~leaves) if removing else judged).drop(temporary),
        rejects=None if filters else left,
        filtered=left if filters else None,
        tally=judged.select(
            pl.len().cast(pl.Int64).alias("judged"),
            (pl.len() - (leaves.sum() if removing else 0)).cast(pl.Int64).alias("stays"),
            *(pl.col(flag).sum().cast(pl.Int64) for flag in flags),
        ),
        judged=judged,
        flags={rule.name: flag for rule, flag in zip(rules, flags, strict=True)},
    )


def _copies(schema: pl.Schema) -> list[pl.Expr]:
    """The same text in memory of its own.

    Text that a filter lets through refers to the memory that it was read into. The
    few rows that leave would keep that of all the rows that stay: 30 bytes and more each.
    """
    return [column(name) + "" for name, dtype in schema.items() if isinstance(dtype, pl.String)]


Flagged = Sequence[tuple[Rule, str]]
"""Rules, each with the column that says which rows fail it."""


def _reasons(rules: Flagged, schema: pl.Schema) -> pl.Expr:
    """Every reason for which a row leaves."""
    reasons = pl.concat_list(
        pl.when(flag).then(
            pl.struct(
                pl.lit(rule.name).alias("rule"),
                pl.lit(", ".join(rule.columns)).alias("column"),
                _value(rule, schema).alias("value"),
                pl.lit(rule.reason).alias("reason"),
            )
        )
        for rule, flag in rules
    ).list.drop_nulls()
    return reasons.cast(pl.List(REASON_DTYPE)).alias(REASONS)


def _step(rules: Flagged) -> pl.Expr:
    """The step of the first rule that a row fails.

    Neighbours of one step are taken together: a contract has thousands of
    checks, and an expression that nests so deep ends the process.
    """
    runs = [
        (step, [flag for _, flag in run]) for step, run in groupby(rules, key=lambda r: r[0].step)
    ]
    return pl.coalesce(
        pl.when(pl.any_horizontal(flags)).then(pl.lit(step)) for step, flags in runs
    ).alias(STEP)


def _value(rule: Rule, schema: pl.Schema) -> pl.Expr:
    """What the row has in the columns of a rule, as text."""
    if not rule.columns:
        return pl.lit(None, dtype=pl.String)
    if len(rule.columns) == 1:
        (name,) = rule.columns
        return as_text(name, schema[name])
    parts = [
        pl.concat_str(pl.lit(f"{name}="), as_text(name, schema[name]).fill_null("null"))
        for name in rule.columns
    ]
    return pl.concat_str(parts, separator=", ")
