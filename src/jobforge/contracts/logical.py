"""Column types as the standards for contracts name them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import polars as pl

from jobforge.contracts.dtypes import parse_dtype
from jobforge.errors import InvalidSchemaError


def logical_type(dtype: pl.DataType | None) -> str | None:
    """The type in the words of the Open Data Contract Standard; None where there is none."""
    if dtype is None:
        return None
    if dtype.is_integer():
        return "integer"
    if dtype.is_numeric():
        return "number"
    for kind, name in (
        (pl.Boolean, "boolean"),
        (pl.Datetime, "timestamp"),
        (pl.Date, "date"),
        (pl.Time, "time"),
    ):
        if isinstance(dtype, kind):
            return name
    return "string"


_TYPES: dict[str, pl.DataType] = {
    "string": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
    "date": pl.Date(),
    "timestamp": pl.Datetime("us"),
    "time": pl.Time(),
}


def dtype_of(column: str, logical: str | None, physical: str | None) -> pl.DataType | None:
    """The type that a contract of somebody else means.

    A physical type that is a Polars type, or a decimal, says it exactly; else
    the logical type counts.
    """
    exact = _exact(column, physical) if physical else None
    return exact if exact is not None else _TYPES.get(logical or "")


def is_exact(column: str, physical: str) -> bool:
    """Whether a physical type says exactly which type is meant."""
    return _exact(column, physical) is not None


def _exact(column: str, physical: str) -> pl.DataType | None:
    text = physical.strip()
    for tried in (text, text.replace("decimal", "Decimal").replace("DECIMAL", "Decimal")):
        try:
            return parse_dtype(column, tried)
        except InvalidSchemaError:
            continue
    return None


def exact_number(value: object) -> int | float | None:
    """A bound as a number of JSON; None where that would be another number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None
    if isinstance(value, Decimal):
        if value == value.to_integral_value():
            return int(value)
        near = float(value)
        return near if Decimal(repr(near)) == value else None
    return value


def as_text(value: object) -> str:
    """A value as a contract writes it."""
    return value.isoformat() if isinstance(value, (dt.date, dt.time)) else str(value)
