"""Reader options from text, as a command line gives them."""

from __future__ import annotations

import json
from typing import Any

from jobforge.errors import InvalidOptionError, nearest
from jobforge.readers.base import ReadOptions
from jobforge.readers.discovery import discover
from jobforge.readers.registry import reader_for, reader_named


def parse_options(
    sources: list[str], file_format: str | None, pairs: list[str]
) -> ReadOptions | None:
    """Options for a source from `name=value` texts.

    Args:
        sources: Files, folders or patterns; the first file tells the format.
        file_format: Name of the format instead, such as `csv`.
        pairs: `name=value`; a list or dict is written as JSON.

    Returns:
        Typed options, or None where nothing was asked for.

    Raises:
        InvalidOptionError: A pair has another form, or the format has no such
            option or value.
        UnknownFormatError: No reader knows the file's ending.
    """
    if not pairs and file_format is None:
        return None
    if file_format is not None:
        reader = reader_named(file_format)
    else:
        reader = reader_for(discover(sources).files[0].name, None)
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


def _value(text: str) -> object:
    """JSON for lists and dicts, else the text itself."""
    if text[:1] not in "[{" or not text:
        return text
    try:
        parsed: object = json.loads(text)
    except json.JSONDecodeError:
        return text
    return parsed
