"""The medallion itself: four layers, the engine that orders them, and their records."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobforge.pipeline.config import Layer, PipelineConfig
    from jobforge.pipeline.engine import PipelineEngine
    from jobforge.pipeline.models import BatchRecord, LayerTransitionLog

_HOMES = {
    "BatchRecord": "jobforge.pipeline.models",
    "Layer": "jobforge.pipeline.config",
    "LayerTransitionLog": "jobforge.pipeline.models",
    "PipelineConfig": "jobforge.pipeline.config",
    "PipelineEngine": "jobforge.pipeline.engine",
}

__all__ = ["BatchRecord", "Layer", "LayerTransitionLog", "PipelineConfig", "PipelineEngine"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name may be asked for
    """Load a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'jobforge.pipeline' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
