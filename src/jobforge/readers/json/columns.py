"""JSON values of one key as one typed column, decided over all records.

| values of a key in all records | column |
|---|---|
| true, false | Boolean |
| whole numbers within 64 bits | Int64 |
| numbers that a 64-bit float holds | Float64 |
| numbers beyond that | String: the number's own text |
| strings | String |
| objects, arrays | String: JSON text |
| of different kinds | String: JSON text of each, so that `1` and `"1"` differ |
| nothing but null | Null |

Within JSON text a number with a fraction or an exponent keeps its own text; a
whole number is written in its shortest form, so that `-0` is `0`.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from enum import IntEnum
from typing import Any

import jiter
import polars as pl
import pyarrow as pa

from jobforge.readers.json.parse import to_text


class Kind(IntEnum):
    """What the values of a key are; the higher one can be many things."""

    NULL = 0
    BOOLEAN = 1
    INTEGER = 2
    FLOAT = 3
    NUMBER = 4
    STRING = 5
    NESTED = 6
    MIXED = 7


DTYPES: dict[Kind, pl.DataType] = {
    Kind.NULL: pl.Null(),
    Kind.BOOLEAN: pl.Boolean(),
    Kind.INTEGER: pl.Int64(),
    Kind.FLOAT: pl.Float64(),
    Kind.NUMBER: pl.String(),
    Kind.STRING: pl.String(),
    Kind.NESTED: pl.String(),
    Kind.MIXED: pl.String(),
}
AS_TEXT = (Kind.NUMBER, Kind.NESTED, Kind.MIXED)
"""Kinds whose values are kept as JSON text."""

_NUMBERS = {Kind.INTEGER, Kind.FLOAT, Kind.NUMBER}
_BY_TYPE: dict[frozenset[type], Kind] = {
    frozenset(): Kind.NULL,
    frozenset([bool]): Kind.BOOLEAN,
    frozenset([int]): Kind.INTEGER,
    frozenset([float]): Kind.FLOAT,
    frozenset([int, float]): Kind.FLOAT,
    frozenset([jiter.LosslessFloat]): Kind.FLOAT,
    frozenset([int, jiter.LosslessFloat]): Kind.FLOAT,
    frozenset([str]): Kind.STRING,
    frozenset([dict]): Kind.NESTED,
    frozenset([list]): Kind.NESTED,
    frozenset([dict, list]): Kind.NESTED,
}
_NONE = type(None)
_WHOLE = 2**53
"""Beyond this a float prints other digits than the whole number that it holds."""


def join(one: Kind, other: Kind) -> Kind:
    """The kind of a column that holds both."""
    if one == other or Kind.NULL in (one, other):
        return max(one, other)
    return max(one, other) if {one, other} <= _NUMBERS else Kind.MIXED


def build(values: Sequence[Any]) -> tuple[Kind, pl.Series | None]:
    """Kind and typed values of a key in one block; None where they are kept as text."""
    types = set(map(type, values))
    kind = _BY_TYPE.get(frozenset(types - {_NONE}), Kind.MIXED)
    if kind in AS_TEXT:
        return kind, None
    if kind is Kind.FLOAT and jiter.LosslessFloat in types:
        return _lossless(values)
    if kind is Kind.FLOAT and int in types and not all(map(_fits_float, values)):
        return Kind.NUMBER, None
    try:
        arrow = pa.array(values, _ARROW[kind])
    except (OverflowError, pa.ArrowInvalid):
        return Kind.NUMBER, None  # beyond 64 bits, or an integer that no float holds
    return kind, pl.Series(arrow)


_ARROW = {
    Kind.NULL: pa.null(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.INTEGER: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.STRING: pa.large_string(),
}


def _lossless(values: Sequence[Any]) -> tuple[Kind, pl.Series | None]:
    """Floats from their texts, where every text is the number that its float is."""
    if not all(map(_fits_float, values)):
        return Kind.NUMBER, None
    texts = pl.Series([None if value is None else str(value) for value in values], dtype=pl.String)
    floats = texts.cast(pl.Float64, strict=False)
    odd = texts.filter(floats.cast(pl.String).ne_missing(texts) & texts.is_not_null())
    if all(_same(text) for text in odd):
        return Kind.FLOAT, floats
    return Kind.NUMBER, None


def _same(text: str) -> bool:
    number = float(text)
    if number - number != 0:
        return False
    try:
        return Decimal(text) == Decimal(repr(number))
    except InvalidOperation:
        return False


def as_text(values: Sequence[Any]) -> pl.Series:
    """Values as JSON text; null stays null."""
    texts = [None if value is None else to_text(value) for value in values]
    return pl.Series(texts, dtype=pl.String)


def widen(values: pl.Series, kind: Kind) -> pl.Series | None:
    """Values of one block in the column's final type; None where that is not exact."""
    if values.dtype == DTYPES[kind]:
        return values
    wide = values.cast(DTYPES[kind])
    fits = values.dtype != pl.Int64 or values.is_between(-_WHOLE, _WHOLE).all()
    return wide if fits else None


def _fits_float(value: object) -> bool:
    return not isinstance(value, int) or -_WHOLE <= value <= _WHOLE
