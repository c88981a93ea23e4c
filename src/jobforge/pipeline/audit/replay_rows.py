"""Which rows of two files differ, told apart by every bit of their values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from jobforge.pipeline.audit.replay_result import RowDifference
from jobforge.pipeline.content import bits, instance
from jobforge.pipeline.provenance import SOURCE_FILE, SOURCE_ROW, data_columns
from jobforge.quality.columns import column, columns, free_name

_SHOWN = 20
_MATCHED = 10_000
"""Of more rows that differ it is not looked which columns do."""
_SPACING: dict[pl.DataType, float] = {
    pl.Float64(): 2.0**-52,
    pl.Float32(): 2.0**-23,
    pl.Float16(): 2.0**-10,
}
"""From 1 to the next float. Each addition rounds by half of it, relative to the sum, so a sum of n
floats of one sign is off by n - 1 halves, and two orders of adding them differ by twice that; one
spacing more is for what is computed of the sum, such as a mean. Where floats of both signs cancel
out, the rest may be off by more: that is told as a difference."""
_FARTHEST: dict[pl.DataType, float] = {
    pl.Float64(): 2.0**-40,
    pl.Float32(): 2.0**-11,
    pl.Float16(): 2.0**-7,
}
"""What no order of adding excuses, however many floats there are. Roundings mostly cancel out, and
what is left grows as the root of their number: the first two are 4,096 spacings, of 16 million
floats. The bound for the worst order would let pass any change of a sum of that many Float32."""
_SEED = 7
Added = Callable[[str], int]
"""How many floats a value of a column may be the sum of; 0 where it is no sum."""


@dataclass(frozen=True)
class Different:
    """The rows that are not the same in two frames.

    Args:
        rows: How many: of two that belong together, one; else those of the frame that has more.
        columns: The columns that differ.
        first: The first of them, value by value.
        last_bits: Whether they differ in the last bits of sums of floats, and in nothing else.
    """

    rows: int
    columns: tuple[str, ...]
    first: tuple[RowDifference, ...]
    last_bits: bool


def differing(
    recorded: pl.LazyFrame,
    replayed: pl.LazyFrame,
    *,
    show: bool,
    added: Added,
    grain: Sequence[str] = (),
) -> Different:
    """The rows that differ between two frames of the same columns.

    Rows belong together that name the same source record; where they name none,
    those of the same grain; without one, those whose other values than floats are
    the same.

    Args:
        recorded: As it was.
        replayed: As it came out.
        show: Whether values may be shown.
        added: How many floats one value of a column may be the sum of.
        grain: The columns that tell one row from another, where these were declared.
    """
    schema = recorded.collect_schema()
    names = data_columns(schema.names())
    floats = [name for name in names if schema[name].is_float()]
    one, other = _without_common(recorded, replayed)
    key = [name for name in (SOURCE_FILE, SOURCE_ROW) if name in schema]
    if SOURCE_ROW not in key or one[SOURCE_ROW].null_count() or other[SOURCE_ROW].null_count():
        key = [name for name in schema if name not in floats and name in one.columns]
        if grain and all(name in names for name in grain):
            key = [*grain]
    pairs = _paired(*(_numbered(rows, key) for rows in (one, other)))
    changed = [name for name in names if any(_differ(a, b, name) for a, b in pairs if a and b)]
    first = [told for a, b in pairs[:_SHOWN] for told in _told(a, b, names, show=show)]
    sums = {name: added(name) for name in floats if added(name)}
    return Different(
        rows=max(one.height, other.height),
        columns=tuple(changed),
        first=tuple(first),
        last_bits=_nearly(one, other, sums),
    )


Row = dict[str, Any]


def _without_common(
    recorded: pl.LazyFrame, replayed: pl.LazyFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of each that the other does not have, or not as often."""
    schema = recorded.collect_schema()
    mark = free_name("__row", schema)
    nth = free_name("__nth", schema)
    names = [n for n in schema if n in (SOURCE_FILE, SOURCE_ROW) or n in data_columns([n])]
    whole = pl.struct(
        [bits(column(n), schema[n]).hash(_SEED).alias(str(at)) for at, n in enumerate(names)]
    ).hash(_SEED)
    marked = [
        frame.select(columns(names), whole.alias(mark)).with_columns(
            pl.int_range(pl.len()).over(mark).alias(nth)
        )
        for frame in (recorded, replayed)
    ]
    keys = [frame.select(mark, nth) for frame in marked]
    found = [
        marked[at].join(keys[1 - at], on=[mark, nth], how="anti").drop(mark, nth) for at in (0, 1)
    ]
    one, other = pl.collect_all(found, engine="streaming")
    return one, other


def _numbered(rows: pl.DataFrame, key: Sequence[str]) -> dict[tuple[Any, ...], Row]:
    """Rows by what they belong together by; of several the first, second and so on."""
    found: dict[tuple[Any, ...], Row] = {}
    times: dict[tuple[Any, ...], int] = {}
    ordered = _ordered(rows, [*key, *(name for name in rows.columns if name not in key)])
    texts = [
        _readable(column(name), rows.schema[name]).alias(name)
        for name in data_columns(rows.columns)
    ]
    for row in ordered.head(_MATCHED).with_columns(texts).iter_rows(named=True):
        own = tuple(_text(row[name]) for name in key)
        times[own] = times.get(own, 0) + 1
        found[*own, times[own]] = row
    return found


def _ordered(rows: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    simple = [column(name) for name in names if not rows.schema[name].is_nested()]
    return rows.sort(simple, nulls_last=True, maintain_order=True) if simple else rows


def _paired(
    one: dict[tuple[Any, ...], Row], other: dict[tuple[Any, ...], Row]
) -> list[tuple[Row | None, Row | None]]:
    pairs: list[tuple[Row | None, Row | None]] = [(row, other.get(key)) for key, row in one.items()]
    return pairs + [(None, row) for key, row in other.items() if key not in one]


def _told(
    one: Row | None, other: Row | None, names: Sequence[str], *, show: bool
) -> list[RowDifference]:
    """What differs between two rows, value by value."""
    either = one or other or {}
    file, row = either.get(SOURCE_FILE), either.get(SOURCE_ROW)
    if one is None or other is None:
        which = "replayed only" if one is None else "recorded only"
        return [
            RowDifference(
                source_file=file,
                source_row=row,
                column=None,
                recorded=None,
                replayed=None,
                row="replayed only" if which == "replayed only" else "recorded only",
            )
        ]
    return [
        RowDifference(
            source_file=file,
            source_row=row,
            column=name,
            recorded=_text(one[name]) if show else None,
            replayed=_text(other[name]) if show else None,
        )
        for name in names
        if _differ(one, other, name)
    ]


def _differ(one: Row, other: Row, name: str) -> bool:
    return _text(one[name]) != _text(other[name])


def _nearly(one: pl.DataFrame, other: pl.DataFrame, sums: Mapping[str, int]) -> bool:
    """Whether rows are the same but for the last bits of sums of floats.

    Args:
        one: Rows.
        other: The rows that they are held against.
        sums: The columns that are sums, with how many floats each may be the sum of.
    """
    if one.height != other.height or not sums or not one.height:
        return False
    rest = [name for name in one.columns if name not in sums]
    a, b = (_ordered(rows, [*rest, *sums]) for rows in (one, other))
    exact = [bits(column(n), one.schema[n]).alias(str(at)) for at, n in enumerate(rest)]
    if exact and not a.select(exact).equals(b.select(exact)):
        return False
    return all(_near(a[name], b[name], added) for name, added in sums.items())


def _near(one: pl.Series, other: pl.Series, added: int) -> bool:
    nearest = min(added * _SPACING[one.dtype], _FARTHEST[one.dtype])
    a, b = pl.lit(one.cast(pl.Float64)), pl.lit(other.cast(pl.Float64))
    larger = pl.max_horizontal(a.abs(), b.abs())
    close = ((a - b).abs() <= larger * nearest) | a.eq_missing(b)
    return bool(pl.select(close.fill_null(value=False).all()).item())


def _readable(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A value of which Python's text is another one for other bits.

    Its own types have no nanoseconds, one NaN for all, and no offset for an hour
    that a clock shows twice.
    """
    if dtype.is_temporal():
        return value.dt.to_string("iso")
    if dtype.is_float():
        number = bits(value, dtype).cast(pl.String)
        return (
            pl.when(value.is_nan()).then("NaN of bits " + number).otherwise(value.cast(pl.String))
        )
    if isinstance(dtype, pl.Struct):
        fields = [
            _readable(value.struct.field(field.name), instance(field.dtype)).alias(field.name)
            for field in dtype.fields
        ]
        return pl.when(value.is_not_null()).then(pl.struct(fields)) if fields else value
    if isinstance(dtype, (pl.List, pl.Array)):
        items = value.arr.to_list() if isinstance(dtype, pl.Array) else value
        return items.list.eval(_readable(pl.element(), instance(dtype.inner)))
    return value


def _text(value: object) -> str | None:
    """A value as text that is another one for another value; -0.0 is not 0.0."""
    return None if value is None else str(value)
