"""What a replay found."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import NonNegativeInt

from jobforge.pipeline.config import Layer
from jobforge.pipeline.records import Record


class ReplayVerdict(StrEnum):
    """How a replay came out."""

    IDENTICAL = "identical"
    """Everything is as it was recorded."""
    DIFFERS = "differs"
    """Something else came out, and nothing is known that excuses it."""
    NOT_PROVABLE = "not provable"
    """It could not be run again as it was, or it differs and may do so from run to run."""


class RowDifference(Record):
    """One value, or one row, that is not as it was."""

    source_file: str | None
    source_row: int | None
    """The record of the row; null where the rows name none."""
    column: str | None
    """Null where the whole row is there on one side only."""
    recorded: str | None
    """As text; null for no value, and where values are withheld."""
    replayed: str | None
    row: Literal["both", "recorded only", "replayed only"] = "both"


What = Literal["rows", "rejects", "left out", "groups"]
"""The table, its quarantine, the source records that left without a trace there, or those that
went into each row of an aggregate."""


class Compared(Record):
    """The rows of one file, as they were recorded and as they came out."""

    what: What
    same: bool
    recorded_hash: str | None = None
    """Of the contents; null where there is no such file."""
    replayed_hash: str | None = None
    differing: NonNegativeInt | None = None
    """Rows that differ; null where the recorded file is gone, and nobody can say."""
    last_bits_only: bool = False
    """Whether all that differs is the last bits of floats, and a step may have added some."""
    columns: tuple[str, ...] = ()
    """The columns that differ."""
    first: tuple[RowDifference, ...] = ()
    """The first of the rows that differ, value by value."""
    withheld: bool = False
    """Whether values are not shown, because the contract has personal columns."""


class LayerReplay(Record):
    """One transition, run again."""

    layer: Layer
    transition_id: str
    verdict: ReplayVerdict | None
    """Null where it was only run."""
    reasons: tuple[str, ...] = ()
    """What differs, or why nothing can be proved."""
    notes: tuple[str, ...] = ()
    """What may be worth knowing, and changes nothing."""
    compared: tuple[Compared, ...] = ()
    file: str | None = None
    """What the replay wrote; null where it is not kept."""


class Replay(Record):
    """A batch, run again from staged."""

    batch_id: str
    table: str
    domain: str
    verdict: ReplayVerdict | None
    """The worst of its layers; null where it was only run."""
    layers: tuple[LayerReplay, ...]
    folder: str | None = None
    """The data root that it was run into, where that is kept."""
    notes: tuple[str, ...] = ()

    @property
    def ran(self) -> bool:
        """Whether every transition could be run again."""
        return all(layer.verdict is not ReplayVerdict.NOT_PROVABLE for layer in self.layers)


def worst(verdicts: list[ReplayVerdict]) -> ReplayVerdict:
    """A difference that nothing excuses, else what cannot be proved, else identical."""
    for verdict in (ReplayVerdict.DIFFERS, ReplayVerdict.NOT_PROVABLE):
        if verdict in verdicts:
            return verdict
    return ReplayVerdict.IDENTICAL
