"""Which columns an expression of a Polars plan is computed from."""

from __future__ import annotations

from typing import Any

from jobforge.pipeline.column_lineage.flow import NOWHERE, Origin, column_origin, together
from jobforge.pipeline.column_lineage.record import Gap, Influence

_PARTS: dict[str, dict[str, Influence]] = {
    "Alias": {"expr": Influence.IDENTITY},
    "Agg": {"arguments": Influence.AGGREGATION},
    "BinaryExpr": {"left": Influence.TRANSFORMATION, "right": Influence.TRANSFORMATION},
    "Cast": {"expr": Influence.TRANSFORMATION},
    "Explode": {"expr": Influence.TRANSFORMATION},
    "Filter": {"input": Influence.TRANSFORMATION, "by": Influence.FILTER},
    "Function": {"input": Influence.TRANSFORMATION},
    "Gather": {"expr": Influence.TRANSFORMATION, "idx": Influence.FILTER},
    "Rolling": {"function": Influence.TRANSFORMATION, "index_column": Influence.WINDOW},
    "Slice": {
        "input": Influence.TRANSFORMATION,
        "offset": Influence.FILTER,
        "length": Influence.FILTER,
    },
    "Sort": {"expr": Influence.TRANSFORMATION},
    "SortBy": {"expr": Influence.TRANSFORMATION, "by": Influence.SORT},
    "Ternary": {
        "truthy": Influence.TRANSFORMATION,
        "falsy": Influence.TRANSFORMATION,
        "predicate": Influence.CONDITIONAL,
    },
    "Window": {
        "function": Influence.TRANSFORMATION,
        "partition_by": Influence.WINDOW,
        "order_by": Influence.WINDOW,
    },
}
"""The parts of each kind of expression, and what they do for it."""

_HIDDEN = Origin(gap=Gap.EXPRESSION)
_SAME_LENGTH = {
    "abs", "as_struct", "coalesce", "fill_nan", "fill_null", "fill_null_with_strategy", "reverse",
    "round", "shift",
}  # fmt: skip
"""Functions that give as many values as they get."""
_ELEMENT_WISE = {
    "Alias": ("expr",),
    "BinaryExpr": ("left", "right"),
    "Cast": ("expr",),
    "Sort": ("expr",),
    "SortBy": ("expr",),
    "Ternary": ("predicate", "truthy", "falsy"),
}
"""Parts that are as long as the whole."""


def origin_of(plan: Any, expression: int) -> Origin:  # noqa: ANN401 - has no public type
    """The columns that an expression names, and what each does for it.

    Args:
        plan: The plan, at the node that the expression is of.
        expression: Its number.
    """
    try:
        seen = plan.view_expression(expression)
    except NotImplementedError:
        return _HIDDEN
    kind = type(seen).__name__
    if kind == "Column":
        return column_origin(seen.name)
    if kind in {"Literal", "Len"}:
        return NOWHERE
    if kind not in _PARTS:
        return _HIDDEN
    return together(
        origin_of(plan, part).used(influence)
        for name, influence in _PARTS[kind].items()
        for part in _numbers(getattr(seen, name))
    )


def fixes_the_rows(plan: Any, expressions: list[int]) -> bool:  # noqa: ANN401
    """Whether the number of rows of a selection is known without looking at values.

    It is where one of the expressions has a value for every row, since the others
    have to be as long, or where each of them has one value.
    """
    shapes = [_shape(plan, expression) for expression in expressions]
    return "rows" in shapes or all(shape == "one" for shape in shapes)


def _shape(plan: Any, expression: int) -> str:  # noqa: ANN401
    """`rows` for a value for every row, `one` for one value, `other` for anything else."""
    try:
        seen = plan.view_expression(expression)
    except NotImplementedError:
        return "other"
    kind = type(seen).__name__
    if kind == "Column" or (kind == "Window" and seen.options.kind == "groups_to_rows"):
        return "rows"
    series = kind == "Literal" and type(seen.value).__name__ == "PySeries"
    if kind in {"Len", "Agg", "Literal"} and not series:
        return "one"
    parts = _ELEMENT_WISE.get(kind, ())
    if kind == "Function" and seen.function_data[0] in _SAME_LENGTH:
        parts = ("input",)
    shapes = {_shape(plan, part) for name in parts for part in _numbers(getattr(seen, name))}
    if not shapes or "other" in shapes:
        return "other"
    return "rows" if "rows" in shapes else "one"


def _numbers(part: Any) -> list[int]:  # noqa: ANN401
    if part is None:
        return []
    return list(part) if isinstance(part, (list, tuple)) else [part]
