"""A contract proposed from what a table holds: every row is looked at, and nothing is guessed.

A type is proposed where every value of a column becomes it exactly, but for
words that usually mean "no value". Where two readings fit all values (is
`03/04/2024` in March or April, is `1,234` a thousand or a fraction?), the
column stays text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from jobforge.contracts.casts import exact_cast
from jobforge.contracts.column import Column
from jobforge.contracts.contract import Contract
from jobforge.contracts.dtypes import parse_dtype
from jobforge.errors import InvalidSchemaError
from jobforge.quality.columns import PROVENANCE_COLUMNS
from jobforge.quality.columns import column as exactly

NULL_WORDS = (
    "N/A", "n/a", "NA", "N/D", "n/d", "#N/A", "NULL", "null", "None", "-", "--", "..", "...", "?",
)  # fmt: skip
"""Words that are proposed as "no value" where a typed column has them."""
_TEXT_NULL_WORDS = ("N/A", "n/a", "#N/A", "N/D", "n/d", "NULL")
"""Those that mean nothing else in text either."""
MOST_ALLOWED = 12
"""Different values up to which a text column is taken for a list of them."""
_OFTEN = 5
_LEAST_PRECISION, _MOST_PRECISION = 12, 38
_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%Y",
          "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y")  # fmt: skip
_SIGNS: tuple[dict[str, str], ...] = (
    {},
    {"thousands": ","},
    {"decimal": ","},
    {"decimal": ",", "thousands": "."},
    {"decimal": ",", "thousands": " "},
    {"decimal": ",", "thousands": "\u00a0"},
    {"decimal": ",", "thousands": "\u202f"},
)
_CODE = "^[+-]?0[0-9]"
"""A number with a zero in front is a code, and the zero is part of it; a date may begin so."""


def infer_contract(frame: pl.LazyFrame, *, ranges: bool = True) -> Contract:
    """Propose a contract.

    Args:
        frame: The data columns of a source, as staged has them.
        ranges: Whether to propose the least and greatest number that was seen
            as `ge` and `le`.

    Returns:
        A contract that every row passes; a proposal to be edited.
    """
    frame = frame.drop(PROVENANCE_COLUMNS, strict=False)
    schema = frame.collect_schema()
    names = _new_names(schema.names())
    rows, nulls = _look(frame, schema)
    columns: dict[str, Column] = {}
    key_found = False
    for source, name in names.items():
        column = _typed(frame, source, schema[source], rows, ranges=ranges)
        full = rows > 0 and not nulls[source] and not column.null_values
        key = full and not key_found and _is_key(frame, source, schema[source], column)
        key_found |= key
        columns[name] = replace(
            column,
            source=source if source != name else None,
            nullable=not full,
            key=key,
            allowed=None if key else column.allowed,
        )
    return Contract(columns)


def _is_key(frame: pl.LazyFrame, source: str, dtype: pl.DataType, column: Column) -> bool:
    """Whether every row has a value of its own, as the column will hold it."""
    own = column.dtype
    if own is None or not (own.is_integer() or isinstance(own, pl.String)):
        return False
    # As it will be held: text that differs may be one number, `1` and `+1`.
    value, _ = exact_cast(source, dtype, column)
    found = frame.select(value.n_unique().alias("distinct"), pl.len().alias("rows"))
    distinct, rows = found.collect(engine="streaming").row(0)
    return bool(distinct == rows)


def _look(frame: pl.LazyFrame, schema: pl.Schema) -> tuple[int, dict[str, int]]:
    """Rows, and the nulls of each column."""
    names = schema.names()
    found = frame.select(
        pl.len().alias("rows"),
        *(exactly(name).null_count().alias(f"nulls {at}") for at, name in enumerate(names)),
    ).collect(engine="streaming")
    rows, *nulls = found.row(0)
    return rows, dict(zip(names, nulls, strict=True))


def _typed(
    frame: pl.LazyFrame, source: str, dtype: pl.DataType, rows: int, *, ranges: bool
) -> Column:
    """The column with the type that all its values have."""
    if not isinstance(dtype, pl.String):
        try:
            known = parse_dtype(source, dtype)
        except InvalidSchemaError:
            return Column()
        return _with_range(frame, source, dtype, Column(known), ranges=ranges)
    values = (
        frame.select(exactly(source).alias("v")).drop_nulls().unique().collect(engine="streaming")
    )
    if not values.height:
        return Column(pl.String())
    for candidates in _candidates(values):
        fitting = [found for column in candidates if (found := _fits(values, column)) is not None]
        readings = {_reading(values, column): column for column in reversed(fitting)}
        if len(readings) == 1:
            (column,) = readings.values()
            return _with_range(frame, source, dtype, column, ranges=ranges)
        if readings:
            break  # more than one meaning: it stays text
    texts = set(values["v"].to_list())
    words = tuple(word for word in _TEXT_NULL_WORDS if word in texts)
    few = len(texts) <= MOST_ALLOWED and rows >= _OFTEN * len(texts)
    allowed = tuple(sorted(texts - set(words))) if few else ()
    return Column(pl.String(), null_values=words, allowed=allowed or None)


def _candidates(values: pl.DataFrame) -> Iterator[list[Column]]:
    """Columns that text may be, the narrowest type first; those of one list exclude each other.

    A number as programs write it needs no sign declared, and is taken for that.
    """
    yield [Column(pl.Boolean())]
    if not values.select(pl.col("v").str.contains(_CODE).any()).item():
        decimals = [(_decimal(values, signs), signs) for signs in _SIGNS]
        yield [Column(pl.Int64())]
        yield [Column(dtype) for dtype, signs in decimals if dtype is not None and not signs]
        yield [
            *(_signed(pl.Int64(), signs) for signs in _SIGNS if "decimal" not in signs),
            *(_signed(dtype, signs) for dtype, signs in decimals if dtype is not None),
        ]
        yield [Column(pl.Float64())]
    yield [Column(pl.Date(), format=form) for form in _DATES]
    yield [Column(pl.Datetime("us"))]
    yield [Column(pl.Datetime("us", "UTC"))]
    yield [Column(pl.Time())]


def _signed(dtype: pl.DataType, signs: dict[str, str]) -> Column:
    return Column(dtype, decimal=signs.get("decimal"), thousands=signs.get("thousands"))


def _decimal(values: pl.DataFrame, signs: dict[str, str]) -> pl.Decimal | None:
    """The decimal that holds every number; None where there is none."""
    point = re.escape(signs.get("decimal", "."))
    text = pl.col("v")
    if "thousands" in signs:
        text = text.str.replace_all(signs["thousands"], "", literal=True)
    number = text.str.extract_groups(f"^[+-]?(?<whole>[0-9]*){point}?(?<part>[0-9]*)$")
    sizes = values.select(
        number.struct.field("whole").str.len_chars().max().alias("whole"),
        number.struct.field("part").str.len_chars().max().alias("part"),
    ).row(0)
    whole, part = (int(size or 0) for size in sizes)
    if whole + part > _MOST_PRECISION or not whole + part:
        return None
    return pl.Decimal(max(_LEAST_PRECISION, whole + part), part)


def _fits(values: pl.DataFrame, column: Column) -> Column | None:
    """The column with the null words that it needs, where every other value becomes it."""
    _, failed = exact_cast("v", pl.String(), column)
    left = set(values.filter(failed)["v"].to_list())
    if left - set(NULL_WORDS) or len(left) == values.height:
        return None
    words = tuple(word for word in NULL_WORDS if word in left)
    return replace(column, null_values=words)


def _reading(values: pl.DataFrame, column: Column) -> tuple[object, ...]:
    """What the column makes of the values: equal where two columns read them alike."""
    value, _ = exact_cast("v", pl.String(), column, tuple(column.null_values))
    return tuple(values.select(value).to_series().to_list())


def _with_range(
    frame: pl.LazyFrame, source: str, dtype: pl.DataType, column: Column, *, ranges: bool
) -> Column:
    """The column with the least and greatest value that it has, where it is a number."""
    usual = column.format == _DATES[0]
    column = replace(column, format=None) if usual else column
    if not ranges or not column.dtype.is_numeric():
        return column
    value, _ = exact_cast(source, dtype, column, tuple(column.null_values))
    odd = (~value.is_finite()).any() if column.dtype.is_float() else pl.lit(value=False)
    limits = frame.select(value.min().alias("ge"), value.max().alias("le"), odd.alias("odd"))
    least, most, odd_ones = limits.collect(engine="streaming").row(0)
    if least is None or odd_ones:
        return column  # NaN and infinity are in no range that one would propose
    bounds: dict[str, Any] = {"ge": least, "le": most}
    return replace(column, **bounds)


def _new_names(names: Sequence[str]) -> dict[str, str]:
    """Names without spaces and signs; a name that two columns would have stays as it is."""
    wanted = {name: _plain(name) for name in names}
    taken = list(wanted.values())
    return {
        name: new if new and taken.count(new) == 1 and (new == name or new not in names) else name
        for name, new in wanted.items()
    }


def _plain(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name.strip())
    ascii_only = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"[^0-9a-z]+", "_", ascii_only.lower()).strip("_")
