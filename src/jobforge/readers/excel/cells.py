"""Cells of one column as one typed column, decided over all of its rows.

| cells | column |
|---|---|
| numbers, all whole and below 2^53 | Int64 |
| numbers | Float64 |
| text | String |
| true, false | Boolean |
| dates / dates and times | Date / Datetime |
| times of day / elapsed times | Time / Duration |
| of different kinds | String: each cell as `encode` writes it, so that `7` and `"7"` differ |
| blank | null; a column of blanks is Null |
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Sequence

import polars as pl

Cell = str | bool | int | float | dt.date | dt.datetime | dt.time | dt.timedelta | None
_WHOLE = 2**53
_NUMBERS = {int, float}
_DTYPES: dict[frozenset[type], pl.DataType] = {
    frozenset(): pl.Null(),
    frozenset([str]): pl.String(),
    frozenset([bool]): pl.Boolean(),
    frozenset([dt.date]): pl.Date(),
    frozenset([dt.datetime]): pl.Datetime("us"),
    frozenset([dt.date, dt.datetime]): pl.Datetime("us"),
    frozenset([dt.time]): pl.Time(),
    frozenset([dt.timedelta]): pl.Duration("us"),
}


def typed(values: Sequence[Cell]) -> tuple[pl.Series, bool]:
    """The column, and whether it mixes kinds and so holds each cell as encoded text."""
    kinds = frozenset(map(type, values)) - {type(None)}
    if kinds and kinds <= _NUMBERS:
        if all(value is None or _is_whole(value) for value in values):
            whole = [None if value is None else int(value) for value in values]  # type: ignore[arg-type] # numbers only
            return pl.Series(whole, dtype=pl.Int64), False
        return pl.Series(values, dtype=pl.Float64, strict=False), False
    dtype = _DTYPES.get(kinds)
    if dtype is None:
        return pl.Series([encode(value) for value in values], dtype=pl.String), True
    if isinstance(dtype, pl.Datetime):
        values = [_at_midnight(value) for value in values]
    return pl.Series(values, dtype=dtype), False


def encode(value: Cell) -> str | None:
    """A cell as text that tells what it was: text in JSON quotes, everything else without."""
    if value is None:
        return None
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(int(value)) if _is_whole(value) else repr(float(value))
    if isinstance(value, dt.timedelta):
        return f"PT{value / dt.timedelta(seconds=1):.6f}S"
    return value.isoformat()


def _is_whole(value: object) -> bool:
    if isinstance(value, int):
        return abs(value) < _WHOLE
    if not isinstance(value, float) or not value.is_integer() or abs(value) >= _WHOLE:
        return False
    return value != 0 or math.copysign(1, value) > 0


def _at_midnight(value: Cell) -> Cell:
    """A date as the moment it begins: a workbook stores both as one kind of number."""
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return dt.datetime.combine(value, dt.time())
    return value
