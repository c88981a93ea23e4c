"""Which source records went into each row of an aggregate, where its grain is declared.

A group is every row that has its key when the first function makes one row of
several. What that function leaves out of a group by itself (a filter before its
`group_by`) nobody can see; where it leaves out a whole group, that is seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from jobforge.errors import GrainError, InvalidOptionError, nearest
from jobforge.pipeline.column_lineage.record import Influence
from jobforge.pipeline.column_lineage.trace import traced
from jobforge.pipeline.layers.guard import Guard
from jobforge.pipeline.layers.stages import Stage
from jobforge.pipeline.provenance import (
    BATCH_ID,
    PROVENANCE_DTYPES,
    SOURCE_FILE,
    SOURCE_ROW,
    data_columns,
)
from jobforge.pipeline.work import Written
from jobforge.quality.columns import columns, free_name

_GATHERING = (Influence.GROUP_BY, Influence.AGGREGATION)


def check_grain(grain: object) -> tuple[str, ...]:
    """The columns of a grain.

    Raises:
        InvalidOptionError: They are no list of different data columns.
    """
    names = tuple(grain) if isinstance(grain, (list, tuple)) else ()
    whole = isinstance(grain, (list, tuple)) and all(isinstance(name, str) for name in names)
    if not whole or len(set(names)) < len(names) or set(names) & set(PROVENANCE_DTYPES):
        raise InvalidOptionError(
            f"grain is {grain!r}",
            hint="list the columns that tell one row from another: ['region', 'month']",
        )
    return names


def groups_of(
    guard: Guard, stages: Sequence[Stage], finished: pl.LazyFrame, grain: tuple[str, ...]
) -> pl.LazyFrame | None:
    """The key of the group and the identity of each row that goes into an aggregate.

    Returns:
        None where no grain is declared, or where no function makes one row of several.

    Raises:
        GrainError: A column of the grain is not there, before or after.
    """
    if not grain:
        return None
    _check_there(guard, finished, grain, "the gold table has", "")
    loser = next((stage for stage in stages if not stage.identified or _gathers(stage)), None)
    if loser is None or not guard.opened.footer.traceable:
        return None
    before = loser.before
    hint = f"derive it in a step before {loser.step.name!r}"
    _check_there(guard, before, grain, f"the rows that {loser.step.name!r} gets have", hint)
    types, own = finished.collect_schema(), before.collect_schema()
    other = [name for name in grain if types[name] != own[name]]
    if other:
        raise GrainError(
            f"the grain {other[0]!r} is {own[other[0]]} before {loser.step.name!r}, and "
            f"{types[other[0]]} after",
            hint="cast it in a step before, so that a row and its records have one key",
            layer=guard.place.layer,
            table=guard.place.table,
            column=other[0],
        )
    file = (
        pl.col(SOURCE_FILE)
        if SOURCE_FILE in guard.key
        else pl.lit(guard.files[0], dtype=pl.String).alias(SOURCE_FILE)
    )
    batch = pl.lit(guard.opened.footer.batch_id, dtype=pl.String).alias(BATCH_ID)
    return before.filter(pl.col(SOURCE_ROW).is_not_null()).select(
        columns(grain), pl.col(SOURCE_ROW), file, batch
    )


def _gathers(stage: Stage) -> bool:
    """Whether a function makes one row of several, which may have the number of one of them."""
    if stage.chooses or stage.parting is not None:
        return False
    flow = traced(stage.frame, stage.before, computed=stage.computed)
    origins = (flow.rows, *flow.columns.values())
    return any(kind in _GATHERING for origin in origins for _, kind in origin.sources)


def _check_there(
    guard: Guard, frame: pl.LazyFrame, grain: tuple[str, ...], who: str, hint: str
) -> None:
    names = data_columns(frame.collect_schema().names())
    for name in grain:
        if name not in names:
            raise GrainError(
                f"{who} no column {name!r}, which the grain names",
                hint=hint or nearest(name, names),
                layer=guard.place.layer,
                table=guard.place.table,
                column=name,
            )


def check_groups(guard: Guard, grain: tuple[str, ...], written: Written) -> None:
    """Check that each row has a key of its own, and records.

    Raises:
        GrainError: Two rows have one key, or no record has the key of a row.
    """
    rows = pl.scan_parquet(written.target, glob=False).select(columns(grain))
    times = free_name("times", grain)
    twice = rows.group_by(columns(grain)).agg(pl.len().alias(times)).filter(pl.col(times) > 1)
    place = {"layer": guard.place.layer, "table": guard.place.table}
    number = int(twice.select(pl.len()).collect(engine="streaming").item())
    if number:
        raise GrainError(
            f"{number:,} keys of the grain {', '.join(grain)} are those of several rows",
            hint="name every column that tells one row from another",
            **place,
        )
    if written.groups is None:
        return
    groups = pl.scan_parquet(written.groups, glob=False).select(columns(grain))
    alone = rows.join(groups, on=list(grain), how="anti", nulls_equal=True)
    number = int(alone.select(pl.len()).collect(engine="streaming").item())
    if number:
        raise GrainError(
            f"{number:,} rows have a key of the grain {', '.join(grain)} that no record has",
            hint="derive the columns of the grain in a step before the aggregation, and leave "
            "them as they are after it",
            **place,
        )
