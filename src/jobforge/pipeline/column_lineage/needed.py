"""What an expression that Polars does not show is computed from: told by what it asks for.

Polars reads of an input only what a result needs. A result of one column that
needs more than the shown parts of it say needs the rest for the hidden part.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from jobforge.pipeline.column_lineage.flow import Flow, Origin
from jobforge.pipeline.column_lineage.plan import KNOWN, NotUnderstoodError
from jobforge.pipeline.column_lineage.record import Gap, Influence
from jobforge.quality.columns import columns

_MOST = 2_000
"""Hidden columns times columns up to which it is asked for them: a tenth of a second."""


def with_hidden_parts(flow: Flow, frame: pl.LazyFrame, base: pl.LazyFrame) -> Flow:
    """The flow, with the columns that hidden expressions are computed from.

    Args:
        flow: What the plan shows.
        frame: The frame.
        base: What it is made of; cached.
    """
    hidden = [name for name, origin in flow.columns.items() if origin.gap is Gap.EXPRESSION]
    # A function of Python needs all columns for all Polars knows, and what a hidden filter
    # needs cannot be told from what a column needs.
    if not hidden or flow.gaps - {Gap.EXPRESSION, Gap.OTHER_FRAME} or flow.rows.gap:
        return flow
    if len(hidden) * len(flow.columns) > _MOST:
        return flow
    told = {name: _told(flow, name, frame, base) for name in hidden}
    return replace(flow, columns={**flow.columns, **told})


def _told(flow: Flow, name: str, frame: pl.LazyFrame, base: pl.LazyFrame) -> Origin:
    origin = flow.columns[name]
    wanted = needed([name], frame, base)
    for_rows = {column for column, _ in flow.rows.sources}
    shown = {column for column, _ in origin.sources}
    rest = wanted - shown - for_rows
    sure = {column: _surely(column, name, flow, frame, base) for column in rest}
    found = {(column, Influence.TRANSFORMATION) for column, is_sure in sure.items() if is_sure}
    # What chooses the rows may be needed by the hidden part too, and would be seen once.
    told = not (wanted & for_rows) - shown and None not in sure.values()
    return replace(
        origin, sources=origin.sources | found, gap=None if told and wanted else origin.gap
    )


def _surely(
    column: str, name: str, flow: Flow, frame: pl.LazyFrame, base: pl.LazyFrame
) -> bool | None:
    """Whether a column of the input is needed for its values; None where that cannot be told.

    Polars may take more than it needs: some column where only the number of rows counts,
    all of them of a slice. So it is asked for columns that are others of the input, and
    then for this one too: what it takes more is needed.
    """
    beside = [n for n, o in flow.columns.items() if o.plain not in {None, column}]
    if not beside or column in needed(beside, frame, base):
        return None
    return column in needed([*beside, name], frame, base)


def needed(names: list[str], frame: pl.LazyFrame, base: pl.LazyFrame) -> set[str]:
    """Columns of an input that are read for some columns of a frame.

    Args:
        names: Columns of the frame.
        frame: The frame.
        base: What it is made of; cached.

    Raises:
        NotUnderstoodError: The plan has another form.
    """
    # A cache that is used once is not in an optimised plan: so the plan is one of two frames.
    end = base.select(pl.len().alias(f"__end_{uuid.uuid4().hex}"))
    both = pl.concat([frame.select(columns(names)), end], how="diagonal")
    plan = both._ldf.visit()  # noqa: SLF001 - Polars shows plans to Python this way
    if plan.version()[0] != KNOWN:
        raise NotUnderstoodError
    first, second = plan.get_inputs()
    ends = _caches(plan, second, {})
    if len(ends) != 1:
        raise NotUnderstoodError
    (number,) = ends
    return _caches(plan, first, {}).get(number, set())


def _caches(plan: Any, node: int, found: dict[int, set[str]]) -> Mapping[int, set[str]]:  # noqa: ANN401
    """The caches below a node, by their numbers, with the columns that are taken from each."""
    todo: list[tuple[int, list[str] | None]] = [(node, None)]
    while todo:
        at, chosen = todo.pop()
        plan.set_node(at)
        try:
            seen = plan.view_current_node()
        except NotImplementedError:
            seen = None
        kind = type(seen).__name__
        names = list(plan.get_schema())
        if kind == "Cache":
            found.setdefault(int(seen.id_), set()).update(chosen or names)
        chosen = names if kind == "SimpleProjection" else None
        todo += [(part, chosen) for part in plan.get_inputs()]
    return found
