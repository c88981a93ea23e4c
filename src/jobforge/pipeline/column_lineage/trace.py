"""The columns of one frame in terms of another; nothing that is not sure, and no failure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import polars as pl

from jobforge.pipeline.column_lineage.flow import Flow, Origin, passed_on, together, untold
from jobforge.pipeline.column_lineage.needed import with_hidden_parts
from jobforge.pipeline.column_lineage.plan import cache_number, read_plan
from jobforge.pipeline.column_lineage.record import Gap, Influence


def traced(frame: pl.LazyFrame, base: pl.LazyFrame, *, computed: bool = False) -> Flow:
    """Where the columns of a frame come from.

    Args:
        frame: Made of `base`.
        base: A frame that is cached (`LazyFrame.cache`).
        computed: Whether whoever made the plan computed values of `base` before: a
            constant in it may be one of them then, or decide which column is taken.
    """
    try:
        flow = read_plan(frame, cache_number(base))
    except (Exception, pl.exceptions.PanicException):  # noqa: BLE001 - a plan that nobody foresaw
        return untold(frame.collect_schema().names(), Gap.PLAN)
    if computed:
        return _with_constants_of_the_data(flow)
    try:
        return with_hidden_parts(flow, frame, base)
    except (Exception, pl.exceptions.PanicException):  # noqa: BLE001 - what is shown stands
        return flow


def chosen(names: Sequence[str], by: Iterable[str]) -> Flow:
    """The flow of a frame of which rows leave, and the rest stays as it is.

    Args:
        names: Its columns.
        by: Columns that decide it.
    """
    return passed_on(names).chosen_by(by, Influence.FILTER)


def _with_constants_of_the_data(flow: Flow) -> Flow:
    gap = Origin(gap=Gap.PYTHON)
    columns = {
        name: origin if origin.plain == name else together([origin, gap])
        for name, origin in flow.columns.items()
    }
    return replace(flow, columns=columns, rows=together([flow.rows, gap]))
