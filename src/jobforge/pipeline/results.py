"""What the methods of the engine that move rows give."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from jobforge.pipeline.models import LayerTransitionLog


class IngestResult(TypedDict):
    """What `PipelineEngine.ingest` gives."""

    batch_id: str
    staged_path: Path
    log: LayerTransitionLog


class BronzeResult(TypedDict):
    """What `PipelineEngine.promote_to_bronze` gives."""

    batch_id: str
    bronze_path: Path
    log: LayerTransitionLog


class SilverResult(TypedDict):
    """What `PipelineEngine.promote_to_silver` gives."""

    batch_id: str
    silver_path: Path
    log: LayerTransitionLog


class GoldResult(TypedDict):
    """What `PipelineEngine.promote_to_gold` gives."""

    batch_id: str
    gold_path: Path
    log: LayerTransitionLog


class PipelineResult(TypedDict):
    """What `PipelineEngine.run_full_pipeline` gives."""

    batch_id: str
    staged_path: Path
    bronze_path: Path
    silver_path: Path
    gold_path: Path
    logs: list[LayerTransitionLog]
