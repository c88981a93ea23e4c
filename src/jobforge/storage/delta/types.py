"""Polars' types in the schema of a Delta log, and which of them it cannot hold.

The types are those of the Delta transaction log protocol, "Schema Serialization
Format" (https://github.com/delta-io/delta/blob/master/PROTOCOL.md). A column
left out of the log stays in the data file; readers of Delta pass over it, and
jobforge's own reader returns it.
"""

from __future__ import annotations

import json
from typing import Any

import polars as pl
from deltalake import Schema

_PLAIN: dict[type, str] = {
    pl.String: "string",
    pl.Categorical: "string",
    pl.Binary: "binary",
    pl.Boolean: "boolean",
    pl.Int8: "byte",
    pl.Int16: "short",
    pl.Int32: "integer",
    pl.Int64: "long",
    # Delta has no unsigned types: the next wider signed one holds every value.
    pl.UInt8: "short",
    pl.UInt16: "integer",
    pl.UInt32: "long",
    pl.Float16: "float",
    pl.Float32: "float",
    pl.Float64: "double",
    pl.Date: "date",
}


def log_schema(schema: pl.Schema) -> tuple[Schema, dict[str, str]]:
    """The schema for the log, and the columns left out of it with the reason.

    Args:
        schema: Columns of the data file.
    """
    left_out: dict[str, str] = {}
    fields: list[dict[str, Any]] = []
    taken: set[str] = set()
    for name, dtype in schema.items():
        kind = _kind(dtype)
        if not name or any(ord(letter) < ord(" ") for letter in name):
            left_out[name] = "its name is empty or has a control character"
        elif name.lower() in taken:
            left_out[name] = "its name differs from another one only in case"
        elif kind is None:
            left_out[name] = f"Delta has no type that all its readers read as {dtype}"
        else:
            taken.add(name.lower())
            fields.append(_field(name, kind))
    text = json.dumps({"type": "struct", "fields": fields}, ensure_ascii=False)
    return Schema.from_json(text), left_out


def _field(name: str, kind: str | dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "type": kind, "nullable": True, "metadata": {}}


def _kind(dtype: object) -> str | dict[str, Any] | None:
    if isinstance(dtype, type):  # nested types may be given by their classes
        dtype = dtype()
    if isinstance(dtype, pl.Decimal):
        return f"decimal({dtype.precision},{dtype.scale})"
    if isinstance(dtype, pl.Datetime) and dtype.time_unit != "ns":  # readers cut those in silence
        return "timestamp" if dtype.time_zone else "timestamp_ntz"
    if isinstance(dtype, pl.List):
        element = _kind(dtype.inner)
        array = {"type": "array", "elementType": element, "containsNull": True}
        return array if element is not None else None
    if isinstance(dtype, pl.Struct):
        return _struct(dtype)
    return _PLAIN.get(type(dtype))


def _struct(dtype: pl.Struct) -> dict[str, Any] | None:
    names = [field.name.lower() for field in dtype.fields]
    kinds = [_kind(field.dtype) for field in dtype.fields]
    if not names or len(set(names)) < len(names) or "" in names:
        return None
    fields = []
    for field, kind in zip(dtype.fields, kinds, strict=True):
        if kind is None or any(ord(letter) < ord(" ") for letter in field.name):
            return None
        fields.append(_field(field.name, kind))
    return {"type": "struct", "fields": fields}
