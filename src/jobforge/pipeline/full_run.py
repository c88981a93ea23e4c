"""A source through all four layers in two passes over its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from jobforge.contracts.short import Schema
from jobforge.errors import JobforgeError
from jobforge.pipeline.config import Loading, PipelineConfig
from jobforge.pipeline.layers import BronzeLayer, GoldLayer, SilverLayer, StagedLayer
from jobforge.pipeline.layers.staged import Source
from jobforge.pipeline.steps import Transform
from jobforge.pipeline.transition import Outcome
from jobforge.pipeline.writing import Neighbours
from jobforge.readers.base import Progress, ReadOptions


@dataclass(frozen=True)
class FullRun:
    """What a full run is to do; the arguments are those of `PipelineEngine.run_full_pipeline`."""

    schema: Schema
    silver: Sequence[Transform] | None
    gold: Sequence[Transform] | None
    loading: Loading
    grain: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layers:
    """The four layers."""

    staged: StagedLayer
    bronze: BronzeLayer
    silver: SilverLayer
    gold: GoldLayer

    def run(
        self,
        source: Source,
        config: PipelineConfig,
        table: str,
        domain: str,
        wanted: FullRun,
        read: ReadOptions | None,
        progress: Progress,
    ) -> list[Outcome]:
        """One transition after the other; each second one is computed in the pass before it.

        The first pass reads the source, the second one bronze: one pass for all
        four layers would hold more in memory and gain nothing.

        Raises:
            JobforgeError: As the layers do; of the layers after staged it names the batch.
        """
        with ExitStack() as stack:
            bronze_ahead = gold_ahead = None
            if config.fused:
                bronze_ahead = self.bronze.ahead(config, wanted.schema, wanted.loading)
                stack.callback(bronze_ahead.drop)
                gold_ahead = self.gold.ahead(config, wanted.gold, wanted.loading, wanted.grain)
                if gold_ahead is not None:
                    stack.callback(gold_ahead.drop)
            staged = self.staged.run(
                source,
                config,
                table,
                domain,
                read=read,
                progress=progress,
                neighbours=Neighbours(then=bronze_ahead),
            )
            with _naming(staged.log.batch_id):
                bronze = self.bronze.run(
                    staged.path, config, wanted.schema, wanted.loading, Neighbours(bronze_ahead)
                )
                silver = self.silver.run(
                    bronze.path,
                    config,
                    wanted.silver,
                    wanted.loading,
                    Neighbours(then=gold_ahead),
                )
                gold = self.gold.run(
                    silver.path,
                    config,
                    wanted.gold,
                    wanted.loading,
                    Neighbours(gold_ahead),
                    wanted.grain,
                )
        return [staged, bronze, silver, gold]


@contextmanager
def _naming(batch_id: str) -> Iterator[None]:
    """Name the batch in an error, so that one can go on from the layers that it reached."""
    try:
        yield
    except JobforgeError as error:
        error.place = {**error.place, "batch": batch_id}
        raise
