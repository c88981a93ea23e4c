"""Reader options from text, as a command line gives them."""

from __future__ import annotations

import json
from typing import Any

from jobforge.errors import InvalidOptionError, UnknownFormatError, nearest
from jobforge.readers.base import Reader, ReadOptions
from jobforge.readers.registry import reader_for, readers


def parse_options(name: str, file_format: str | None, pairs: list[str]) -> ReadOptions | None:
    """Options for a source from `name=value` texts.

    Args:
        name: Name of the first source file, which tells the format.
        file_format: Name of the format instead, such as `csv`.
        pairs: `name=value`; a list or dict is written as JSON.

    Returns:
        Typed options, or None where nothing was asked for.

    Raises:
        InvalidOptionError: A pair has another form, or the format has no such
            option or value.
        UnknownFormatError: There is no such format.
    """
    if not pairs and file_format is None:
        return None
    reader = reader_for(name, None) if file_format is None else _by_format(file_format)
    raw: dict[str, Any] = {}
    for pair in pairs:
        key, found, value = pair.partition("=")
        if not found:
            raise InvalidOptionError(
                f"{pair!r} is no reader option", hint="write name=value, such as delimiter=';'"
            )
        if key not in reader.options.model_fields:
            raise InvalidOptionError(
                f"the {reader.name} reader has no option {key!r}",
                hint=nearest(key, reader.options.model_fields),
            )
        raw[key] = _value(value)
    return reader.options(**raw)


def _by_format(name: str) -> Reader:
    for reader in readers():
        if reader.name == name:
            return reader
    raise UnknownFormatError(
        f"there is no format {name!r}",
        hint="the formats are " + ", ".join(reader.name for reader in readers()),
    )


def _value(text: str) -> object:
    """JSON for lists and dicts, else the text itself."""
    if text[:1] not in "[{" or not text:
        return text
    try:
        parsed: object = json.loads(text)
    except json.JSONDecodeError:
        return text
    return parsed
