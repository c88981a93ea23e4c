"""Which rows are asked for: by an SQL condition, by a key, or by their number."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from jobforge.errors import InvalidOptionError, UnknownColumnError, nearest
from jobforge.quality.columns import column

_BAD = (pl.exceptions.PolarsError, pl.exceptions.PanicException, TypeError, ValueError)


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
    names = frame.collect_schema().names()
    for name in found.meta.root_names():
        if name not in names:
            raise UnknownColumnError(
                f"the condition names a column {name!r}, which is not there",
                hint=nearest(name, names),
                column=name,
            )
    try:
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
        try:
            typed = pl.Series([value]).cast(schema[name], strict=True)
        except _BAD as error:
            raise InvalidOptionError(
                f"{value!r} is no value of {name!r}, which is {schema[name]}",
                hint="look at `jobforge show`",
                column=str(name),
            ) from error
        condition &= column(str(name)).eq_missing(pl.lit(typed.first()))
    return condition
