"""What is recorded of the origin of a layer's columns.

The kinds are those of the `columnLineage` facet of OpenLineage: three for values
that a column is made of, the rest for values that only steer what it becomes.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from jobforge.pipeline.records import Record


class Influence(StrEnum):
    """What a column of the input does for a column of the output."""

    IDENTITY = "identity"
    """Its values are taken as they are."""
    TRANSFORMATION = "transformation"
    """A value is computed from its values."""
    AGGREGATION = "aggregation"
    """A value is computed from its values in several rows."""
    CONDITIONAL = "conditional"
    """It decides which of several values is taken."""
    WINDOW = "window"
    """It decides which rows are computed with, or their order there."""
    FILTER = "filter"
    """It decides which rows, or values, stay."""
    SORT = "sort"
    """It decides their order."""
    GROUP_BY = "group_by"
    """It decides which rows become one."""
    JOIN = "join"
    """It decides which rows of two frames come together."""

    @property
    def direct(self) -> bool:
        """Whether values of the one become values of the other."""
        return self in _DIRECT


_DIRECT = (Influence.IDENTITY, Influence.TRANSFORMATION, Influence.AGGREGATION)


class Gap(StrEnum):
    """Why there may be more to the origin of a column than is listed; never filled by a guess."""

    OTHER_FRAME = "other_frame"
    """It has values of a frame that is not the input of the layer."""
    PYTHON = "python"
    """A function had the rows in its hands: it computed with them, or gave a finished frame."""
    PLAN = "plan"
    """A part of the plan is not understood, or not shown by Polars."""
    EXPRESSION = "expression"
    """An expression is not shown by Polars, and what it needs cannot be told from the rest."""
    NOT_RECORDED = "not_recorded"
    """Nothing was recorded: an older jobforge made it, or it came from another data root."""


class ColumnSource(Record):
    """A column of the input and what it does."""

    column: str
    influence: Influence


class ColumnLineage(Record):
    """Where one column, or the choice of rows, comes from."""

    sources: tuple[ColumnSource, ...] = ()
    """None for what comes from no column, such as a constant."""
    gap: Gap | None = None
    """Null where `sources` are all."""
    steps: tuple[str, ...] = ()
    """Steps that did more than pass it on, in order."""

    @property
    def values(self) -> tuple[str, ...]:
        """Columns whose values it is made of, as far as they are known."""
        return tuple(
            dict.fromkeys(source.column for source in self.sources if source.influence.direct)
        )


class FrameLineage(Record):
    """Where the columns and the rows of a layer come from: the columns of the layer before."""

    unchanged: tuple[str, ...] = ()
    """Columns that are the columns of the same name."""
    computed: dict[str, ColumnLineage] = Field(default_factory=dict)
    """The others."""
    rows: ColumnLineage = ColumnLineage()
    """What decided which rows there are, and in which order."""

    def of(self, column: str) -> ColumnLineage:
        """The origin of a column; of one that is not known, that nothing is recorded."""
        if column in self.computed:
            return self.computed[column]
        if column in self.unchanged:
            source = ColumnSource(column=column, influence=Influence.IDENTITY)
            return ColumnLineage(sources=(source,))
        return ColumnLineage(gap=Gap.NOT_RECORDED)
