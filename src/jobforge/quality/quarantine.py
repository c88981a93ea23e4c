"""Quarantine: rejected rows as they were, with the reasons beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jobforge.quality.columns import column, free_name

REASONS = "_reasons"
STEP = "_step"
REASON_DTYPE = pl.Struct(
    {"rule": pl.String(), "column": pl.String(), "value": pl.String(), "reason": pl.String()}
)


@dataclass(frozen=True)
class Check:
    """One named condition that a row can fail.

    Args:
        rule: Name under which failures are counted.
        column: The column that it judges, as the row still has it.
        failed: Boolean expression, never null, true where the row fails.
        reason: What is wrong, for a person.
    """

    rule: str
    column: str
    failed: pl.Expr
    reason: str


@dataclass(frozen=True)
class Split:
    """A frame parted by checks: every row is in exactly one of the two."""

    good: pl.LazyFrame
    bad: pl.LazyFrame


def split(frame: pl.LazyFrame, checks: list[Check], step: str) -> Split:
    """Part a frame in rows that pass every check and rows that fail one.

    The checks are computed once, as boolean columns; reasons are built for
    the rejected rows only.

    Args:
        frame: The rows as they entered the step.
        checks: At least one.
        step: Name of the step, for `_step` of the rejected rows.
    """
    names = frame.collect_schema().names()
    flags = [free_name(f"__failed_{number}", names) for number in range(len(checks))]
    judged = frame.with_columns(
        check.failed.alias(flag) for check, flag in zip(checks, flags, strict=True)
    ).cache()
    any_failed = pl.any_horizontal(flags)
    reasons = pl.concat_list(
        pl.when(flag).then(
            pl.struct(
                pl.lit(check.rule).alias("rule"),
                pl.lit(check.column).alias("column"),
                column(check.column).cast(pl.String, strict=False).alias("value"),
                pl.lit(check.reason).alias("reason"),
            )
        )
        for check, flag in zip(checks, flags, strict=True)
    ).list.drop_nulls()
    bad = (
        judged.filter(any_failed)
        .with_columns(reasons.alias(REASONS), pl.lit(step, dtype=pl.String).alias(STEP))
        .drop(flags)
    )
    return Split(good=judged.filter(~any_failed).drop(flags), bad=bad)


def count_by_first_reason(path: Path) -> dict[str, int]:
    """Rows of a quarantine file by the first rule that each failed, most first."""
    rule = pl.col(REASONS).list.first().struct.field("rule")
    counted = (
        pl.scan_parquet(path, glob=False)
        .group_by(rule.alias("rule"))
        .agg(pl.len().alias("rows"))
        .sort("rows", "rule", descending=[True, False])
        .collect(engine="streaming")
    )
    return dict(counted.iter_rows())
