"""Cells as plain values that lose nothing, and whether one is another by its bits."""

from __future__ import annotations

import base64
import math
import struct
from datetime import UTC, datetime
from typing import Any

import polars as pl

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class IsoTime(str):
    """A time or a duration that Python's own types cannot hold, as text in ISO 8601."""

    __slots__ = ()

    def __repr__(self) -> str:
        # It is no text in the table, and so is not in quotes.
        return str(self)


def exact_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame by column.

    Times are Python's own, but for nanoseconds and years that those do not have.
    """
    columns = [_exact(series) for series in frame.get_columns()]
    return [dict(zip(frame.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def _exact(series: pl.Series) -> list[Any]:
    dtype = series.dtype
    if isinstance(dtype, pl.Struct):
        fields = {name: _exact(series.struct.field(name)) for name in series.struct.fields}
        return [
            None if null else {name: cells[at] for name, cells in fields.items()}
            for at, null in enumerate(series.is_null())
        ]
    if isinstance(dtype, (pl.List, pl.Array)):
        return [None if items is None else _exact(items) for items in series]
    return _times(series) if dtype.is_temporal() else series.to_list()


def _times(series: pl.Series) -> list[Any]:
    fine = isinstance(series.dtype, pl.Time) or getattr(series.dtype, "time_unit", None) == "ns"
    try:
        cells = series.to_list()
    except (ValueError, OverflowError):
        cells = [_held(series, at) for at in range(series.len())]
    else:
        if not fine:
            return cells
    lost = (series.to_physical() % 1000 != 0) if fine else series.is_null()
    texts = series.dt.to_string("iso")
    return [
        IsoTime(text) if text is not None and (cut or cell is None) else cell
        for cell, text, cut in zip(cells, texts, lost, strict=True)
    ]


def _held(series: pl.Series, at: int) -> Any:  # noqa: ANN401 - a time of Python's own
    """A time as Python has it; None where it has none."""
    try:
        return series[at]
    except (ValueError, OverflowError):
        return None


def same(one: Any, other: Any) -> bool:  # noqa: ANN401 - any cell
    """Whether two cells are of one type and have the same bits."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):  # 0.0 == -0.0, and NaN is not equal to itself
        return struct.pack("<d", one) == struct.pack("<d", other)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, datetime) and one.tzinfo is not None and other.tzinfo is not None:
        # Python takes the two hours around the end of summer time for one.
        return bool(one - _EPOCH == other - _EPOCH)
    return bool(one == other)


def plain(value: Any) -> Any:  # noqa: ANN401 - any cell
    """A cell in a form that JSON has: bytes in Base64, NaN and the infinities as text."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value
