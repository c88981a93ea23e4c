"""INT96 timestamps: which unit holds every one of them.

INT96 is a day and nanoseconds of the day, wider than any 64-bit timestamp. As
nanoseconds it wraps beyond the year 2262, as microseconds it loses digits, and
readers do either without a word. Here both are read and compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobforge.errors import UnsupportedValueError

_MICROS = 1_000_000
_INT64 = 2**63
_NANOS = 1000  # in a microsecond


def int96_columns(file: pq.ParquetFile) -> list[str]:
    """Paths of the columns whose physical type is INT96."""
    columns = [file.schema.column(i) for i in range(len(file.schema))]
    return [column.path for column in columns if column.physical_type == "INT96"]


def exact_unit(path: Path, columns: list[str]) -> str:
    """`us` or `ns`, whichever holds every INT96 value of the file.

    Raises:
        UnsupportedValueError: Neither does.
    """
    files = [
        pq.ParquetFile(path, page_checksum_verification=True, coerce_int96_timestamp_unit=unit)
        for unit in ("s", "us", "ns")
    ]
    micros_fit = nanos_fit = True
    streams = [file.iter_batches(columns=columns) for file in files]
    for batches in zip(*streams, strict=True):
        for position in range(batches[0].num_columns):
            if not _holds_timestamps(batches[0].column(position).type):
                continue  # a name with a dot selects a column beside it too
            leaves = [list(_leaves(batch.column(position))) for batch in batches]
            for seconds, micros, nanos in zip(*leaves, strict=True):
                by_micros, by_nanos = _fits(_raw(seconds), _raw(micros), _raw(nanos))
                micros_fit &= by_micros
                nanos_fit &= by_nanos
    if micros_fit:
        return "us"
    if nanos_fit:
        return "ns"
    raise UnsupportedValueError(
        "INT96 timestamps need more than 64 bits: some lie beyond the years of nanoseconds, "
        "others have digits below a microsecond",
        hint="write the columns as TIMESTAMP in one unit",
        column=columns[0],
    )


def _fits(seconds: np.ndarray, micros: np.ndarray, nanos: np.ndarray) -> tuple[bool, bool]:
    """Whether microseconds, and whether nanoseconds, hold the values exactly."""
    with np.errstate(over="ignore"):
        # Right even where nanoseconds wrapped, because both sides wrap alike.
        rest = nanos - micros * _NANOS
    in_range = bool((np.abs(seconds) < _INT64 // _MICROS - 1).all())
    in_range &= bool((np.abs(micros // _MICROS - seconds) <= 1).all())
    sane = bool(((rest >= 0) & (rest < _NANOS)).all())
    limit = _INT64 // _NANOS - 1
    nanos_range = bool(((micros >= -limit) & (micros <= limit)).all())
    return in_range and sane and not rest.any(), in_range and sane and nanos_range


def _raw(values: pa.Array) -> np.ndarray:
    return np.asarray(values.drop_null().view(pa.int64()).to_numpy(zero_copy_only=False))


def _holds_timestamps(kind: pa.DataType) -> bool:
    if kind.num_fields:
        return any(_holds_timestamps(kind.field(n).type) for n in range(kind.num_fields))
    return bool(pa.types.is_timestamp(kind))


def _leaves(values: pa.Array) -> Iterator[pa.Array]:
    kind = values.type
    if pa.types.is_struct(kind):
        for position in range(kind.num_fields):
            if _holds_timestamps(kind.field(position).type):
                yield from _leaves(values.field(position))
    elif pa.types.is_map(kind):
        for part in (values.keys, values.items):
            if _holds_timestamps(part.type):
                yield from _leaves(part)
    elif (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    ):
        yield from _leaves(values.values)
    elif pa.types.is_timestamp(kind):
        yield values
    else:
        raise UnsupportedValueError(
            f"INT96 timestamps inside {kind} cannot be checked",
            hint="write the column as TIMESTAMP",
        )
