"""What the rows of a layer hold, as a hash that does not depend on their order or their file.

Two files of the same rows have the same contents whatever the order, the
compression and the provenance that differs from run to run. Each value is
hashed by its bits (so that -0.0 is not 0.0) and bound to the record that its row
is of; the sums over all rows, one a column, are what is kept. Polars' own row
hash is used: quick, 64 bits wide, no protection against somebody who looks for
two tables with one hash (the SHA-256 of the files is), and the same only within
one version of Polars, which is why the version is part of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import polars as pl
from polars._typing import PolarsDataType

from jobforge.pipeline.models import Contents
from jobforge.pipeline.provenance import SOURCE_FILE, SOURCE_ROW, data_columns
from jobforge.quality.columns import column

ALGORITHM = f"polars-{pl.__version__}/1"
_SEED = 20_260_101
"""Any number; the same for ever."""
_WORDS: dict[pl.DataType, pl.DataType] = {
    pl.Float64(): pl.UInt64(),
    pl.Float32(): pl.UInt32(),
    pl.Float16(): pl.UInt16(),
}
"""Floats, and the integers that have their bits."""


def sums(frame: pl.LazyFrame, *, by_record: bool, without: frozenset[str] = frozenset()) -> Sums:
    """What has to be computed of a frame to tell what it holds.

    Args:
        frame: The rows of a layer, provenance included.
        by_record: Whether each row is the only one of its record; else it is told
            from others by everything it holds.
        without: Columns whose sums are known from elsewhere.
    """
    schema = frame.collect_schema()
    names = data_columns(schema.names())
    hashes = {name: bits(column(name), schema[name]).hash(_SEED) for name in names}
    provenance = [column(name).hash(_SEED) for name in (SOURCE_ROW, SOURCE_FILE) if name in schema]
    key = pl.lit(0, dtype=pl.UInt64)
    for place, value in enumerate(provenance if by_record else [*provenance, *hashes.values()]):
        key = key + value * (2 * place + 3)
    if not by_record:
        key = key.hash(_SEED)  # or the sum over rows would be one of sums over columns
    wanted = {name: value for name, value in hashes.items() if name not in without}
    hashed = frame.select(
        key.alias("key"), *(value.alias(f"c{place}") for place, value in enumerate(wanted.values()))
    )
    added = hashed.select(
        pl.len().cast(pl.UInt64).alias("rows"),
        column("key").sum(),
        *((column(f"c{place}") * (column("key") | 1)).sum() for place in range(len(wanted))),
    )
    return Sums(added, schema, tuple(wanted), by_record)


@dataclass(frozen=True)
class Sums:
    """Sums over the rows of a frame that are not computed yet.

    Args:
        frame: One row, when it is computed.
        schema: The columns of the rows.
        names: The columns that it has sums of.
        by_record: Whether each row was taken for the only one of its record.
    """

    frame: pl.LazyFrame
    schema: pl.Schema
    names: tuple[str, ...]
    by_record: bool

    def columns(self, computed: pl.DataFrame) -> dict[str, str]:
        """The sums by column, as contents have them.

        Args:
            computed: The frame, computed.
        """
        _, *values = computed.row(0)
        told = (f"{value or 0:016x}" for value in values)
        return dict(zip((SOURCE_ROW, *self.names), told, strict=True))

    def same_records(self, computed: pl.DataFrame, other: Contents) -> bool:
        """Whether the rows are of the records of other contents, each once."""
        return (
            self.key == other.key == "record"
            and computed.item(0, "rows") == other.rows
            and self.columns(computed)[SOURCE_ROW] == other.columns[SOURCE_ROW]
        )

    @property
    def key(self) -> Literal["record", "row"]:
        """As contents have it."""
        return "record" if self.by_record else "row"

    def contents(self, computed: pl.DataFrame, known: dict[str, str] | None = None) -> Contents:
        """What the rows hold.

        Args:
            computed: The frame, computed.
            known: Sums of the columns that were left out.
        """
        found = {**(known or {}), **self.columns(computed)}
        names = [SOURCE_ROW, *data_columns(self.schema.names())]
        columns = {name: found[name] for name in names}
        rows = int(computed.item(0, "rows"))
        made = Contents(
            algorithm=ALGORITHM, key=self.key, rows=rows, columns=columns, hash="0" * 64
        )
        return made.model_copy(update={"hash": whole_hash(made, self.schema)})


def whole_hash(contents: Contents, schema: pl.Schema) -> str:
    """The one hash of all that contents say, and of the types of the columns.

    Args:
        contents: What the rows hold; its own hash does not count.
        schema: The columns of the rows.
    """
    names = [SOURCE_ROW, *data_columns(schema.names())]
    columns = {name: contents.columns[name] for name in names}
    types = {name: str(schema[name]) for name in names if name in schema}
    whole = json.dumps([contents.algorithm, contents.key, contents.rows, types, columns])
    return hashlib.sha256(whole.encode()).hexdigest()


def contents_of(frame: pl.LazyFrame, *, by_record: bool) -> Contents:
    """What the rows of a frame hold.

    Args:
        frame: The rows of a layer, provenance included.
        by_record: Whether each row is the only one of its record (staged, bronze, silver), or
            may share it with others (gold).

    Raises:
        Exception: Whatever computing the frame raised.
    """
    wanted = sums(frame, by_record=by_record)
    return wanted.contents(wanted.frame.collect(engine="streaming"))


def bits(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A value in a form whose hash tells apart what has other bits, and only that."""
    if dtype in _WORDS:
        return value.reinterpret(dtype=_WORDS[dtype])
    if isinstance(dtype, (pl.Categorical, pl.Enum)):
        return value.cast(pl.String)  # its number depends on what else was read
    if not any(map(_needs_care, _inside(dtype))):
        return value
    if isinstance(dtype, pl.Struct):
        fields = [
            bits(value.struct.field(field.name), instance(field.dtype)).alias(field.name)
            for field in dtype.fields
        ]
        return pl.when(value.is_not_null()).then(pl.struct(fields))
    items = value.arr.to_list() if isinstance(dtype, pl.Array) else value
    return items.list.eval(bits(pl.element(), next(_inside(dtype))))


def _inside(dtype: pl.DataType) -> Iterator[pl.DataType]:
    """The types that a nested type is made of, and theirs."""
    inner: list[PolarsDataType] = []
    if isinstance(dtype, (pl.List, pl.Array)):
        inner = [dtype.inner]
    elif isinstance(dtype, pl.Struct):
        inner = [field.dtype for field in dtype.fields]
    for each in map(instance, inner):
        yield each
        yield from _inside(each)


def _needs_care(dtype: pl.DataType) -> bool:
    return dtype in _WORDS or isinstance(dtype, (pl.Categorical, pl.Enum))


def instance(dtype: PolarsDataType) -> pl.DataType:
    """A type as an object, where it may be a class."""
    return dtype if isinstance(dtype, pl.DataType) else dtype()
