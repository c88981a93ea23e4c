"""What each of the four layers does to a frame, one file a layer."""

from __future__ import annotations

from jobforge.pipeline.layers.bronze import BronzeLayer
from jobforge.pipeline.layers.gold import GoldLayer
from jobforge.pipeline.layers.silver import SilverLayer
from jobforge.pipeline.layers.staged import StagedLayer

__all__ = ["BronzeLayer", "GoldLayer", "SilverLayer", "StagedLayer"]
