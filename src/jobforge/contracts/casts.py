"""Exact casts: a value becomes the same value in another type, or it is rejected.

Nothing is rounded, cut, wrapped or guessed. For text this means:

| type | accepted | rejected, for instance |
|---|---|---|
| integers | optional sign, digits | `1.5`, `1e3`, ` 2`, out of range |
| Float32, Float64 | a number that the float's shortest form is | `82544000000000707.52`, `nan` |
| Decimal(p, s) | digits, at most s places after the point | `1.005` at scale 2, `1e3` |
| Boolean | `true`, `false` in any case | `1`, `yes` |
| Date, Datetime, Time | the declared format, else ISO 8601 | `2024-02-30`, padded text |
| Enum | one of the categories | anything else |

Zeros at the end of a fraction carry no value and never reject a number.
From other types a cast is exact where casting back gives the value again.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import polars as pl

from jobforge.contracts.schema import Cast

_INTEGER = r"^[+-]?[0-9]+$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_DECIMAL = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)$"
_FRACTION = r"[.,]([0-9]+)"
_UNIT_DIGITS = {"ms": 3, "us": 6, "ns": 9}
# A decimal of at most 15 (Float64) or 6 (Float32) significant digits survives
# the way into binary and back (DBL_DIG and FLT_DIG of C, ISO/IEC 9899 5.2.4.2.2).
_SAFE_DIGITS = {64: 15, 32: 6}


def exact_cast(column: str, source: pl.DataType, cast: Cast) -> tuple[pl.Expr, pl.Expr]:
    """Expressions for the value after a cast and for whether it was rejected.

    Args:
        column: Name of the column.
        source: Its type now.
        cast: What it is to become.

    Returns:
        The new value (null where it was null, a null word, or rejected), and a
        boolean that is never null, true where the value is rejected.
    """
    value = pl.col(column)
    if cast.null_values and isinstance(source, pl.String):
        value = pl.when(value.is_in(list(cast.null_values))).then(None).otherwise(value)
    if isinstance(source, pl.Null) or source == cast.dtype:
        return value.cast(cast.dtype), pl.lit(value=False)
    if isinstance(source, pl.String):
        result = _from_text(value, cast)
    else:
        result = _round_trip(value, source, cast.dtype)
    rejected = value.is_not_null() & result.is_null()
    return result, rejected


def can_cast(source: pl.DataType, target: pl.DataType) -> bool:
    """Whether there is any exact cast between two types."""
    if source == target or isinstance(source, (pl.String, pl.Null)):
        return True
    if source.is_nested() or isinstance(source, (pl.Binary, pl.Duration, pl.Object)):
        return False
    try:
        pl.Series([None], dtype=source).cast(target, strict=False).cast(source, strict=False)
    except pl.exceptions.PolarsError:
        return False
    return True


def describe(dtype: pl.DataType, form: str | None) -> str:
    """A type as a reason names it."""
    return f"{dtype} in the format {form!r}" if form else str(dtype)


def _round_trip(value: pl.Expr, source: pl.DataType, target: pl.DataType) -> pl.Expr:
    result = value.cast(target, strict=False)
    back = result.cast(source, strict=False)
    return pl.when(back.eq_missing(value)).then(result)


def _from_text(value: pl.Expr, cast: Cast) -> pl.Expr:
    dtype = cast.dtype
    if dtype.is_integer():
        return _matching(value, _INTEGER).cast(dtype, strict=False)
    if dtype.is_float():
        return _float(value, dtype)
    if isinstance(dtype, pl.Decimal):
        return _decimal(value, dtype)
    if isinstance(dtype, pl.Boolean):
        lowered = value.str.to_lowercase()
        return pl.when(lowered.is_in(["true", "false"])).then(lowered == "true")
    if isinstance(dtype, (pl.Date, pl.Datetime, pl.Time)):
        return _temporal(value, cast)
    return value.cast(dtype, strict=False)


def _matching(value: pl.Expr, pattern: str) -> pl.Expr:
    return pl.when(value.str.contains(pattern)).then(value)


def _decimal(value: pl.Expr, dtype: pl.Decimal) -> pl.Expr:
    places = value.str.extract(r"\.([0-9]*?)0*$").str.len_bytes().fill_null(0)
    fits = places <= dtype.scale
    whole = value.str.extract(r"^[+-]?0*([0-9]*)").str.len_bytes().fill_null(0)
    fits &= whole <= dtype.precision - dtype.scale
    # Zeros beyond the scale carry no value, and Polars need not see them.
    text = value.str.replace(r"(\.[0-9]*?)0+$", "$1").str.replace(r"\.$", "")
    return pl.when(value.str.contains(_DECIMAL) & fits).then(text).cast(dtype, strict=False)


def _float(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    number = _matching(value, _NUMBER)
    digits = (
        number.str.replace(r"[eE].*$", "")
        .str.replace_all(r"[+.-]", "")
        .str.strip_chars_start("0")
        .str.len_bytes()
    )
    result = number.cast(dtype, strict=False)
    narrow = isinstance(dtype, pl.Float32)
    plain = (digits <= _SAFE_DIGITS[32 if narrow else 64]) & ~number.str.contains("[eE]")
    kind = np.float32 if narrow else np.float64

    def same(batch: pl.Series) -> pl.Series:
        return pl.Series(batch.name, [_same_number(text, kind) for text in batch], dtype=pl.Boolean)

    hard = (
        pl.when(~plain).then(number).map_batches(same, return_dtype=pl.Boolean, is_elementwise=True)
    )
    return pl.when(plain | hard).then(result)


def _same_number(text: str | None, kind: Any) -> bool:  # noqa: ANN401 - numpy float class
    """Whether the shortest form of the nearest float is the number in the text."""
    if text is None:
        return False
    with np.errstate(over="ignore"):
        number = kind(text)
    if not np.isfinite(number):
        return False
    try:
        return Decimal(text) == Decimal(str(number))
    except InvalidOperation:
        return False


def _temporal(value: pl.Expr, cast: Cast) -> pl.Expr:
    dtype, form = cast.dtype, cast.format
    sane = _matching(value, r"^\S(.*\S)?$")
    if "%Y" in form if form else not isinstance(dtype, pl.Time):
        sane = _matching(sane, "[0-9]{4}")
    if isinstance(dtype, pl.Date):
        return sane.str.to_date(form or "%Y-%m-%d", strict=False)
    digits = sane.str.extract(_FRACTION).str.strip_chars_end("0").str.len_bytes().fill_null(0)
    if isinstance(dtype, pl.Time):
        held = pl.when(digits <= _UNIT_DIGITS["ns"]).then(sane)
        if form is not None:
            return held.str.to_time(form, strict=False)
        return pl.coalesce(
            held.str.to_time("%H:%M:%S%.f", strict=False), held.str.to_time("%H:%M", strict=False)
        )
    assert isinstance(dtype, pl.Datetime)  # noqa: S101 - narrows for the type checker
    held = pl.when(digits <= _UNIT_DIGITS[dtype.time_unit]).then(sane)
    return _datetime(held, dtype, form)


def _datetime(text: pl.Expr, dtype: pl.Datetime, form: str | None) -> pl.Expr:
    forms = (
        [form]
        if form is not None
        else [
            "%Y-%m-%dT%H:%M:%S%.f",
            "%Y-%m-%d %H:%M:%S%.f",
            "%Y-%m-%dT%H:%M",
            "%Y-%m-%d %H:%M",
        ]
    )
    zone, unit = dtype.time_zone, dtype.time_unit
    if zone is None:
        return pl.coalesce(text.str.to_datetime(one, time_unit=unit, strict=False) for one in forms)
    if form is None:
        forms = [one + "%#z" for one in forms]
        text = text.str.replace(r"Z$", "+00:00")
    if any(mark in forms[0] for mark in ("%z", "%:z", "%#z", "%::z")):
        found = pl.coalesce(
            text.str.to_datetime(one, time_unit=unit, time_zone="UTC", strict=False)
            for one in forms
        )
        return found.dt.convert_time_zone(zone)
    local = pl.coalesce(text.str.to_datetime(one, time_unit=unit, strict=False) for one in forms)
    # A clock time that a change of the clocks skips or repeats names no one instant.
    return local.dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
