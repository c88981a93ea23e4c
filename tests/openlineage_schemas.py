"""A judge of OpenLineage events: the official JSON schemas, from local files, formats included."""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource

from support import SHARED

SCHEMAS = SHARED / "openlineage"
needs_schemas = pytest.mark.skipif(
    not SCHEMAS.is_dir(), reason=f"no published OpenLineage schemas in {SCHEMAS}"
)
_BASE = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
_OWN = {"_producer", "_schemaURL", "_deleted"}
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)"  # RFC 3339, section 5.6
)

FORMATS = FormatChecker(["uuid"])


@FORMATS.checks("uri")
def _is_uri(value: object) -> bool:
    if not isinstance(value, str):
        return True
    return _URI.fullmatch(value) is not None and bool(urlsplit(value).scheme)


@FORMATS.checks("date-time", raises=ValueError)
def _is_moment(value: object) -> bool:
    if not isinstance(value, str):
        return True
    return _MOMENT.fullmatch(value) is not None and bool(datetime.fromisoformat(value))


def events_of(path: Path) -> list[dict[str, Any]]:
    """The events of a file, each of which has to be valid."""
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    found = [json.loads(line) for line in text.splitlines()]
    for event in found:
        check(event)
    return found


def check(event: dict[str, Any]) -> None:
    """Refuse an event that is not as the specification has it, down to the fields of its facets."""
    _validator(f"{_BASE}#/$defs/RunEvent").validate(event)
    assert event["schemaURL"] == f"{_BASE}#/$defs/RunEvent"
    _facets(event["run"].get("facets"), "RunFacet")
    _facets(event["job"].get("facets"), "JobFacet")
    for dataset in event["inputs"]:
        _facets(dataset.get("facets"), "DatasetFacet")
        _facets(dataset.get("inputFacets"), "InputDatasetFacet")
    for dataset in event["outputs"]:
        _facets(dataset.get("facets"), "DatasetFacet")
        _facets(dataset.get("outputFacets"), "OutputDatasetFacet")


def _facets(facets: dict[str, Any] | None, place: str) -> None:
    for name, facet in (facets or {}).items():
        url = facet["_schemaURL"]
        schema = _schemas()[url.partition("#")[0]]
        _validator(schema["$id"]).validate({name: facet})
        assert name in schema["properties"], f"{name} is no facet of {url}"
        definition = schema["$defs"][url.rpartition("/")[2]]
        parts = definition["allOf"]
        assert parts[0]["$ref"] == f"{_BASE}#/$defs/{place}", f"{name} is no {place}"
        # The schemas allow further fields, so a misspelt one would pass.
        assert set(facet) <= _OWN | set(parts[1]["properties"]), f"{name}: {sorted(facet)}"


@cache
def _schemas() -> dict[str, Any]:
    paths = [SCHEMAS / "OpenLineage.json", *(SCHEMAS / "facets").glob("*.json")]
    found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    for schema in found:
        Draft202012Validator.check_schema(schema)
    return {schema["$id"]: schema for schema in found}


@cache
def _validator(url: str) -> Draft202012Validator:
    known: Registry[Any] = Registry().with_resources(
        (identity, Resource.from_contents(schema)) for identity, schema in _schemas().items()
    )
    return Draft202012Validator({"$ref": url}, registry=known, format_checker=FORMATS)
