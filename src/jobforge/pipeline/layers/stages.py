"""A layer as the stages that its rows go through."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from jobforge.pipeline.layers.identity import Counts
from jobforge.pipeline.steps import Step
from jobforge.quality.parting import Parting
from jobforge.quality.rules import RuleCount


@dataclass(frozen=True)
class Stage:
    """The frame after one step, or after neighbouring rules, with its provenance put right."""

    step: Step
    """The step; of neighbouring rules the first one."""
    before: pl.LazyFrame
    frame: pl.LazyFrame
    probe: pl.LazyFrame | None
    """One row: the first two of `Counts`; None where the rows are those from before, by its plan,
    or counted by the parting."""
    identified: bool
    """Whether rows still name their source record."""
    dropped: tuple[str, ...] = ()
    """Provenance columns that the step left out and that were put back."""
    parting: Parting | None = None
    """Who left under which rule; None after a plain function."""
    computed: bool = False
    """Whether the function computed values of its input while it made its plan."""

    @property
    def probes(self) -> tuple[pl.LazyFrame, ...]:
        """What is to be computed in the pass that writes the rows."""
        if self.parting is not None:
            return (self.parting.tally,)
        return () if self.probe is None else (self.probe,)

    @property
    def chooses(self) -> bool:
        """Whether its rows are rows from before, each once, with their provenance."""
        return self.probe is None


@dataclass(frozen=True)
class Seen:
    """What was counted after one stage."""

    counts: Counts
    rules: tuple[RuleCount, ...] = ()
