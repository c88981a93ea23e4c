"""The bronze schema: renames and casts, declared as a plain dict.

{
    "rename": {"NOC Code": "noc_code"},
    "cast": {"employment": "Int64", "updated": "Date"},      # names after the rename
    "null_values": ["N/A"],                                 # or {"employment": ["N/A"]}
    "format": {"updated": "%d/%m/%Y"},
}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from jobforge.contracts.dtypes import parse_dtype
from jobforge.contracts.formats import parse_format
from jobforge.errors import InvalidSchemaError, UnknownColumnError, nearest

KEYS = ("rename", "cast", "null_values", "format")


@dataclass(frozen=True)
class Cast:
    """How the text or value of one column becomes a typed value."""

    dtype: pl.DataType
    format: str | None = None
    null_values: tuple[str, ...] = ()
    null_by_name: bool = False
    """Whether the null words were declared for this column, and not for all."""


@dataclass(frozen=True)
class BronzeSchema:
    """What bronze does: renames first, then casts, by the new names."""

    rename: Mapping[str, str] = field(default_factory=dict)
    casts: Mapping[str, Cast] = field(default_factory=dict)

    def check_against(self, columns: Sequence[str], protected: Sequence[str]) -> None:
        """Refuse a schema that does not fit the columns of a staged table.

        Args:
            columns: Data columns of the table, as the source names them.
            protected: Names that belong to provenance.

        Raises:
            UnknownColumnError: A column to rename or cast is not there.
            InvalidSchemaError: Two columns would have one name, or a name is protected.
        """
        for old, new in self.rename.items():
            if old not in columns:
                raise UnknownColumnError(
                    f"rename: the table has no column {old!r}",
                    hint=nearest(old, columns),
                    column=old,
                )
            if new in protected:
                raise InvalidSchemaError(
                    f"rename: {new!r} is a provenance column",
                    hint="choose another name",
                    column=old,
                )
        renamed = [self.rename.get(name, name) for name in columns]
        for old, new in self.rename.items():
            if renamed.count(new) > 1:
                raise InvalidSchemaError(
                    f"rename: {old!r} cannot become {new!r}, because another column has that name",
                    hint="rename the other column too, or choose another name",
                    column=old,
                )
        for name in self.casts:
            if name in renamed:
                continue
            if name in self.rename:
                raise UnknownColumnError(
                    f"cast: {name!r} is called {self.rename[name]!r} after the rename",
                    hint="casts use the new names",
                    column=name,
                )
            raise UnknownColumnError(
                f"cast: the table has no column {name!r}", hint=nearest(name, renamed), column=name
            )


def parse_schema(schema: object) -> BronzeSchema:
    """Read the dict form.

    Args:
        schema: None (nothing to do), a `BronzeSchema`, or a dict with any of
            the keys `rename`, `cast`, `null_values`, `format`.

    Raises:
        InvalidSchemaError: It has another form; functions are refused by name.
    """
    if schema is None:
        return BronzeSchema()
    if isinstance(schema, BronzeSchema):
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
    return _parse(schema)


def _parse(schema: Mapping[str, object]) -> BronzeSchema:
    for key in schema:
        if key not in KEYS:
            raise InvalidSchemaError(
                f"a bronze schema has no key {key!r}", hint="the keys are " + ", ".join(KEYS)
            )
    rename = _texts("rename", schema.get("rename"))
    formats = _texts("format", schema.get("format"))
    types = _mapping("cast", schema.get("cast"))
    words = _null_words(schema.get("null_values"), list(types))
    for key, named in (("format", formats), ("null_values", words)):
        for column in named:
            if column not in types:
                raise InvalidSchemaError(
                    f"{key}: {column!r} has no cast",
                    hint=f"add it to cast; {nearest(column, types)}"
                    if types
                    else 'add it to cast, as "String" where it stays text',
                    column=column,
                )
    by_name = isinstance(schema.get("null_values"), Mapping)
    casts = {
        column: _cast(column, value, formats.get(column), words.get(column, ()))
        for column, value in types.items()
    }
    if by_name:
        casts = {
            column: replace(cast, null_by_name=column in words) for column, cast in casts.items()
        }
    return BronzeSchema(rename, casts)


def _cast(column: str, value: object, form: str | None, words: tuple[str, ...]) -> Cast:
    if callable(value) and not isinstance(value, type):
        raise InvalidSchemaError(
            "cast: bronze takes no functions", hint="name a type such as Int64", column=column
        )
    dtype = parse_dtype(column, value)
    if form is not None and not isinstance(dtype, (pl.Date, pl.Datetime, pl.Time)):
        raise InvalidSchemaError(
            f"format: {dtype} takes no format",
            hint="formats are for dates and times",
            column=column,
        )
    if form is not None:
        parse_format(column, form, dtype)
    return Cast(dtype, form, words)


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


def _null_words(value: object, columns: list[str]) -> dict[str, tuple[str, ...]]:
    """A list counts for every column that is cast; a dict for the columns it names."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {name: _words(words) for name, words in _mapping("null_values", value).items()}
    words = _words(value)
    return dict.fromkeys(columns, words)


def _words(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Sequence) and all(isinstance(word, str) for word in value):
        return tuple(value)
    raise InvalidSchemaError(
        f"null_values: {value!r} is no list of words", hint='write ["N/A", "-"]'
    )
