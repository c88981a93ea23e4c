"""Which of several steps changed a cell, where the record has all that it takes to tell.

Declared cleaning steps look at one value at a time and are made again from what the
record says of them, without any code of the user's. A function is not run: where it is
the last of the steps, what it did is what is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from jobforge.errors import InvalidRuleError
from jobforge.pipeline.audit.cells import same
from jobforge.pipeline.audit.traced import StepChange
from jobforge.pipeline.models import LayerTransitionLog
from jobforge.pipeline.transform_ref import TransformRef
from jobforge.quality.cleaning import Cleaning
from jobforge.quality.columns import column
from jobforge.quality.recipes import step_of


def step_by_step(
    log: LayerTransitionLog,
    name: str,
    steps: Sequence[str],
    row: Mapping[str, Any],
    after: Any,  # noqa: ANN401 - any cell
) -> tuple[StepChange, ...]:
    """What each step made of a cell, in order, without those that left it as it was.

    Args:
        log: The transition.
        name: The column, before and after.
        steps: The steps that work on it, in order.
        row: The row in the layer before.
        after: The cell in this layer.

    Returns:
        Nothing, where it cannot be told.
    """
    by_name = {reference.name: reference for reference in log.transforms_applied}
    value = row.get(name)
    found: list[StepChange] = []
    for position, step in enumerate(steps):
        made = _cleaned(by_name.get(step), name, value)
        if made is None:
            if position < len(steps) - 1:
                return ()
            made = (after,)
        if not same(made[0], value):
            found.append(StepChange(step=step, before=value, after=made[0]))
        value = made[0]
    return tuple(found) if same(value, after) else ()


def _cleaned(reference: TransformRef | None, name: str, value: object) -> tuple[Any] | None:
    """What a declared cleaning step makes of a value; None where the step is another."""
    if reference is None or reference.recipe is None or not isinstance(value, (str, type(None))):
        return None
    try:
        step = step_of(reference.recipe)
    except InvalidRuleError:
        return None
    if not isinstance(step, Cleaning):
        return None
    frame = pl.DataFrame({name: [value]}, schema={name: pl.String})
    try:
        return (frame.select(step.change(column(name))).item(),)
    except pl.exceptions.PolarsError:
        return None
