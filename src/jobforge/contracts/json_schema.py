"""Contracts as JSON Schema (draft 2020-12) of one row of bronze.

Our own words stand under `x-jobforge`, which the standard lets validators
ignore. See https://json-schema.org/draft/2020-12/schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from jobforge.contracts.column import Column
from jobforge.contracts.contract import Contract
from jobforge.contracts.imported import Imported
from jobforge.contracts.logical import as_text, dtype_of, exact_number, logical_type
from jobforge.errors import InvalidSchemaError

DIALECT = "https://json-schema.org/draft/2020-12/schema"
OWN = "x-jobforge"
_JSON_TYPES = {"date": "string", "timestamp": "string", "time": "string"}
_FORMATS = {"date": "date", "timestamp": "date-time", "time": "time"}
_LOGICAL = {name: logical for logical, name in _FORMATS.items()}
_KNOWN_OF_ROW = {
    "$schema", "$id", "$comment", "title", "description", "type", "properties", "required",
    "additionalProperties", OWN,
}  # fmt: skip
_KNOWN = {
    "type", "format", "minimum", "maximum", "pattern", "minLength", "maxLength", "enum",
    "description", "title", OWN,
}  # fmt: skip


def to_json_schema(contract: Contract, table: str) -> dict[str, Any]:
    """The contract as a JSON Schema that a row of bronze, as JSON, has to fit.

    Args:
        contract: The contract.
        table: Name of the table, for the title.
    """
    own = {key: value for key, value in contract.as_dict().items() if key != "columns"}
    own.pop("description", None)
    found: dict[str, Any] = {
        "$schema": DIALECT,
        "title": table,
        "type": "object",
        "properties": {name: _property(column) for name, column in contract.columns.items()},
        "required": [name for name, column in contract.columns.items() if not column.nullable],
        "additionalProperties": contract.extra_columns == "keep",
        OWN: own,
    }
    return {**found, "description": contract.description} if contract.description else found


def from_json_schema(document: Mapping[str, Any]) -> Imported:
    """Read a JSON Schema of a row.

    Raises:
        InvalidSchemaError: It is no schema of an object.
    """
    properties = document.get("properties")
    if document.get("type") != "object" or not isinstance(properties, Mapping):
        raise InvalidSchemaError(
            "the JSON Schema describes no object with properties",
            hint='a row is {"type": "object", "properties": {...}}',
        )
    required = document.get("required", [])
    left_out = [word for word in document if word not in _KNOWN_OF_ROW]
    left_out += [f"required: {name}" for name in required if name not in properties]
    if not isinstance(document.get("additionalProperties", True), bool):
        left_out.append("additionalProperties")
    left_out += [
        f"{name}: {word}"
        for name, entry in properties.items()
        if isinstance(entry, Mapping)
        for word in entry
        if word not in _KNOWN
    ]
    columns = {
        str(name): _column(str(name), entry, required=name in required)
        for name, entry in properties.items()
    }
    own = document.get(OWN)
    if own is None:
        extra = "keep" if document.get("additionalProperties", True) else "fail"
        own = {"extra_columns": extra}
    if not isinstance(own, Mapping):
        raise InvalidSchemaError(f"{OWN} is no object", hint="leave it as jobforge wrote it")
    written = {name: column.as_dict() for name, column in columns.items()}
    declared = {**own, "columns": written}
    if document.get("description"):
        declared["description"] = document["description"]
    return Imported(Contract.from_dict(declared), tuple(left_out))


def _property(column: Column) -> dict[str, Any]:
    dtype: pl.DataType | None = column.dtype
    logical = logical_type(dtype)
    said = column.as_dict()
    found: dict[str, Any] = {}
    if logical is not None:
        kind = _JSON_TYPES.get(logical, logical)
        found["type"] = [kind, "null"] if column.nullable else kind
    if logical in _FORMATS:
        found["format"] = _FORMATS[logical]
    for word, bound in (("minimum", column.ge), ("maximum", column.le)):
        number = exact_number(bound)
        found |= {word: number} if number is not None else {}
    if column.pattern is not None:
        found["pattern"] = column.pattern
    if column.length is not None:
        least, most = column.length
        found |= {"minLength": least} if least is not None else {}
        found |= {"maxLength": most} if most is not None else {}
    if column.allowed is not None:
        values = [
            exact_number(v) if exact_number(v) is not None else _json(v) for v in column.allowed
        ]
        found["enum"] = [*values, None] if column.nullable else values
    if column.description is not None:
        found["description"] = column.description
    return {**found, OWN: {key: v for key, v in said.items() if key != "description"}}


def _json(value: object) -> object:
    return value if isinstance(value, (str, bool)) else as_text(value)


def _column(name: str, entry: object, *, required: bool) -> Column:
    if not isinstance(entry, Mapping):
        raise InvalidSchemaError("a property is no object", hint='write {"type": ...}', column=name)
    own = entry.get(OWN)
    if own is not None:
        declared = dict(own) if isinstance(own, Mapping) else own
        if isinstance(declared, dict) and entry.get("description"):
            declared["description"] = entry["description"]
        return Column.from_dict(name, declared)
    kinds = entry.get("type")
    listed = [kinds] if isinstance(kinds, str) else list(kinds or [])
    others = [kind for kind in listed if kind != "null"]
    kind = others[0] if len(others) == 1 else None
    logical = _LOGICAL.get(str(entry.get("format")), kind) if kind == "string" else kind
    least, most = entry.get("minLength"), entry.get("maxLength")
    allowed = [value for value in entry.get("enum", []) if value is not None]
    return Column(
        dtype_of(name, logical, None),
        nullable=not required or "null" in listed,
        ge=entry.get("minimum"),
        le=entry.get("maximum"),
        pattern=entry.get("pattern"),
        length=(least, most) if (least, most) != (None, None) else None,
        allowed=allowed or None,
        description=entry.get("description"),
    ).checked(name)
