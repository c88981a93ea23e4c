"""The origin of columns while it is worked out: step by step, and put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from jobforge.pipeline.column_lineage.record import (
    ColumnLineage,
    ColumnSource,
    FrameLineage,
    Gap,
    Influence,
)

_STRENGTH = (Influence.IDENTITY, Influence.TRANSFORMATION, Influence.AGGREGATION)
_WORST = (Gap.NOT_RECORDED, Gap.PYTHON, Gap.PLAN, Gap.OTHER_FRAME, Gap.EXPRESSION)


@dataclass(frozen=True)
class Origin:
    """Where a column comes from: columns of an input, and what each does for it."""

    sources: frozenset[tuple[str, Influence]] = frozenset()
    gap: Gap | None = None
    steps: tuple[str, ...] = ()

    @property
    def plain(self) -> str | None:
        """The column that it is, where it is one as it stands."""
        if self.gap is None and len(self.sources) == 1:
            ((name, influence),) = self.sources
            return name if influence is Influence.IDENTITY else None
        return None

    def used(self, influence: Influence) -> Origin:
        """The origin of something that this is used for."""
        if influence is Influence.IDENTITY:
            return self
        found = frozenset((name, _through(influence, known)) for name, known in self.sources)
        return replace(self, sources=found)


NOWHERE = Origin()
"""The origin of what comes from no column."""


def column_origin(name: str, influence: Influence = Influence.IDENTITY) -> Origin:
    """The origin of what comes from one column."""
    return Origin(frozenset({(name, influence)}))


def together(origins: Iterable[Origin]) -> Origin:
    """The origin of what is made of several things."""
    sources: set[tuple[str, Influence]] = set()
    gaps: list[Gap] = []
    steps: dict[str, None] = {}
    for origin in origins:
        sources |= origin.sources
        steps |= dict.fromkeys(origin.steps)
        if origin.gap is not None:
            gaps.append(origin.gap)
    gap = min(gaps, key=_WORST.index) if gaps else None
    return Origin(frozenset(sources), gap, tuple(steps))


@dataclass(frozen=True)
class Flow:
    """Where the columns of a frame come from, and what decided which rows it has."""

    columns: Mapping[str, Origin]
    rows: Origin = NOWHERE
    gaps: frozenset[Gap] = field(default_factory=frozenset)
    """Every gap that was met on the way, in whatever column."""

    def of(self, origin: Origin) -> Origin:
        """An origin in columns of this frame, told in columns of its input."""
        plain = origin.plain
        if plain is not None and plain in self.columns and not origin.steps:
            return self.columns[plain]
        parts = [
            self.columns.get(name, Origin(gap=Gap.PLAN)).used(influence)
            for name, influence in origin.sources
        ]
        found = together(parts)
        steps = (*found.steps, *(step for step in origin.steps if step not in found.steps))
        return together([replace(found, steps=steps), Origin(gap=origin.gap)])

    def then(self, after: Flow, step: str) -> Flow:
        """The flow of a step after this one, told in columns of this one's input."""
        columns = {
            name: self.of(origin if origin.plain == name else _by(step, origin))
            for name, origin in after.columns.items()
        }
        rows = self.rows
        if after.rows != NOWHERE:
            rows = together([rows, self.of(_by(step, after.rows))])
        return Flow(columns, rows, self.gaps | after.gaps)

    def chosen_by(self, names: Iterable[str], influence: Influence) -> Flow:
        """The same columns, of rows that some of them choose among."""
        chosen = [self.of(column_origin(name, influence)) for name in names]
        return replace(self, rows=together([self.rows, *chosen]))

    def record(self, steps: Iterable[str]) -> FrameLineage:
        """What is kept of it.

        Args:
            steps: The names of the steps, in order.
        """
        order = list(dict.fromkeys(steps))
        unchanged = {n: o for n, o in self.columns.items() if o.plain == n and not o.steps}
        computed = {n: o for n, o in self.columns.items() if n not in unchanged}
        return FrameLineage(
            unchanged=tuple(unchanged),
            computed={name: _recorded(origin, order) for name, origin in computed.items()},
            rows=_recorded(self.rows, order),
        )


def passed_on(names: Iterable[str]) -> Flow:
    """The flow of a frame that is its input."""
    return Flow({name: column_origin(name) for name in names})


def untold(names: Iterable[str], gap: Gap) -> Flow:
    """The flow of a frame of which nothing can be told."""
    unknown = Origin(gap=gap)
    return Flow(dict.fromkeys(names, unknown), unknown, frozenset({gap}))


def _by(step: str, origin: Origin) -> Origin:
    return replace(origin, steps=(*origin.steps, step))


def _through(outer: Influence, inner: Influence) -> Influence:
    """What a column does for something, through what it does for a part of it."""
    if not outer.direct:
        return outer
    if not inner.direct:
        return inner
    return max(outer, inner, key=_STRENGTH.index)


def _recorded(origin: Origin, order: list[str]) -> ColumnLineage:
    kinds = list(Influence)
    sources = sorted(origin.sources, key=lambda source: (kinds.index(source[1]), source[0]))
    return ColumnLineage(
        sources=tuple(ColumnSource(column=name, influence=kind) for name, kind in sources),
        gap=origin.gap,
        steps=tuple(sorted(origin.steps, key=order.index)),
    )
