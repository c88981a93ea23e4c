"""What the methods of the engine that move rows give."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import polars as pl

from jobforge.pipeline.config import Layer
from jobforge.pipeline.models import LayerTransitionLog
from jobforge.quality.rules import RuleCount


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


class ReplayResult(TypedDict):
    """What `PipelineEngine.replay_rejects` gives."""

    batch_id: str
    cures: str
    """The batch whose rejects it brought in."""
    paths: dict[Layer, Path]
    """What was written in each layer that it reached."""
    logs: list[LayerTransitionLog]


class ContractCheck(TypedDict):
    """What `PipelineEngine.check_contract` gives."""

    rows: int
    """Records of the source."""
    passed: int
    """Those that would be in silver; 0 where the batch would be stopped."""
    rules: list[RuleCount]
    """What came of each cast and check."""
    rejects: pl.DataFrame
    """One line for each reason, as `reject_rows` has them; personal values are masked."""
    stopped: str | None
    """Why the batch would be stopped, where it would."""
