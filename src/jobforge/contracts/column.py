"""One column of a contract: its type, how text becomes it, and what its values may be."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any

import polars as pl

from jobforge.contracts.dtypes import parse_dtype, type_text
from jobforge.contracts.formats import parse_format
from jobforge.errors import InvalidSchemaError, JobforgeError, nearest

Value = int | float | str | bool | Decimal | dt.date | dt.datetime | dt.time
"""A value that a bound or a list of allowed values can have."""
Length = tuple[int | None, int | None]
"""Least and most characters; None is no limit."""
_SIGNS = set("0123456789+-eE")
_LONGEST_SHOWN = 80
_WIDEST = 127
"""Bits of the widest whole number that Polars has, its sign apart."""


@dataclass(frozen=True)
class Column:
    """What one column of bronze is, and has to be.

    Args:
        dtype: A Polars type or its name; the column stays as it is unless given.
        source: Its name in the source; the same unless given.
        nullable: Whether it may be null.
        unique: Whether no value may stand in the table twice; nulls do not count.
        key: Whether it is part of the table's key: the key is unique, and each
            column of it has to be `nullable=False`.
        ge: The least value; for numbers, dates and times.
        le: The greatest value.
        pattern: A regular expression (syntax of the Rust crate `regex`) that is
            found in the text; `^` and `$` bind it to its ends.
        allowed: The values that there are.
        length: Characters of text (Unicode code points): a number, or least and
            most, where None is no limit.
        format: Of dates and times, in the notation of `strftime`.
        null_values: Words that mean "no value".
        decimal: The decimal sign of numbers in text; a point unless given.
        thousands: A sign between groups of three digits, which may be left out.
        true_values: Words that mean true, to the letter; `true` in any case
            unless given.
        false_values: Words that mean false.
        pii: Which class of personal data it is ("name", "email", ...): then its
            values are masked in errors, logs and exports of rejects.
        description: For a person.
    """

    dtype: Any = None
    source: str | None = None
    nullable: bool = True
    unique: bool = False
    key: bool = False
    ge: Any = None
    le: Any = None
    pattern: str | None = None
    allowed: Any = None
    length: Any = None
    format: str | None = None
    null_values: Any = ()
    decimal: str | None = None
    thousands: str | None = None
    true_values: Any = ()
    false_values: Any = ()
    pii: str | None = None
    description: str | None = None

    def checked(self, name: str) -> Column:
        """The column with every argument in its one form.

        Args:
            name: Its name, for errors.

        Raises:
            InvalidSchemaError: An argument has no meaning, or not for the type.
        """
        try:
            return self._checked(name)
        except JobforgeError as error:
            raise error.at(column=name) from error

    def as_dict(self) -> dict[str, object]:
        """What was declared, as JSON can hold it; what was not is left out."""
        found: dict[str, object] = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if value != entry.default:
                found["type" if entry.name == "dtype" else entry.name] = _plain(value)
        return found

    @classmethod
    def from_dict(cls, name: str, declared: object) -> Column:
        """The column of `as_dict`.

        Raises:
            InvalidSchemaError: It has another form.
        """
        if not isinstance(declared, Mapping):
            raise InvalidSchemaError(
                f"a column is a dict, not a {type(declared).__name__}",
                hint='"price": {"type": "Decimal(12, 2)", "source": "Unit Price"}',
                column=name,
            )
        arguments = {("dtype" if key == "type" else str(key)): v for key, v in declared.items()}
        known = {entry.name for entry in fields(cls)}
        for key in arguments:
            if key not in known:
                words = sorted("type" if word == "dtype" else word for word in known)
                raise InvalidSchemaError(
                    f"a column has no {key!r}", hint=nearest(key, words), column=name
                )
        return cls(**arguments).checked(name)

    def _checked(self, name: str) -> Column:
        dtype = None if self.dtype is None else parse_dtype(name, self.dtype)
        for option in ("nullable", "unique", "key"):
            if not isinstance(getattr(self, option), bool):
                raise _meaningless(option, getattr(self, option), "True or False")
        for option in ("source", "pattern", "format", "pii", "description"):
            value = getattr(self, option)
            if value is not None and not is_text(value):
                raise _meaningless(option, value, "text")
        if self.key and self.nullable:
            raise InvalidSchemaError(
                "a column of the key may not be null", hint="say nullable=False as well"
            )
        column = replace(
            self,
            dtype=dtype,
            length=_length(self.length),
            allowed=_values("allowed", self.allowed, dtype),
            ge=_bound("ge", self.ge, dtype),
            le=_bound("le", self.le, dtype),
            null_values=_words("null_values", self.null_values),
            true_values=_words("true_values", self.true_values),
            false_values=_words("false_values", self.false_values),
        )
        _check_options(name, column, dtype)
        return column


def _check_options(name: str, column: Column, dtype: pl.DataType | None) -> None:
    """Refuse options that the type has no use for."""
    number = dtype is not None and dtype.is_numeric()
    temporal = isinstance(dtype, (pl.Date, pl.Datetime, pl.Time))
    for option, fits, kinds in (
        ("format", temporal, "dates and times"),
        ("decimal", number, "numbers"),
        ("thousands", number, "numbers"),
        ("true_values", isinstance(dtype, pl.Boolean), "Boolean"),
        ("false_values", isinstance(dtype, pl.Boolean), "Boolean"),
        ("pattern", isinstance(dtype, pl.String), "String"),
        ("length", isinstance(dtype, pl.String), "String"),
        ("ge", number or temporal, "numbers, dates and times"),
        ("le", number or temporal, "numbers, dates and times"),
        ("null_values", dtype is not None, "columns that have a type, String if nothing else"),
    ):
        if getattr(column, option) not in (None, ()) and not fits:
            what = "a column without a type" if dtype is None else str(dtype)
            raise InvalidSchemaError(
                f"{option}: {what} takes no {option}", hint=f"it is for {kinds}"
            )
    if column.format is not None and dtype is not None:
        parse_format(name, column.format, dtype)
    _check_signs(column)
    if bool(column.true_values) != bool(column.false_values):
        raise InvalidSchemaError(
            "true_values and false_values go together", hint="declare the words of both"
        )
    both = set(column.true_values) & set(column.false_values)
    if both or set(column.null_values) & {*column.true_values, *column.false_values}:
        raise InvalidSchemaError(
            "a word has two meanings", hint="true, false and null words are different words"
        )
    if column.ge is not None and column.le is not None and column.ge > column.le:
        raise InvalidSchemaError(
            f"no value is at least {column.ge} and at most {column.le}", hint="swap ge and le"
        )
    if column.pattern is not None:
        try:
            pl.select(pl.lit("").str.contains(column.pattern))
        except pl.exceptions.PolarsError as error:
            raise InvalidSchemaError(
                f"pattern: {column.pattern!r} is no regular expression",
                hint="the syntax is that of the Rust crate regex: it has no look-around",
            ) from error


def _check_signs(column: Column) -> None:
    for option in ("decimal", "thousands"):
        sign = getattr(column, option)
        if sign is not None and (
            not isinstance(sign, str) or len(sign) != 1 or sign in _SIGNS or sign in "\r\n"
        ):
            raise _meaningless(option, sign, "one character that is no digit, sign or letter e")
    if column.thousands is not None and column.thousands == (column.decimal or "."):
        raise InvalidSchemaError(
            f"thousands and decimal are both {column.thousands!r}",
            hint="in 1.234,5 thousands is '.', and decimal is ','",
        )


def _meaningless(option: str, value: object, use: str) -> InvalidSchemaError:
    try:
        shown = repr(value)[:_LONGEST_SHOWN]
    except ValueError:  # Python prints no number of thousands of digits
        shown = f"a very long {type(value).__name__}"
    return InvalidSchemaError(f"{option} is {shown}", hint=f"use {use}")


def _length(value: object) -> Length | None:
    if value is None:
        return None
    whole = isinstance(value, int) and not isinstance(value, bool)
    pair = [value, value] if whole else value
    if (
        not isinstance(pair, (list, tuple))
        or len(pair) != 2  # noqa: PLR2004 - least and most
        or not all(n is None or (type(n) is int and n >= 0) for n in pair)
        or all(n is None for n in pair)
        or (None not in pair and pair[0] > pair[1])
    ):
        raise _meaningless("length", value, "a number of characters, or (least, most)")
    return (pair[0], pair[1])


def _words(option: str, value: object) -> tuple[str, ...]:
    words = (value,) if isinstance(value, str) else value
    if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) for word in words):
        raise _meaningless(option, value, 'a list of words: ["N/A", "-"]')
    return tuple(dict.fromkeys(words))


def _values(option: str, value: object, dtype: pl.DataType | None) -> tuple[Value, ...] | None:
    if value is None:
        return None
    if dtype is None:
        raise InvalidSchemaError(f"{option}: a column without a type takes none", hint="add a type")
    if not isinstance(value, (list, tuple)) or not value:
        raise _meaningless(option, value, "a list of values")
    return tuple(_value(option, entry, dtype) for entry in value)


def _bound(option: str, value: object, dtype: pl.DataType | None) -> Value | None:
    if value is None:
        return None
    if dtype is None:
        raise InvalidSchemaError(f"{option}: a column without a type takes none", hint="add a type")
    if not (dtype.is_numeric() or dtype.is_temporal()):
        raise InvalidSchemaError(
            f"{option}: {dtype} takes none", hint="it is for numbers, dates and times"
        )
    return _value(option, value, dtype)


def _value(option: str, value: object, dtype: pl.DataType) -> Value:
    """A value as the type has it; dates, times and decimals may be given as text."""
    use = f"a value of the type {dtype}"
    try:
        given: object = value
        if isinstance(dtype, pl.Decimal):
            given = Decimal(str(value))
        elif isinstance(value, str) and isinstance(dtype, pl.Datetime):
            given = dt.datetime.fromisoformat(value)
        elif isinstance(value, str) and isinstance(dtype, pl.Date):
            given = dt.date.fromisoformat(value)
        elif isinstance(value, str) and isinstance(dtype, pl.Time):
            given = dt.time.fromisoformat(value)
        elif dtype.is_float() and isinstance(value, int) and not isinstance(value, bool):
            given = float(value)
        if not _of_kind(given, dtype):
            raise _meaningless(option, value, use)
        held = pl.Series([given], dtype=dtype, strict=True).item()
        if isinstance(dtype, pl.Float32):
            # The shortest form of the number is what was meant, and not its binary value.
            from numpy import float32  # few contracts have such a column, and numpy costs 50 ms

            held = float(str(float32(held)))
    except _NO_VALUE as error:
        raise _meaningless(option, value, use) from error
    if held is None or held != given:
        raise _meaningless(option, value, use)
    return held  # type: ignore[no-any-return] # whatever Python value Polars has for the type


_NO_VALUE = (
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    ArithmeticError,
    RuntimeError,
    TypeError,
    ValueError,
)


def _of_kind(value: object, dtype: pl.DataType) -> bool:
    """Whether a Python value says without a doubt which value of a type is meant."""
    if isinstance(value, bool):
        return isinstance(dtype, pl.Boolean)
    if isinstance(value, int):
        return value.bit_length() <= _WIDEST
    if isinstance(value, Decimal):
        return value.is_finite()
    if isinstance(value, dt.datetime):
        zoned = isinstance(dtype, pl.Datetime) and dtype.time_zone is not None
        return not isinstance(dtype, pl.Date) and (value.tzinfo is not None) == zoned
    return True


def is_text(value: object) -> bool:
    """Whether a value is text, and can be written."""
    try:
        return isinstance(value, str) and bool(value.encode())
    except UnicodeEncodeError:
        return False


def _plain(value: object) -> object:
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, pl.DataType):
        return type_text(value)
    if isinstance(value, Decimal):
        return str(value)
    return value
