"""Contracts from files: YAML or JSON, in any of the forms that there are."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from jobforge.contracts.imported import Imported
from jobforge.contracts.json_schema import from_json_schema
from jobforge.contracts.odcs import from_odcs
from jobforge.contracts.short import parse_schema
from jobforge.errors import InvalidSchemaError, JobforgeError

_HINT = 'a file holds an ODCS v3 contract, a JSON Schema, or {"rename": {...}, "cast": {...}}'


def read_contract(path: Path | str, table: str | None = None) -> Imported:
    """Read a contract from a file.

    Args:
        path: YAML or JSON: an ODCS v3 document, a JSON Schema of a row, the
            whole form of `Contract.as_dict`, or the short form.
        table: Which table of an ODCS document, where it has several.

    Raises:
        InvalidSchemaError: The file cannot be read, is neither YAML nor JSON,
            names a key twice, or is no contract.
    """
    try:
        place = Path(path)
        text = place.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InvalidSchemaError(
            f"there is no contract {path}", hint="look at the spelling and the current folder"
        ) from error
    except (OSError, UnicodeDecodeError, ValueError, TypeError) as error:
        raise InvalidSchemaError(f"{path} cannot be read: {error}", hint=_HINT) from error
    document = _parsed(place, text)
    if not isinstance(document, Mapping):
        raise InvalidSchemaError(f"{place} holds no contract", hint=_HINT)
    try:
        if document.get("kind") == "DataContract" or "apiVersion" in document:
            return from_odcs(document, table)
        if "$schema" in document or "properties" in document:
            return from_json_schema(document)
        return Imported(parse_schema(document))
    except JobforgeError as error:
        raise error.at(contract=str(place)) from error


def _parsed(place: Path, text: str) -> object:
    if place.suffix.lower() == ".json":
        return _json(place, text)
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a safe loader, below
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = {"line": mark.line + 1, "column": mark.column + 1} if mark is not None else {}
        raise InvalidSchemaError(
            f"{place} is no YAML: {error.problem or error.context}", hint=_HINT, **where
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise InvalidSchemaError(f"{place} is no YAML: {first}", hint=_HINT) from error


def _json(place: Path, text: str) -> object:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """JSON readers keep the last of two in silence."""
        names = [key for key, _ in pairs]
        for key in names:
            if names.count(key) > 1:
                raise InvalidSchemaError(f"{place} names {key!r} twice", hint="name each key once")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise InvalidSchemaError(
            f"{place} is not JSON: {error.msg}", hint=_HINT, line=error.lineno, column=error.colno
        ) from error
    except RecursionError as error:
        raise InvalidSchemaError(f"{place} is nested too deeply", hint=_HINT) from error


class _Loader(yaml.SafeLoader):
    """Plain values only, each key once, and dates as the text that they are."""


def _once(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen: set[Any] = set()
    for key, _ in node.value:
        name = loader.construct_object(key, deep=True)
        if name in seen:
            raise yaml.MarkedYAMLError(
                problem=f"{name!r} stands there twice", problem_mark=key.start_mark
            )
        seen.add(name)
    return dict(loader.construct_mapping(node, deep=True))


_Loader.add_constructor("tag:yaml.org,2002:map", _once)
_Loader.yaml_implicit_resolvers = {
    letter: [entry for entry in resolvers if entry[0] != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
