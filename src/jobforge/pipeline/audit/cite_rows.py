"""The rows that a statement lets through, and the figures of them.

In two queries, one after the other: the second sees nothing but the rows that the
first let through, so that no figure can be of other rows than those that are named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import polars as pl
from polars import selectors as cs

from jobforge.errors import InvalidQueryError, JobforgeError, UnknownColumnError, nearest
from jobforge.pipeline.audit.citation import CitedValue
from jobforge.pipeline.audit.cite_decimals import check_decimals
from jobforge.pipeline.audit.cite_statement import Statement
from jobforge.pipeline.audit.cite_widths import widened
from jobforge.quality.columns import column, columns, free_name

_BAD = (pl.exceptions.PolarsError, pl.exceptions.PanicException, TypeError, ValueError)
_INNER = "cited"
_MISSING = re.compile(r'unable to find column "(.*?)"; valid')
_DIALECT = "the statement is read by Polars SQL, and names are case-sensitive"


def chosen_rows(frame: pl.LazyFrame, statement: Statement) -> pl.LazyFrame:
    """The rows of a table that the condition lets through, as they are.

    Raises:
        InvalidQueryError: The condition cannot be judged.
        UnknownColumnError: It names a column that there is not.
    """
    schema = frame.collect_schema()
    _check_names(statement)
    if statement.where is None:
        return frame
    renamed = _renamed(schema)
    source = _wide(frame.rename(renamed))
    with _errors(schema):
        check_decimals(
            source.collect_schema(),
            lambda nothing: _ask(nothing, "*", statement.alias, statement.where),
        )
        where = _widened(source.collect_schema(), statement.where, statement.alias)
        found = _ask(source, "*", statement.alias, where)
        wide = found.collect_schema()
    back = found.rename({new: old for old, new in renamed.items()})
    return back.with_columns(
        column(name).cast(dtype)
        for (name, dtype), now in zip(schema.items(), wide.dtypes(), strict=True)
        if dtype != now
    )


def figures(rows: pl.LazyFrame, statement: Statement) -> tuple[CitedValue, ...]:
    """What a statement selects of the rows.

    The columns that it names are held in memory, in the order in which they stand,
    so that a sum of floats is the same each time.

    Raises:
        InvalidQueryError: It cannot be computed, or is no single value.
        UnknownColumnError: It names a column that there is not.
    """
    schema = rows.collect_schema()
    named = [name for name in schema if name in statement.names] or schema.names()[:1]
    with _errors(schema):
        narrow = _wide(rows.select(columns(named))).collect().rechunk()
        return tuple(_figure(narrow, statement, item) for item in statement.items)


def _figure(rows: pl.DataFrame, statement: Statement, item: str) -> CitedValue:
    check_decimals(rows.schema, lambda nothing: _ask(nothing, item, statement.alias))
    asked = _widened(rows.schema, item, statement.alias)
    found = _ask(rows.lazy(), asked, statement.alias).collect()
    if found.width != 1:
        raise InvalidQueryError(f"{item!r} is {found.width} columns", hint="name them one by one")
    if found.height != 1:
        what = "no row" if not found.height else f"{found.height:,} rows"
        hint = "use an aggregate, such as sum(...), or a condition that lets one row through"
        if not found.height:
            hint = "look at the condition: it lets no row through"
        raise InvalidQueryError(f"the result is {what}, and a figure is one", hint=hint)
    dtype = found.dtypes[0]
    if dtype.is_nested() or isinstance(dtype, (pl.Binary, pl.Object, pl.Null)):
        raise InvalidQueryError(
            f"{item!r} is {dtype}, which is no figure", hint="select a number, text or time"
        )
    if dtype.is_temporal():  # Python's own types have no nanoseconds
        found = found.select(column(found.columns[0]).dt.to_string("iso"))
        text = found.item()
        return _value(item, dtype, text, text)
    value = found.item()
    return _value(item, dtype, _exact(value), _shown(value))


def _value(item: str, dtype: pl.DataType, exact: str | None, shown: str | None) -> CitedValue:
    return CitedValue(
        expression=item,
        data_type=str(dtype),
        value=exact,
        shown=shown if exact is not None and shown is not None else "NULL",
    )


def _ask(frame: pl.LazyFrame, what: str, alias: str, where: str | None = None) -> pl.LazyFrame:
    quoted = alias.replace('"', '""')
    # The parts are those that `parse_statement` let through, and the frame is all there is to read.
    sql = f'SELECT {what} FROM {_INNER} AS "{quoted}"'  # noqa: S608
    if where is not None:
        sql += f" WHERE {where}"
    return pl.SQLContext({_INNER: frame}, register_globals=False).execute(sql)


def _wide(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Whole numbers with 128 bits: Polars wraps around in silence where one has too few."""
    return frame.with_columns(
        cs.integer().cast(pl.Int128), cs.list(cs.integer()).cast(pl.List(pl.Int128))
    )


def _widened(schema: pl.Schema, text: str, alias: str) -> str:
    """An expression that computes with 128 bits, too."""
    nothing = schema.to_frame(eager=False)
    return widened(
        text, schema, lambda part: _ask(nothing, part, alias).collect_schema().dtypes()[0]
    )


def _odd(name: str) -> bool:
    """Whether Polars SQL takes a name for a pattern, quoted or not."""
    return name == "*" or (name.startswith("^") and name.endswith("$"))


def _check_names(statement: Statement) -> None:
    """Refuse names that mean something else to Polars.

    Raises:
        InvalidQueryError: One does.
    """
    for name in statement.names:
        if _odd(name):
            raise InvalidQueryError(
                f"the column {name!r} cannot be named in SQL: it reads as a pattern",
                hint="rename it in a step of gold",
                column=name,
            )


def _renamed(schema: pl.Schema) -> dict[str, str]:
    """Other names for the columns that would be taken for patterns."""
    taken = list(schema)
    found = {}
    for name in filter(_odd, schema):
        found[name] = free_name("odd", taken)
        taken.append(found[name])
    return found


@contextmanager
def _errors(schema: pl.Schema) -> Iterator[None]:
    """Refusals of Polars, as errors that say what to do."""
    try:
        yield
    except _BAD as error:
        if isinstance(error, JobforgeError):
            raise
        text = (str(error).splitlines() or [type(error).__name__])[0].rstrip(":; ")
        missing = _MISSING.search(str(error))
        if missing is not None:
            name = missing.group(1)
            raise UnknownColumnError(
                f"the table has no column {name!r}", hint=nearest(name, schema), column=name
            ) from error
        raise InvalidQueryError(f"the statement fails: {text}", hint=_DIALECT) from error


def _exact(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return f"{value:f}"
    return repr(value) if isinstance(value, float) else str(value)


def _shown(value: object) -> str | None:
    if isinstance(value, bool):
        return _exact(value)
    if isinstance(value, Decimal):
        return f"{value:,f}"  # else a zero with many places is 0E-10
    if isinstance(value, (int, float)):
        return f"{value:,}"
    return f"'{value}'" if isinstance(value, str) else _exact(value)
