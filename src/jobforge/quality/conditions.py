"""What a condition may be: one boolean expression that judges each row by itself.

A row's verdict must not depend on which other rows stand beside it: they may
have left at an earlier step, or sit in another file or on another machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import polars as pl

from jobforge.errors import InvalidRuleError

_MEND = "compute the column in a function before, then judge it: lf.with_columns(...)"
# Kinds of a node in the tree of an expression, as Polars writes it in JSON.
_GROUPING = {"Agg", "Len", "AnonymousAgg"}
_MOVING = {"Over", "Window", "Rolling", "Sort", "SortBy", "Filter", "Gather", "Slice", "Explode"}
_MOVING_FUNCTIONS = {
    "ArgMax", "ArgMin", "ArgSort", "ArgUnique", "BackwardFill", "Diff", "DropNans", "DropNulls",
    "ExtendConstant", "FillNullWithStrategy", "ForwardFill", "GatherEvery", "Hist", "Interpolate",
    "InterpolateBy", "IsDuplicated", "IsFirstDistinct", "IsLastDistinct", "IsSorted", "IsUnique",
    "Mode", "PctChange", "PeakMax", "PeakMin", "QCut", "Random", "Rank", "Repeat", "Reshape",
    "Reverse", "RLE", "RLEID", "SearchSorted", "Shift", "ShiftAndFill", "TopK", "TopKBy", "Unique",
    "UniqueCounts", "ValueCounts",
}  # fmt: skip
_MOVING_STARTS = ("Cum", "Ewm", "Rolling")
_GROUPING_FUNCTIONS = {
    "All", "Any", "ApproxNUnique", "Correlation", "Count", "Entropy", "First", "HasNulls",
    "IndexOf", "Kurtosis", "Last", "Max", "Mean", "Median", "Min", "NullCount", "NUnique",
    "Product", "Quantile", "Skew", "Std", "Sum", "Var",
}  # fmt: skip
_INSIDE = ("ListExpr", "ArrayExpr", "StructExpr", "StringExpr", "TemporalExpr", "BinaryExpr")


def check_condition(rule: str, condition: object) -> pl.Expr:
    """Refuse what cannot judge a row, as far as that can be told without a frame.

    Raises:
        InvalidRuleError: It is no expression, names no column, gives more than
            one answer, aggregates, or looks at other rows.
    """
    if not isinstance(condition, pl.Expr):
        raise InvalidRuleError(
            f"the rule is a {type(condition).__name__}, not an expression",
            hint='use a Polars expression: pl.col("quantity") > 0',
            rule=rule,
        )
    nodes = list(_nodes(condition))
    if not condition.meta.root_names() and not any(kind == "Selector" for kind, _ in nodes):
        raise InvalidRuleError(
            "the rule names no column", hint='judge a column: pl.col("quantity") > 0', rule=rule
        )
    for kind, function in nodes:
        if kind in _GROUPING or function in _GROUPING_FUNCTIONS:
            raise InvalidRuleError("the rule aggregates rows", hint=_MEND, rule=rule)
        if kind in _MOVING or function in _MOVING_FUNCTIONS or function.startswith(_MOVING_STARTS):
            raise InvalidRuleError("the rule looks at other rows", hint=_MEND, rule=rule)
    return condition


def check_boolean(rule: str, condition: pl.Expr, frame: pl.LazyFrame) -> None:
    """Refuse a condition that does not give one boolean for each row of a frame.

    Raises:
        InvalidRuleError: It gives something else.
        polars.exceptions.PolarsError: It asks for a column that is not there,
            or for something that the types of the columns cannot do.
    """
    schema = frame.select(condition).collect_schema()
    if len(schema) != 1:
        raise InvalidRuleError(
            f"the rule gives {len(schema)} answers for a row",
            hint="join them: pl.all_horizontal(...)",
            rule=rule,
        )
    (dtype,) = schema.dtypes()
    if not isinstance(dtype, pl.Boolean):
        raise InvalidRuleError(
            f"the rule gives a {dtype}, not true or false",
            hint='compare it with something: pl.col("quantity") > 0',
            rule=rule,
        )
    if pl.DataFrame(schema=frame.collect_schema()).select(condition).height:
        # One answer for no rows: it is for all of them.
        raise InvalidRuleError("the rule aggregates rows", hint=_MEND, rule=rule)


def _nodes(condition: pl.Expr) -> Iterator[tuple[str, str]]:
    """Kind and function name of every node; none where the tree cannot be written (Python code)."""
    try:
        tree = json.loads(condition.meta.serialize(format="json"))
    except (pl.exceptions.PolarsError, ValueError, TypeError):
        return
    yield from _walk(tree)


def _walk(node: object) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for entry in node:
            yield from _walk(entry)
    elif isinstance(node, str):
        yield node if node == "Len" else "", ""
    elif isinstance(node, dict):
        for kind, inside in node.items():
            if kind == "Literal":
                continue
            if kind == "Function" and isinstance(inside, dict):
                yield kind, _function(inside.get("function"))
                yield from _walk(inside.get("input"))
                continue
            yield str(kind), ""
            if kind == "Eval" and isinstance(inside, dict):
                # An expression on the elements of one row's list may do what it likes.
                yield ("Window" if "Cumulative" in str(inside.get("variant")) else ""), ""
                yield from _walk(inside.get("expr"))
            elif kind != "Column":
                yield from _walk(inside)


def _function(named: object) -> str:
    """The function of a node: `Shift`, or what stands inside `{"Boolean": "IsUnique"}`."""
    if isinstance(named, str):
        return named
    if not isinstance(named, dict) or not named:
        return ""
    kind, inside = next(iter(named.items()))
    if kind in _INSIDE:
        return ""  # works on what one cell holds
    if kind == "Boolean":
        return _function(inside)
    return str(kind)
