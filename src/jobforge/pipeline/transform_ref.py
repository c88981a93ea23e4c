"""The record of the code of a step."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from jobforge.pipeline.records import Record, Sha256


class TransformRef(Record):
    """Which code a step ran."""

    name: str
    """Step name, unique within the transition."""
    qualified_name: str
    code_sha256: Sha256 | None
    """SHA-256 of the source text, else of the bytecode; null where neither can be had."""
    definition: dict[str, str] = Field(default_factory=dict)
    """What a declared step says of itself; empty for a plain function."""
    recipe: dict[str, Any] | None = None
    """What a declared step can be made of again; null for a plain function."""
    source: str | None = None
    """The text of the function, or of the class of an object that is called."""
    source_sha256: Sha256 | None = None
    bytecode_sha256: Sha256 | None = None
    """Differs from one version of Python to the next."""
    module: str | None = None
    module_sha256: Sha256 | None = None
    """Of the file of the module, as it was when the step ran."""
    bound: dict[str, str] = Field(default_factory=dict)
    """What the function carries with it: arguments of a partial, the state of an object, what a
    local function has as defaults or closes over; of what the record cannot keep, the type."""
    reads: dict[str, str] = Field(default_factory=dict)
    """What it, and the functions of its module that it names, read there by name (of texts and
    collections, which may hold a password, the hash); and what a function that is found there
    has as defaults."""
    importable: bool = False
    """Whether another process finds the function by its name."""
    unprovable: str | None = None
    """Why it may give something else when it is run again."""
