"""Where the columns of a layer come from: by declaration, or as the plans of its steps tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import polars as pl

from jobforge.contracts.contract import Contract
from jobforge.pipeline.column_lineage.flow import (
    NOWHERE,
    Flow,
    Origin,
    column_origin,
    passed_on,
    together,
)
from jobforge.pipeline.column_lineage.record import FrameLineage, Gap, Influence
from jobforge.pipeline.column_lineage.trace import chosen, traced
from jobforge.pipeline.layers.guard import Guard
from jobforge.pipeline.layers.stages import Stage
from jobforge.pipeline.provenance import PROVENANCE_DTYPES, SOURCE_FILE, SOURCE_ROW
from jobforge.quality.duplicates import Deduplicate
from jobforge.quality.rules import Rule, RuleKind

_CAST, _RENAME = "cast", "rename"


def bronze_lineage(
    contract: Contract,
    originals: Mapping[str, str],
    cast: Iterable[str],
    types: pl.Schema,
    names: Sequence[str],
) -> FrameLineage:
    """Renames and casts, as they are declared.

    Args:
        contract: Declares them.
        originals: For each data column of bronze its column of staged.
        cast: Columns that are cast.
        types: Columns of staged.
        names: Columns of bronze.
    """
    # A cast to the type that a column has rejects nothing, and changes null words only.
    others = [name for name in cast if types[originals[name]] != contract.columns[name].dtype]
    changed = {*others, *(name for name in cast if contract.words_of(name))}
    columns = {new: _declared(new, old, cast=new in changed) for new, old in originals.items()}
    columns |= _provenance(names, identified=True)
    rejecting = chosen(list(columns), others)
    return Flow(columns).then(rejecting, _CAST).record((_RENAME, _CAST))


def _declared(new: str, old: str, *, cast: bool) -> Origin:
    if cast:
        return Origin(frozenset({(old, Influence.TRANSFORMATION)}), steps=(_CAST,))
    return Origin(frozenset({(old, Influence.IDENTITY)}), steps=(_RENAME,) if new != old else ())


def step_lineage(guard: Guard, stages: Sequence[Stage], finished: pl.LazyFrame) -> FrameLineage:
    """The steps of silver or gold, put together.

    Args:
        guard: Applied them.
        stages: The steps.
        finished: The frame of the layer.
    """
    opened = guard.opened
    flow = passed_on(opened.frame.collect_schema().names())
    for stage in stages:
        if stage.parting is None:
            flow = _after_function(flow, stage)
        else:
            for rule in stage.parting.rules:
                if rule.removes:
                    after = chosen(list(flow.columns), _judged(stage, rule))
                    if rule.kind is RuleKind.REFERENCE:  # the other table decides, too
                        other = Origin(gap=Gap.OTHER_FRAME)
                        after = replace(after, rows=together([after.rows, other]))
                    flow = flow.then(after, rule.step)
    identified = stages[-1].identified if stages else opened.footer.traceable
    names = finished.collect_schema().names()
    ours = _provenance(names, identified=identified or not opened.footer.traceable)
    return replace(
        flow, columns={name: ours.get(name) or flow.columns[name] for name in names}
    ).record([name for stage in stages for name in _names(stage)])


def _names(stage: Stage) -> list[str]:
    """The steps of a stage, in order."""
    rules = stage.parting.rules if stage.parting is not None else ()
    return [rule.step for rule in rules] or [stage.step.name]


def _after_function(flow: Flow, stage: Stage) -> Flow:
    after = traced(stage.frame, stage.before, computed=stage.computed)
    if stage.identified:
        # The engine puts them right where the function did something to them.
        kept = {name: column_origin(name) for name in (SOURCE_FILE, SOURCE_ROW)}
        there = {name: origin for name, origin in kept.items() if name in flow.columns}
        after = replace(after, columns={**after.columns, **there})
    return flow.then(after, stage.step.name)


def _judged(stage: Stage, rule: Rule) -> Iterator[str]:
    """The columns that decide whether a row fails a rule."""
    yield from rule.columns
    function = stage.step.function
    if isinstance(function, Deduplicate):
        yield from function.order_by


def _provenance(names: Sequence[str], *, identified: bool) -> dict[str, Origin]:
    """The columns that the engine writes: which record a row is from is passed on."""
    passed = (SOURCE_FILE, SOURCE_ROW) if identified else ()
    return {
        name: column_origin(name) if name in passed else NOWHERE
        for name in names
        if name in PROVENANCE_DTYPES
    }
