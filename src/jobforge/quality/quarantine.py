"""Quarantine: rejected rows as they were, with the reasons beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from jobforge.quality.columns import column, columns, free_name

REASONS = "_reasons"
STEP = "_step"
REASON_DTYPE = pl.Struct(
    {"rule": pl.String(), "column": pl.String(), "value": pl.String(), "reason": pl.String()}
)


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


def count_with(path: Path, rules: set[str]) -> int:
    """Rows of a quarantine file that failed one of some rules, whichever they failed first."""
    named = pl.col(REASONS).list.eval(pl.element().struct.field("rule").is_in(sorted(rules)))
    frame = pl.scan_parquet(path, glob=False).select(named.list.any().sum())
    return int(frame.collect(engine="streaming").item() or 0)


def gathered(parts: Sequence[pl.LazyFrame], order: Sequence[str] = ()) -> pl.LazyFrame:
    """Rows that left at different steps in one frame, each with the columns that it had.

    A column that one part does not have is null there. Where a step changed
    the type of a column, the values from after it stand in a column of their
    own, `name#2`, so that each stays as it was.

    Args:
        parts: At least one.
        order: Columns by which the rows of each part are put in order; those that
            are not there do not count.
    """
    types: dict[str, pl.DataType] = {}
    renamed = []
    schemas = [part.collect_schema() for part in parts]
    taken = {name for schema in schemas for name in schema}
    for part, schema in zip(parts, schemas, strict=True):
        moved: dict[str, str] = {}
        for name, dtype in schema.items():
            place, number = name, 1
            while types.setdefault(place, dtype) != dtype:
                number += 1
                place = free_name(f"{name}#{number}", taken)
            moved[name] = place
        renamed.append(part.select(column(name).alias(place) for name, place in moved.items()))
    if len(renamed) == 1:
        return renamed[0]
    # In a concatenation the later parts wait for the first, and what they are made of waits with
    # them in memory: a union takes rows as they come, and the few that leave are sorted.
    part_of = free_name("__part", taken)
    numbered = [part.with_columns(pl.lit(at).alias(part_of)) for at, part in enumerate(renamed)]
    keys = [column(name) for name in order if name in types]
    rows = pl.union(numbered, how="diagonal").sort(part_of, *keys, maintain_order=True)
    return rows.drop(columns([part_of]))
