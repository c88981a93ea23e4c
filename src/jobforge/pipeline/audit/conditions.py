"""Which rows are asked for: by an SQL condition, by a key, or by their number."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from jobforge.contracts.casts import can_cast, exact_cast
from jobforge.contracts.column import Column
from jobforge.errors import (
    InvalidOptionError,
    InvalidQueryError,
    InvalidSchemaError,
    UnknownColumnError,
    nearest,
)
from jobforge.pipeline.audit.cite_decimals import check_decimals
from jobforge.pipeline.audit.cite_statement import check_condition
from jobforge.quality.columns import column

_BAD = (
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    OverflowError,
    TypeError,
    ValueError,
)
_SUBQUERY = "_POLARS_TMP_SQL_"
"""What Polars calls the column of a query within a condition, which it reads and cannot answer."""


def by_sql(where: object, frame: pl.LazyFrame) -> pl.Expr:
    """The condition of a text such as `order_id = 5 AND region = 'north'`.

    Raises:
        InvalidOptionError: It is no SQL condition, or does not fit the columns.
        UnknownColumnError: It names a column that is not there.
    """
    if not isinstance(where, str) or not where.strip():
        raise InvalidOptionError(f"where is {where!r}", hint='use SQL, such as "order_id = 5"')
    hint = 'use an SQL condition on the columns of the table, such as "order_id = 5"'
    try:
        found = pl.sql_expr(where)
    except _BAD as error:
        first = (str(error).splitlines() or [""])[0]
        raise InvalidOptionError(f"{where!r} is no SQL condition: {first}", hint=hint) from error
    try:
        check_condition(where)
    except InvalidQueryError as error:
        raise InvalidOptionError(error.message, hint=error.hint) from error
    names = frame.collect_schema().names()
    for name in found.meta.root_names():
        if name not in names and name.startswith(_SUBQUERY):
            raise InvalidOptionError(
                f"{where!r} is no SQL condition: it has a query within it", hint=hint
            )
        if name not in names:
            raise UnknownColumnError(
                f"the condition names a column {name!r}, which is not there",
                hint=nearest(name, names),
                column=name,
            )
    try:
        check_decimals(frame.collect_schema(), lambda nothing: nothing.select(found.alias("found")))
        kind = frame.select(found.alias("found")).collect_schema()["found"]
        if kind == pl.Boolean:
            frame.head(0).filter(found).collect()
    except _BAD as error:
        first = (str(error).splitlines() or [""])[0]
        raise InvalidOptionError(
            f"{where!r} does not fit the columns: {first}",
            hint="numbers without quotes, text and dates in single ones: name = 'north'",
        ) from error
    if kind != pl.Boolean:
        raise InvalidOptionError(f"{where!r} is no condition: it gives {kind}", hint=hint)
    return found


def by_key(key: object, frame: pl.LazyFrame) -> pl.Expr:
    """The condition that columns have certain values; null and text forms are taken too.

    Raises:
        InvalidOptionError: It is no mapping, or a value does not fit its column.
        UnknownColumnError: It names a column that is not there.
    """
    if not isinstance(key, Mapping) or not key:
        raise InvalidOptionError(f"key is {key!r}", hint="use columns and values: {'order_id': 5}")
    schema = frame.collect_schema()
    condition = pl.lit(value=True)
    for name, value in key.items():
        if name not in schema:
            raise UnknownColumnError(
                f"the key names a column {name!r}, which is not there",
                hint=nearest(str(name), schema.names()),
                column=str(name),
            )
        typed = _typed(str(name), value, schema[name])
        condition &= column(str(name)).eq_missing(pl.lit(typed).first())
    return condition


def _typed(name: str, value: object, dtype: pl.DataType) -> pl.Series:
    """A value in the type of its column, exactly; text is read as bronze reads it.

    Raises:
        InvalidOptionError: It is none of that type.
    """
    try:
        given = pl.Series(name, [value])
        if given.dtype == dtype:
            return given
        if given.dtype.is_nested():
            raise _unfit(name, value, dtype)
        if isinstance(dtype, pl.Categorical) or not can_cast(given.dtype, dtype):
            made = given.cast(dtype, strict=True)
            fits = made.cast(given.dtype, strict=True).equals(given)
        else:
            cast, rejected = exact_cast(name, given.dtype, Column(dtype))
            made, lost = given.to_frame().select(cast.alias(name), rejected.alias("lost"))
            fits = not lost.any()
    except (*_BAD, InvalidSchemaError) as error:
        raise _unfit(name, value, dtype) from error
    if not fits:
        raise _unfit(name, value, dtype)
    return made


def _unfit(name: str, value: object, dtype: pl.DataType) -> InvalidOptionError:
    return InvalidOptionError(
        f"{value!r} is no value of {name!r}, which is {dtype}",
        hint="look at `jobforge show`; dates and times are written as 2026-01-31 and "
        "2026-01-31T08:30:00",
        column=name,
    )
