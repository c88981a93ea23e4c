"""Column types by name: `Int64`, `Date`, `Decimal(12, 2)`, `Datetime("us", "UTC")`."""

from __future__ import annotations

import ast
from typing import Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from jobforge.errors import InvalidSchemaError

_NAMES: dict[str, Any] = {
    name: getattr(pl, name)
    for name in (
        "Boolean",
        "Int8",
        "Int16",
        "Int32",
        "Int64",
        "UInt8",
        "UInt16",
        "UInt32",
        "UInt64",
        "Float32",
        "Float64",
        "Decimal",
        "String",
        "Date",
        "Datetime",
        "Time",
        "Enum",
    )
}
_ALIASES = {
    "Utf8": "String",
    "str": "String",
    "int": "Int64",
    "float": "Float64",
    "bool": "Boolean",
}
MAX_PRECISION = 38
"""Digits that a 128-bit decimal can hold."""


def type_text(dtype: pl.DataType) -> str:
    """A type as `parse_dtype` reads it, and as a person writes it."""
    if isinstance(dtype, pl.Decimal):
        return f"Decimal({dtype.precision}, {dtype.scale})"
    if isinstance(dtype, pl.Datetime):
        zone = f", {dtype.time_zone!r}" if dtype.time_zone else ""
        return f"Datetime({dtype.time_unit!r}{zone})"
    if isinstance(dtype, pl.Enum):
        return f"Enum({dtype.categories.to_list()!r})"
    return str(dtype)


def parse_dtype(column: str, value: object) -> pl.DataType:
    """A Polars type from a type or its name.

    Args:
        column: For the error.
        value: A Polars type (class or instance), or its name with arguments in
            parentheses, as Polars prints it.

    Raises:
        InvalidSchemaError: It is no type that bronze can cast to.
    """
    dtype: object = value
    if isinstance(value, str):
        dtype = _from_text(column, value)
    if isinstance(dtype, type) and issubclass(dtype, pl.DataType):
        dtype = _instance(column, dtype)
    if not isinstance(dtype, pl.DataType) or type(dtype) not in _NAMES.values():
        raise InvalidSchemaError(
            f"{value!r} is no type to cast to",
            hint="use one of " + ", ".join(_NAMES),
            column=column,
        )
    if isinstance(dtype, pl.Decimal) and not _possible(dtype):
        raise InvalidSchemaError(
            f"a decimal with {dtype.precision} digits, {dtype.scale} of them fractional, cannot be",
            hint="Decimal(precision, scale), precision 1 to 38, scale 0 to precision",
            column=column,
        )
    _check_zone(column, dtype)
    return dtype


def _possible(dtype: pl.Decimal) -> bool:
    digits, scale = dtype.precision, dtype.scale
    whole = type(digits) is int and type(scale) is int
    return whole and 1 <= digits <= MAX_PRECISION and 0 <= scale <= digits


def _check_zone(column: str, dtype: pl.DataType) -> None:
    """A zone that the IANA database does not have would fail at the first value."""
    zone = dtype.time_zone if isinstance(dtype, pl.Datetime) else None
    try:
        if zone is not None:
            ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as error:
        raise InvalidSchemaError(
            f"there is no time zone {zone!r}",
            hint="use a name of the IANA database, such as America/Toronto or UTC",
            column=column,
        ) from error


def _instance(column: str, kind: type[pl.DataType]) -> pl.DataType:
    if kind in (pl.Decimal, pl.Enum):
        raise InvalidSchemaError(
            f"the type {kind.__name__} needs its arguments",
            hint='write Decimal(12, 2), or Enum(["A", "B"])',
            column=column,
        )
    return kind()


def _from_text(column: str, text: str) -> object:
    """Read `Name` or `Name(literal, ...)`; nothing is evaluated but literals."""
    wanted = InvalidSchemaError(
        f"{text!r} is no type to cast to",
        hint="use a type such as Int64, Date, Decimal(12, 2); known are " + ", ".join(_NAMES),
        column=column,
    )
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise wanted from error
    arguments: list[object] = []
    named: dict[str, object] = {}
    if isinstance(node, ast.Call):
        try:
            arguments = [ast.literal_eval(argument) for argument in node.args]
            named = {str(key.arg): ast.literal_eval(key.value) for key in node.keywords}
        except (ValueError, TypeError, RecursionError) as error:
            raise wanted from error
        node = node.func
    if not isinstance(node, ast.Name):
        raise wanted
    kind = _NAMES.get(_ALIASES.get(node.id, node.id))
    if kind is None:
        raise wanted
    if not arguments and not named:
        return cast("object", kind)
    try:
        return cast("object", kind(*arguments, **named))
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        raise wanted from error
