"""jobforge: source files through staged, bronze, silver and gold, with proof of every step.

The public names are loaded on first use, so that importing jobforge (and
`jobforge --help`) does not load Polars. jobforge sends no telemetry.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from jobforge._version import __version__

if TYPE_CHECKING:
    from jobforge.contracts.column import Column
    from jobforge.contracts.contract import Contract
    from jobforge.pipeline.config import Layer, PipelineConfig
    from jobforge.pipeline.engine import PipelineEngine
    from jobforge.pipeline.maintenance.source_records import SourceRecord
    from jobforge.pipeline.provenance import (
        PROVENANCE,
        add_provenance_columns,
        generate_batch_id,
        update_layer_column,
    )
    from jobforge.quality.cleaning import normalise_whitespace, null_words, trim
    from jobforge.quality.declared import expect, keep
    from jobforge.quality.duplicates import deduplicate
    from jobforge.quality.references import references

_HOMES = {
    "Column": "jobforge.contracts.column",
    "Contract": "jobforge.contracts.contract",
    "PROVENANCE": "jobforge.pipeline.provenance",
    "Layer": "jobforge.pipeline.config",
    "PipelineConfig": "jobforge.pipeline.config",
    "PipelineEngine": "jobforge.pipeline.engine",
    "SourceRecord": "jobforge.pipeline.maintenance.source_records",
    "add_provenance_columns": "jobforge.pipeline.provenance",
    "deduplicate": "jobforge.quality.duplicates",
    "expect": "jobforge.quality.declared",
    "generate_batch_id": "jobforge.pipeline.provenance",
    "keep": "jobforge.quality.declared",
    "normalise_whitespace": "jobforge.quality.cleaning",
    "null_words": "jobforge.quality.cleaning",
    "references": "jobforge.quality.references",
    "trim": "jobforge.quality.cleaning",
    "update_layer_column": "jobforge.pipeline.provenance",
}

__all__ = [
    "PROVENANCE",
    "Column",
    "Contract",
    "Layer",
    "PipelineConfig",
    "PipelineEngine",
    "SourceRecord",
    "__version__",
    "add_provenance_columns",
    "deduplicate",
    "expect",
    "generate_batch_id",
    "keep",
    "normalise_whitespace",
    "null_words",
    "references",
    "trim",
    "update_layer_column",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name may be asked for
    """Load a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'jobforge' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
