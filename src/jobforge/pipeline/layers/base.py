"""What the layers share: how a promotion is set up and how a layer ends."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import polars as pl

from jobforge._version import __version__
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.footer import Footer, LayerFile, open_layer_file
from jobforge.pipeline.models import SourceLayer, TransformRef
from jobforge.pipeline.transition import Clock, Move, Transition, utc_now

_SOURCES: dict[Layer, SourceLayer] = {
    Layer.STAGED: "staged",
    Layer.BRONZE: "bronze",
    Layer.SILVER: "silver",
}


class LayerBase:
    """A layer: its name, what may be done in it, and the clock it reads.

    Args:
        clock: Gives the time of a transition, in UTC.
    """

    name: ClassVar[Layer]
    allowed_operations: ClassVar[frozenset[str]]

    def __init__(self, clock: Clock = utc_now) -> None:
        self._clock = clock

    def _open(self, path: Path | str, source: Layer) -> LayerFile:
        return open_layer_file(path, source)

    def _transition(
        self,
        config: PipelineConfig,
        opened: LayerFile,
        transforms: tuple[TransformRef, ...] = (),
    ) -> Transition:
        footer = opened.footer
        move = Move(
            batch_id=footer.batch_id,
            table=footer.table,
            domain=footer.domain,
            source_layer=_SOURCES[footer.layer],
            target_layer=self.name,
            source_files=tuple(source.name for source in footer.sources),
            inputs=(opened.path,),
            transforms=transforms,
        )
        return Transition(config, move, self._clock)

    def _footer(self, before: Footer, *, traceable: bool) -> Footer:
        return before.model_copy(
            update={
                "layer": self.name,
                "traceable": traceable,
                "jobforge_version": __version__,
                "polars_version": pl.__version__,
            }
        )
