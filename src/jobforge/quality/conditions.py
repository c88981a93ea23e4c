"""What a condition may be: one boolean expression that judges each row by itself.

A row's verdict must not depend on which other rows stand beside it: they may
have left at an earlier step, or sit in another file or on another machine.
Polars has no test for that which holds, so the tree of the expression is looked
at: what is known to work on one row is allowed, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import polars as pl

from jobforge.errors import InvalidRuleError

_MEND = "compute the column in a function before, then judge it: lf.with_columns(...)"
_PLAIN = {"Alias", "Ternary"}
_WITH_ONE_INPUT = {"Cast", "RenameAlias"}
_FUNCTIONS = {
    "Abs", "AllHorizontal", "AnyHorizontal", "AsStruct", "Atan2", "Cbrt", "Ceil", "Clip",
    "Coalesce", "ConcatExpr", "Cut", "Degrees", "Exp", "FillNan", "FillNull", "Floor", "Hash",
    "IsBetween", "IsClose", "IsFinite", "IsIn", "IsInfinite", "IsNan", "IsNotNan", "IsNotNull",
    "IsNull", "Log", "Log1p", "MaxHorizontal", "MeanHorizontal", "MinHorizontal", "Negate", "Not",
    "Pow", "Radians", "Reinterpret", "RepeatBy", "Replace", "ReplaceStrict", "Round", "RoundSF",
    "Sign", "SumHorizontal", "ToPhysical", "Trigonometry", "Truncate",
}  # fmt: skip
"""Functions of Polars that give a row's answer from the row."""
_FAMILIES = {
    "ArrayExpr", "BinaryExpr", "Categorical", "ListExpr", "StringExpr", "StructExpr",
    "TemporalExpr",
}  # fmt: skip
"""Families of functions that work on what one cell holds, but for those in `_NOT_OF_A_CELL`."""
_NOT_OF_A_CELL = {"ConcatVertical", "DatetimeRange", "DateRange", "TimeRange", "ExplodeChars"}
_GROUPING = {
    "Agg", "AnonymousAgg", "ApproxNUnique", "Any", "All", "ConcatVertical", "Count", "Entropy",
    "First", "HasNulls", "Kurtosis", "Last", "Len", "Max", "Mean", "Median", "Min", "NullCount",
    "NUnique", "Product", "Quantile", "Skew", "Std", "Sum", "Var",
}  # fmt: skip


def check_condition(rule: str, condition: object) -> pl.Expr:
    """Refuse what cannot judge a row, as far as that can be told without a frame.

    Raises:
        InvalidRuleError: It is no expression, names no column, aggregates,
            looks at other rows, or cannot be looked into.
    """
    if not isinstance(condition, pl.Expr):
        raise InvalidRuleError(
            f"the rule is a {type(condition).__name__}, not an expression",
            hint='use a Polars expression: pl.col("quantity") > 0',
            rule=rule,
        )
    _check_tree(rule, _tree(rule, condition))
    if not roots(condition):
        raise InvalidRuleError(
            "the rule names no column", hint='judge a column: pl.col("quantity") > 0', rule=rule
        )
    return condition


def check_written(rule: str, written: str) -> None:
    """Refuse a condition that was written as JSON and is more than a condition may be.

    Python code, which Polars can write into it and would run, is more.

    Raises:
        InvalidRuleError: It is, or it is no JSON.
    """
    try:
        tree = json.loads(written)
    except (ValueError, TypeError) as error:
        raise InvalidRuleError(
            "the recorded condition is no JSON", hint="restore the record", rule=rule
        ) from error
    _check_tree(rule, tree)


def _check_tree(rule: str, tree: object) -> None:
    for kind in _foreign(tree):
        if kind == "Selector":
            raise InvalidRuleError(
                "the rule names its columns by a pattern or a type",
                hint='name them: pl.all_horizontal(pl.col("a", "b") > 0)',
                rule=rule,
            )
        what = "aggregates rows" if kind in _GROUPING else f"may look at other rows ({kind})"
        raise InvalidRuleError(f"the rule {what}", hint=_MEND, rule=rule)


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


def roots(condition: pl.Expr) -> list[str]:
    """The columns that a condition names, each once."""
    tree = json.loads(condition.meta.serialize(format="json"))
    return list(dict.fromkeys(_names(tree)))


def _tree(rule: str, condition: pl.Expr) -> object:
    try:
        return json.loads(condition.meta.serialize(format="json"))
    except (pl.exceptions.PolarsError, ValueError, TypeError) as error:
        raise InvalidRuleError(
            "the rule has Python code in it, which cannot be looked into", hint=_MEND, rule=rule
        ) from error


def _names(node: object) -> Iterator[str]:
    if isinstance(node, list):
        for entry in node:
            yield from _names(entry)
    elif isinstance(node, dict):
        for kind, inside in node.items():
            if kind == "Column":
                yield str(inside)
            elif kind == "Selector":
                yield from _by_name(inside) or ()
            elif kind != "Literal":
                yield from _names(inside)


def _by_name(selector: object) -> list[str] | None:
    """The columns of a selector by exact names; None where it is another one."""
    named = selector.get("ByName") if isinstance(selector, dict) else None
    names = named.get("names") if isinstance(named, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else None


def _foreign(node: object) -> Iterator[str]:
    """Parts of a tree that are not known to work on one row, by their names."""
    if isinstance(node, list):
        for entry in node:
            yield from _foreign(entry)
    elif isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for kind, inside in node.items():
            yield from _foreign_node(str(kind), inside)


def _foreign_node(kind: str, inside: Any) -> Iterator[str]:  # noqa: ANN401 - whatever JSON has
    if kind in _LOOKED_INTO:
        yield from _LOOKED_INTO[kind](inside)
    elif kind in _WITH_ONE_INPUT:
        yield from _foreign(inside.get("expr"))
    elif kind in _PLAIN:
        yield from _foreign(list(inside.values()) if isinstance(inside, dict) else inside[0])
    else:
        yield kind


def _foreign_column(name: object) -> Iterator[str]:
    if str(name).startswith("^") or name == "*":
        yield "Selector"


def _foreign_selector(selector: object) -> Iterator[str]:
    if _by_name(selector) is None:
        yield "Selector"


def _foreign_literal(literal: object) -> Iterator[str]:
    if isinstance(literal, dict) and "Series" in literal:
        yield "a column of values"


def _foreign_eval(inside: dict[str, Any]) -> Iterator[str]:
    # An expression on the elements of one row's list may do what it likes.
    if not str(inside.get("variant")).startswith(("List", "{'List", "Array", "{'Array")):
        yield "Eval"
    yield from _foreign(inside.get("expr"))


def _foreign_function(inside: dict[str, Any]) -> Iterator[str]:
    family, name, options = _named(inside.get("function"))
    inputs = inside.get("input") or []
    known = name in _FUNCTIONS if family is None else family in _FAMILIES
    if not known or name in _NOT_OF_A_CELL:
        yield name
    if name == "Strptime" and '"format": null' in json.dumps(options):
        yield "the format is taken from the first value"
    if name == "IsIn" and len(inputs) > 1:
        if not (isinstance(inputs[1], dict) and "Literal" in inputs[1]):
            yield "is_in another column; for a list use .list.contains"
        inputs = inputs[:1]
    yield from _foreign(inputs)


def _named(function: object) -> tuple[str | None, str, object]:
    """Family, name and options of a function, as in `{"StringExpr": {"Contains": {...}}}`."""
    if isinstance(function, str):
        return None, function, None
    if not isinstance(function, dict) or not function:
        return None, "?", None
    kind, inside = next(iter(function.items()))
    if kind == "Boolean":
        return _named(inside)
    if kind == "Bitwise":
        bits = str(inside).startswith(("Count", "Leading", "Trailing"))
        return None, "Abs" if bits else "Bitwise", None
    if kind in _FAMILIES:
        _, name, options = _named(inside)
        return str(kind), name, options if options is not None else inside
    return None, str(kind), inside


def _foreign_binary(inside: dict[str, Any]) -> Iterator[str]:
    yield from _foreign([inside.get("left"), inside.get("right")])


_LOOKED_INTO: dict[str, Callable[[Any], Iterator[str]]] = {
    "BinaryExpr": _foreign_binary,
    "Column": _foreign_column,
    "Eval": _foreign_eval,
    "Function": _foreign_function,
    "Literal": _foreign_literal,
    "Selector": _foreign_selector,
}
