"""The short form of a contract: renames and casts, as a plain dict.

{
    "rename": {"NOC Code": "noc_code"},
    "cast": {"employment": "Int64", "updated": "Date"},      # names after the rename
    "null_values": ["N/A"],                                 # or {"employment": ["N/A"]}
    "format": {"updated": "%d/%m/%Y"},
}

It means the same as a `Contract` of those columns. A dict that has `columns`
is a whole contract, as `Contract.as_dict` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobforge.contracts.column import Column
from jobforge.contracts.contract import Contract
from jobforge.errors import InvalidSchemaError, UnknownColumnError, nearest

KEYS = ("rename", "cast", "null_values", "format")

Schema = Contract | Mapping[str, Any]
"""What bronze is told to do."""


def parse_schema(schema: object) -> Contract:
    """Read what bronze is told to do.

    Args:
        schema: None (nothing to do), a `Contract`, its dict, or the short form:
            a dict with any of the keys `rename`, `cast`, `null_values`, `format`.

    Raises:
        InvalidSchemaError: It has another form; functions are refused by name.
    """
    if schema is None:
        return Contract({})
    if isinstance(schema, Contract):
        return schema
    if callable(schema):
        raise InvalidSchemaError(
            "bronze takes no functions: it renames and casts by declaration only",
            hint="move the function to silver_transforms",
        )
    if not isinstance(schema, Mapping):
        raise InvalidSchemaError(
            f"a bronze schema is a dict, not a {type(schema).__name__}",
            hint='{"rename": {"Old": "new"}, "cast": {"new": "Int64"}}',
        )
    return Contract.from_dict(schema) if "columns" in schema else _parse(schema)


def _parse(schema: Mapping[str, object]) -> Contract:
    for key in schema:
        if key not in KEYS:
            raise InvalidSchemaError(
                f"a bronze schema has no key {key!r}", hint="the keys are " + ", ".join(KEYS)
            )
    rename = _texts("rename", schema.get("rename"))
    formats = _texts("format", schema.get("format"))
    types = _mapping("cast", schema.get("cast"))
    shared, own = _null_words(schema.get("null_values"))
    for key, named in (("format", formats), ("null_values", own)):
        for column in named:
            if column not in types:
                raise InvalidSchemaError(
                    f"{key}: {column!r} has no cast",
                    hint=f"add it to cast; {nearest(column, types)}"
                    if types
                    else 'add it to cast, as "String" where it stays text',
                    column=column,
                )
    sources = _sources(rename, types)
    return Contract(
        {
            name: Column(
                types.get(name),
                source=sources.get(name) if sources.get(name) != name else None,
                format=formats.get(name),
                null_values=own.get(name, ()),
            )
            for name in dict.fromkeys([*sources, *types])
        },
        null_values=shared,
    )


def _sources(rename: dict[str, str], types: dict[str, object]) -> dict[str, str]:
    """For each new name the old one.

    Raises:
        InvalidSchemaError: A cast is a function, or two columns get one name.
        UnknownColumnError: A cast uses an old name.
    """
    for column, value in types.items():
        if callable(value) and not isinstance(value, type):
            raise InvalidSchemaError(
                "cast: bronze takes no functions", hint="name a type such as Int64", column=column
            )
        if column in rename and column not in rename.values():
            raise UnknownColumnError(
                f"cast: {column!r} is called {rename[column]!r} after the rename",
                hint="casts use the new names",
                column=column,
            )
    sources: dict[str, str] = {}
    for old, new in rename.items():
        if new in sources:
            raise InvalidSchemaError(
                f"rename: {old!r} cannot become {new!r}, because another column has that name",
                hint="rename the other column too, or choose another name",
                column=old,
            )
        sources[new] = old
    return sources


def _mapping(key: str, value: object) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise InvalidSchemaError(
            f"{key} is a dict by column name", hint=f'"{key}": {{"column": ...}}'
        )
    return dict(value)


def _texts(key: str, value: object) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, text in _mapping(key, value).items():
        if not isinstance(text, str) or not text:
            raise InvalidSchemaError(
                f"{key}: {text!r} is no text", hint="names and formats are text", column=name
            )
        found[name] = text
    return found


def _null_words(value: object) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """A list counts for every column that is cast; a dict for the columns it names."""
    if value is None:
        return (), {}
    if isinstance(value, Mapping):
        named = _mapping("null_values", value)
        return (), {name: _words(words) for name, words in named.items()}
    return _words(value), {}


def _words(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Sequence) and all(isinstance(word, str) for word in value):
        return tuple(value)
    raise InvalidSchemaError(
        f"null_values: {value!r} is no list of words", hint='write ["N/A", "-"]'
    )
