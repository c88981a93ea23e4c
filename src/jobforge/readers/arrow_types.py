"""Which Polars type holds the values of an Arrow column exactly, and which have none.

| in the file | in staged |
|---|---|
| booleans, integers, floats, text, binary, dates, null | the same |
| decimals up to 38 digits | the same; wider ones where every value fits, else refused |
| timestamps in ms, us, ns; with a named time zone | the same |
| timestamps with an offset of whole hours | the same instant; the zone is called `Etc/GMT...` |
| timestamps or durations in seconds | milliseconds |
| times of day | nanoseconds |
| fixed-size binary, UUID | binary |
| dictionary-encoded columns, Categorical, Enum | their values |
| lists, fixed-size lists, structs | the same |
| maps | a list of structs (`key`, `value`), because map readers drop repeated keys |
| extension types | their storage |
| intervals, structs without fields, other time zones, 128-bit integers, unions | refused by name |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from jobforge.errors import UnsupportedValueError
from jobforge.readers.frames import lazy_frames

MAX_DIGITS = 38
T = pa.types
_SAME: tuple[Callable[[pa.DataType], bool], ...] = (
    T.is_null,
    T.is_boolean,
    T.is_integer,
    T.is_floating,
    T.is_string,
    T.is_large_string,
    T.is_string_view,
    T.is_binary,
    T.is_large_binary,
    T.is_binary_view,
    T.is_date32,
    T.is_time,
)


@dataclass(frozen=True)
class ColumnPlan:
    """How one column becomes a Polars column.

    Args:
        name: As in the file.
        target: The Arrow type that Polars holds exactly.
        validate: Whether its bytes can be invalid (text, times, decimals).
    """

    name: str
    target: pa.DataType
    validate: bool


def plan_columns(schema: pa.Schema) -> tuple[ColumnPlan, ...]:
    """A plan for every column.

    Raises:
        UnsupportedValueError: A column has a type that staged cannot keep
            exactly, no name, the name of another, or one that is no UTF-8.
    """
    try:
        return _planned(schema)
    except UnicodeDecodeError as error:  # a name, of a column or within its type
        raise UnsupportedValueError(
            f"a column has a name that is no UTF-8 text: {error.object!r}",
            hint="the file is damaged, or was not made by Arrow: write it again",
        ) from error


def _planned(schema: pa.Schema) -> tuple[ColumnPlan, ...]:
    names = schema.names
    if not names:
        raise UnsupportedValueError(
            "the file has no columns", hint="a table without columns has no rows to keep"
        )
    seen = Counter(names)
    for name in names:
        if not name or "\0" in name:
            raise UnsupportedValueError(
                "a column has no name, or one with a NUL byte",
                hint="write the file again with a name for each column",
            )
        if seen[name] > 1:
            raise UnsupportedValueError(
                f"two columns are called {name!r}",
                hint="write the file again with different names",
                column=name,
            )
    return tuple(
        ColumnPlan(field.name, exact_type(field.type, field.name), _can_be_invalid(field.type))
        for field in schema
    )


def exact_type(kind: pa.DataType, at: str) -> pa.DataType:
    """The Arrow type that Polars holds exactly, for a type of a column.

    Raises:
        UnsupportedValueError: There is none.
    """
    if any(is_same(kind) for is_same in _SAME):
        return kind
    if isinstance(kind, pa.BaseExtensionType):
        return exact_type(kind.storage_type, at)
    if T.is_dictionary(kind):
        return exact_type(kind.value_type, at)
    if T.is_nested(kind):
        return _nested(kind, at)
    found = _temporal(kind, at) if T.is_temporal(kind) else _sized(kind)
    if found is None:
        raise UnsupportedValueError(
            f"the type {kind} cannot be kept exactly",
            hint="write the column with another type, or leave it out",
            column=at,
        )
    return found


def _temporal(kind: pa.DataType, at: str) -> pa.DataType | None:
    if T.is_duration(kind):
        return pa.duration("ms") if kind.unit == "s" else kind
    if T.is_date64(kind):
        return pa.timestamp("ms")
    if not T.is_timestamp(kind):
        return None
    unit = "ms" if kind.unit == "s" else kind.unit
    if kind.tz is None:
        return pa.timestamp(unit)
    try:
        # One row: with none, an unknown zone makes Polars panic instead of raise.
        dtype = pl.DataFrame(pa.table({"zone": pa.nulls(1, kind)})).schema["zone"]
    except pl.exceptions.PolarsError as error:
        raise UnsupportedValueError(
            f"the time zone {kind.tz!r} cannot be kept",
            hint="write the column in UTC or in a zone of the IANA database",
            column=at,
        ) from error
    return pa.timestamp(unit, dtype.time_zone) if isinstance(dtype, pl.Datetime) else None


def _sized(kind: pa.DataType) -> pa.DataType | None:
    if T.is_decimal(kind) and 0 <= kind.scale <= MAX_DIGITS:
        # Arrow has numbers of more places than digits, such as 0.012 with two; Polars has not.
        return pa.decimal128(min(max(kind.precision, kind.scale), MAX_DIGITS), kind.scale)
    if T.is_fixed_size_binary(kind) and kind.byte_width:
        return pa.binary()
    return None


def _nested(kind: pa.DataType, at: str) -> pa.DataType:
    if T.is_struct(kind):
        return pa.struct(_fields(kind, at))
    if T.is_map(kind):
        key = pa.field("key", exact_type(kind.key_type, at), nullable=False)
        value = pa.field("value", exact_type(kind.item_type, at))
        return pa.list_(pa.struct([key, value]))
    if T.is_fixed_size_list(kind) and kind.list_size:
        return pa.list_(_values(kind, at), kind.list_size)
    if T.is_large_list(kind) or T.is_large_list_view(kind):
        return pa.large_list(_values(kind, at))
    if T.is_list(kind) or T.is_list_view(kind):
        return pa.list_(_values(kind, at))
    raise UnsupportedValueError(
        f"the type {kind} cannot be kept exactly",
        hint="write the column with another type, or leave it out",
        column=at,
    )


def _values(kind: pa.DataType, at: str) -> pa.Field:
    field: pa.Field = kind.value_field
    return field.with_type(exact_type(kind.value_type, at))


def _fields(kind: pa.StructType, at: str) -> list[pa.Field]:
    fields = [kind.field(position) for position in range(kind.num_fields)]
    if not fields or len({field.name for field in fields}) < len(fields):
        raise UnsupportedValueError(
            "a struct has no fields" if not fields else "a struct has two fields of one name",
            hint="write the column in another form",
            column=at,
        )
    return [field.with_type(exact_type(field.type, f"{at}.{field.name}")) for field in fields]


def _can_be_invalid(kind: pa.DataType) -> bool:
    """Text (UTF-8), times (range) and decimals (precision), at any depth."""
    if isinstance(kind, pa.BaseExtensionType):
        return _can_be_invalid(kind.storage_type)
    if T.is_map(kind):
        return _can_be_invalid(kind.key_type) or _can_be_invalid(kind.item_type)
    if T.is_dictionary(kind):
        return _can_be_invalid(kind.value_type)
    if kind.num_fields:
        return any(_can_be_invalid(kind.field(i).type) for i in range(kind.num_fields))
    tests = (T.is_string, T.is_large_string, T.is_string_view, T.is_time, T.is_decimal)
    return any(test(kind) for test in tests)


def to_polars(batch: pa.RecordBatch, plan: tuple[ColumnPlan, ...]) -> pl.DataFrame:
    """One batch with every value unchanged.

    Raises:
        UnsupportedValueError: A value is invalid, or does not fit its type.
    """
    columns = []
    for column, step in zip(batch.columns, plan, strict=True):
        try:
            values = column.storage if isinstance(column, pa.ExtensionArray) else column
            if step.validate:
                values.validate(full=True)
            if values.type != step.target:
                values = values.cast(step.target, safe=True)
        except pa.ArrowException as error:
            raise UnsupportedValueError(
                f"a value cannot be kept exactly: {error}",
                hint="mend the file where it is written",
                column=step.name,
            ) from error
        columns.append(values)
    names = [step.name for step in plan]
    try:
        # Not from_arrow: it gives a new name to a column without one.
        return pl.DataFrame(pa.RecordBatch.from_arrays(columns, names=names))
    except (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise UnsupportedValueError(
            f"the values cannot be kept exactly: {error}", hint="write the file in another form"
        ) from error


def lazy_batches(
    plan: tuple[ColumnPlan, ...], batches: Callable[[], Iterator[pl.DataFrame]]
) -> pl.LazyFrame:
    """A lazy frame over batches that `to_polars` made by a plan."""
    empty = pa.schema([pa.field(step.name, step.target) for step in plan]).empty_table()
    return lazy_frames(pl.DataFrame(empty).schema, batches)


def describe_changes(schema: pa.Schema, plan: tuple[ColumnPlan, ...]) -> list[str]:
    """Columns whose values are the same in another type."""
    return [
        f"{field.name}: {field.type} is kept as {step.target}"
        for field, step in zip(schema, plan, strict=True)
        if field.type != step.target and not T.is_nested(field.type)
    ] + [
        f"{field.name}: map is kept as list of key and value"
        for field in schema
        if T.is_map(field.type)
    ]
