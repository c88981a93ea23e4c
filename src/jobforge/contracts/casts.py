"""Exact casts: a value becomes the same value in another type, or it is rejected.

Nothing is rounded, cut, wrapped or guessed. For text this means:

| type | accepted | rejected, for instance |
|---|---|---|
| integers | optional sign, digits | `1.5`, `1e3`, ` 2`, out of range |
| Float32, Float64 | a number that the float's shortest form is | `82544000000000707.52`, `nan` |
| Decimal(p, s) | digits, at most s places after the point | `1.005` at scale 2, `1e3` |
| Boolean | `true`, `false` in any case, or the declared words | `1`, `yes` |
| Date, Datetime, Time | the declared format, else ISO 8601 | `2024-02-30`, padded text |
| Enum | one of the categories | anything else |

Zeros at the end of a fraction carry no value and never reject a number. Where a
column declares a decimal sign or a sign between groups of three digits, numbers
are read with these, and with no others.

Other types are cast where that has one meaning: numbers to numbers that are
equal, dates to the moment at which they begin and back, moments to another
unit or zone, and most types to their text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import cast

import polars as pl

from jobforge.contracts.column import Column
from jobforge.contracts.formats import Format, parse_format
from jobforge.quality.columns import column as exactly

_INTEGER = r"^[+-]?[0-9]+$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_DECIMAL = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)$"
_UNIT_DIGITS = {"ms": 3, "us": 6, "ns": 9}
# A decimal of at most 15 (Float64) or 6 (Float32) significant digits survives
# the way into binary and back (DBL_DIG and FLT_DIG of C, ISO/IEC 9899
# 5.2.4.2.2), unless it is so small or large that it leaves the normal range,
# which takes more characters than these.
_SAFE_DIGITS = {64: 15, 32: 6}
_SAFE_LENGTH = 30
_ISO_DATE = ("%Y-%m-%d",)
_ISO_TIME = ("%H:%M:%S", "%H:%M:%S%.f", "%H:%M")
_ISO_MOMENT = tuple(f"%Y-%m-%d{mark}{time}" for mark in "T " for time in _ISO_TIME)
# Nanoseconds since 1970 in 64 bits reach this far.
_FIRST_NS = pl.datetime(1677, 9, 22, time_unit="us")
_LAST_NS = pl.datetime(2262, 4, 11, time_unit="us")


def exact_cast(
    name: str,
    source: pl.DataType,
    column: Column,
    words: tuple[str, ...] = (),
    place: str | None = None,
) -> tuple[pl.Expr, pl.Expr]:
    """Expressions for the value after a cast and for whether it was rejected.

    Args:
        name: Name of the column now.
        source: Its type now; `can_cast` says which ones there are.
        column: What it is to become; it has a type.
        words: Text that means "no value".
        place: Column that holds the new value where the boolean is computed;
            unless given, the value is computed once more.

    Returns:
        The new value (null where it was null, a null word, or rejected), and a
        boolean that is never null, true where the value is rejected.

    Raises:
        InvalidSchemaError: The format does not fit the type.
    """
    value = exactly(name)
    if words and isinstance(source, pl.String):
        value = pl.when(value.is_in(list(words))).then(None).otherwise(value)
    if isinstance(source, pl.Null) or source == column.dtype:
        return value.cast(column.dtype), pl.lit(value=False)
    if isinstance(source, pl.String):
        result = _from_text(name, value, column)
    else:
        result = _from_value(value, source, column.dtype)
    found = result if place is None else exactly(place)
    return result, value.is_not_null() & found.is_null()


def can_cast(source: pl.DataType, target: pl.DataType) -> bool:
    """Whether there is an exact cast between two types that has one meaning."""
    if source == target or isinstance(source, (pl.String, pl.Null)):
        return True
    if isinstance(target, pl.String):
        return not source.is_nested() and not isinstance(
            source, (pl.Binary, pl.Duration, pl.Object)
        )
    numbers = (source.is_numeric() or isinstance(source, pl.Boolean)) and (
        target.is_numeric() or isinstance(target, pl.Boolean)
    )
    words = isinstance(source, (pl.Categorical, pl.Enum)) and isinstance(target, pl.Enum)
    return numbers or words or _moments(source, target)


def _moments(source: pl.DataType, target: pl.DataType) -> bool:
    """Dates and moments; with and without a time zone are different things."""
    if isinstance(source, pl.Datetime) and isinstance(target, pl.Datetime):
        return (source.time_zone is None) == (target.time_zone is None)
    if isinstance(source, pl.Date):
        return isinstance(target, pl.Datetime) and target.time_zone is None
    return isinstance(source, pl.Datetime) and not source.time_zone and isinstance(target, pl.Date)


def describe(dtype: pl.DataType, form: str | None) -> str:
    """A type as a reason names it."""
    return f"{dtype} in the format {form!r}" if form else str(dtype)


def _from_value(value: pl.Expr, source: pl.DataType, target: pl.DataType) -> pl.Expr:
    if isinstance(target, pl.String):
        return value.cast(pl.String)
    if isinstance(target, pl.Enum):
        return value.cast(pl.String).cast(target, strict=False)
    if isinstance(target, pl.Datetime) and target.time_unit == "ns":
        known = value.cast(pl.Datetime("us")).is_between(_FIRST_NS, _LAST_NS)
        value = pl.when(known).then(value)
    result = value.cast(target, strict=False)
    back = result.cast(source, strict=False)
    return pl.when(back.eq_missing(value)).then(result)


def _from_text(name: str, value: pl.Expr, column: Column) -> pl.Expr:
    dtype = column.dtype
    if dtype.is_numeric():
        return _number(_with_point(value, column), dtype)
    if isinstance(dtype, pl.Boolean):
        return _boolean(value, column)
    if dtype.is_temporal():
        return _temporal(name, value, column)
    result: pl.Expr = value.cast(dtype, strict=False)
    return result


def _number(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype.is_float():
        return _float(value, dtype)
    if isinstance(dtype, pl.Decimal):
        return _decimal(value, dtype)
    # What Polars takes for an integer is one; what it does not know is looked at again: signs
    # before zeros, and a minus before nothing but zeros, no reason to reject an unsigned zero.
    known = value.cast(dtype, strict=False)
    return _else(known, value, lambda rest: _integer(rest, dtype))


def _integer(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    text = _matching(value, _INTEGER).str.replace("^-(0+)$", "$1")
    return text.cast(dtype, strict=False)


def _with_point(value: pl.Expr, column: Column) -> pl.Expr:
    """Numbers in text as a program writes them: no signs between groups, and a decimal point."""
    if column.decimal is None and column.thousands is None:
        return value
    point = re.escape(column.decimal or ".")
    whole = "[0-9]+"
    if column.thousands is not None:
        whole = f"(?:[0-9]+|[0-9]{{1,3}}(?:{re.escape(column.thousands)}[0-9]{{3}})+)"
    number = f"^[+-]?(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?$"
    text = _matching(value, number)
    if column.thousands is not None:
        text = text.str.replace_all(column.thousands, "", literal=True)
    if column.decimal is not None:
        text = text.str.replace_all(column.decimal, ".", literal=True)
    return text


def _boolean(value: pl.Expr, column: Column) -> pl.Expr:
    if column.true_values:
        true = value.is_in(list(column.true_values))
        return pl.when(true | value.is_in(list(column.false_values))).then(true)
    lowered = value.str.to_lowercase()
    return pl.when(lowered.is_in(["true", "false"])).then(lowered == "true")


def _temporal(name: str, value: pl.Expr, column: Column) -> pl.Expr:
    if isinstance(column.dtype, pl.Date):
        return _by_formats(name, value, column, _ISO_DATE, _date)
    if isinstance(column.dtype, pl.Datetime):
        return _datetime(name, value, column, column.dtype)
    return _by_formats(name, value, column, _ISO_TIME, _time)


def _else(known: pl.Expr, value: pl.Expr, slow: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
    """What is known, and where nothing is, what a slower way says of the value.

    Polars computes each branch of an expression for every row, and most files
    have few rows for the slow way, or none.
    """

    def compute(batches: Sequence[pl.Series]) -> pl.Series:
        found, given = batches
        # Where the value is null, nothing is known either.
        if found.null_count() == given.null_count():
            return found
        frame = pl.DataFrame({"found": found, "given": given}).with_row_index("at")
        waits = pl.col("found").is_null() & pl.col("given").is_not_null()
        answers = frame.filter(waits).select("at", slow(pl.col("given")).alias("said"))
        both = frame.join(answers, on="at", how="left", maintain_order="left")
        return both.select(pl.coalesce("found", "said").alias(found.name)).to_series()

    return pl.map_batches([known, value], compute, is_elementwise=True)


def _matching(value: pl.Expr, pattern: str) -> pl.Expr:
    return pl.when(value.str.contains(pattern)).then(value)


def _decimal(value: pl.Expr, dtype: pl.Decimal) -> pl.Expr:
    places = value.str.extract(r"\.([0-9]*?)0*$").str.len_bytes().fill_null(0)
    whole = value.str.extract(r"^[+-]?0*([0-9]*)").str.len_bytes().fill_null(0)
    fits = (places <= dtype.scale) & (whole <= dtype.precision - dtype.scale)
    # Zeros beyond the scale carry no value, and Polars need not see them.
    text = (
        value.str.replace(r"^([+-]?)\.", "${1}0.")
        .str.replace(r"(\.[0-9]*?)0+$", "$1")
        .str.replace(r"\.$", "")
    )
    return pl.when(value.str.contains(_DECIMAL) & fits).then(text).cast(dtype, strict=False)


def _float(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    narrow = isinstance(dtype, pl.Float32)
    safe = _SAFE_DIGITS[32 if narrow else 64]
    short = value.str.contains(rf"^[+-]?[0-9.]{{1,{safe}}}$")
    known = pl.when(short).then(value.cast(dtype, strict=False))
    return _else(known, value, lambda rest: _long_float(rest, dtype, safe))


def _long_float(value: pl.Expr, dtype: pl.DataType, safe: int) -> pl.Expr:
    number = _matching(value, _NUMBER)
    digits = (
        number.str.replace(r"[eE].*$", "")
        .str.replace_all(r"[+.-]", "")
        .str.strip_chars_start("0")
        .str.len_bytes()
    )
    plain = (
        (digits <= safe) & (number.str.len_bytes() <= _SAFE_LENGTH) & ~number.str.contains("[eE]")
    )
    kind = _float32 if isinstance(dtype, pl.Float32) else float

    def same(batch: pl.Series) -> pl.Series:
        return pl.Series(batch.name, [_same_number(text, kind) for text in batch], dtype=pl.Boolean)

    hard = (
        pl.when(~plain).then(number).map_batches(same, return_dtype=pl.Boolean, is_elementwise=True)
    )
    return pl.when(plain | hard).then(number.cast(dtype, strict=False))


def _float32(text: str) -> float:
    """The nearest number that 32 bits can hold; its text is the shortest form of it."""
    import numpy as np  # few columns are of this type, and numpy costs a start 50 ms

    with np.errstate(over="ignore", under="ignore"):
        return cast("float", np.float32(text))


def _same_number(text: str | None, kind: Callable[[str], float]) -> bool:
    """Whether the shortest form of the nearest float is the number in the text."""
    if text is None:
        return False
    number = kind(text)
    if not math.isfinite(number):
        return False
    if not text.lower().partition("e")[0].strip("+-0."):
        return True
    try:
        return Decimal(text) == Decimal(str(number))
    except InvalidOperation:
        return False


def _by_formats(
    name: str,
    value: pl.Expr,
    column: Column,
    usual: tuple[str, ...],
    parse: Callable[[pl.Expr, Format], pl.Expr],
) -> pl.Expr:
    """The value by the declared format, or by the first usual one that the text has."""
    forms = usual if column.format is None else (column.format,)
    first, *others = [parse_format(name, form, column.dtype) for form in forms]
    known = parse(_matching(value, first.pattern), first)

    def by_others(rest: pl.Expr) -> pl.Expr:
        return pl.coalesce(parse(_matching(rest, form.pattern), form) for form in others)

    return _else(known, value, by_others) if others else known


def _held(text: pl.Expr, form: Format, digits: int) -> pl.Expr:
    """Text whose fraction of a second has no digit that the unit cannot hold."""
    if not form.fraction:
        return text
    fraction = text.str.extract(form.pattern).str.strip_chars_end("0")
    return pl.when(fraction.str.len_bytes().fill_null(0) <= digits).then(text)


def _date(text: pl.Expr, form: Format) -> pl.Expr:
    # A cache of parsed texts costs more than parsing, but for columns of few different days.
    return text.str.to_date(form.text, strict=False, cache=False)


def _time(text: pl.Expr, form: Format) -> pl.Expr:
    held = _held(text, form, _UNIT_DIGITS["ns"])
    return held.str.to_time(form.text, strict=False, cache=False)


def _datetime(name: str, value: pl.Expr, column: Column, dtype: pl.Datetime) -> pl.Expr:
    zone, unit = dtype.time_zone, dtype.time_unit
    usual = _ISO_MOMENT
    if zone is not None and column.format is None:
        usual = tuple(form + mark for form in _ISO_MOMENT for mark in ("%:z", "%z"))
        value = value.str.replace("Z$", "+00:00")

    def parse(text: pl.Expr, form: Format) -> pl.Expr:
        held = _held(text, form, _UNIT_DIGITS[unit])
        if unit == "ns":
            # Beyond the range of nanoseconds the parser wraps around without a word.
            coarse = held.str.to_datetime(
                form.text,
                time_unit="us",
                time_zone="UTC" if form.offset else None,
                strict=False,
                cache=False,
            )
            known = coarse.dt.replace_time_zone(None).is_between(_FIRST_NS, _LAST_NS)
            held = pl.when(known).then(held)
        if form.offset:
            moment = held.str.to_datetime(
                form.text, time_unit=unit, time_zone="UTC", strict=False, cache=False
            )
            return moment.dt.convert_time_zone(zone or "UTC")
        local = held.str.to_datetime(form.text, time_unit=unit, strict=False, cache=False)
        if zone is None:
            return local
        # A clock time that a change of the clocks skips or repeats names no one instant.
        return local.dt.replace_time_zone(zone, ambiguous="null", non_existent="null")

    return _by_formats(name, value, column, usual, parse)
