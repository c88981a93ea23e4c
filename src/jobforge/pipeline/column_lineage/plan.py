"""The columns of a frame in terms of another one that it is made of, as the plan tells.

The plan is looked at as it was written, without optimisations: then nothing of
it is missing, and the frame that it starts from is a cache with a number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from jobforge.pipeline.column_lineage.expressions import fixes_the_rows, origin_of
from jobforge.pipeline.column_lineage.flow import (
    NOWHERE,
    Flow,
    Origin,
    column_origin,
    passed_on,
    together,
    untold,
)
from jobforge.pipeline.column_lineage.joins import Side, joined
from jobforge.pipeline.column_lineage.record import Gap, Influence

KNOWN = 16
"""Major version of the form of plans that is understood."""
_AS_WRITTEN = pl.QueryOptFlags.none()._pyoptflags  # noqa: SLF001 - what `collect` hands over


class NotUnderstoodError(Exception):
    """The plan has another form than those that are understood; never leaves this folder."""


def as_written(frame: Any) -> Any:  # noqa: ANN401 - Polars' own, without public types
    """The plan of a lazy frame's inner part, without optimisations.

    Raises:
        NotUnderstoodError: It has another form.
    """
    plan = frame.with_optimizations(_AS_WRITTEN).visit()
    if plan.version()[0] != KNOWN:
        raise NotUnderstoodError
    return plan


def cache_number(frame: pl.LazyFrame) -> int:
    """The number of the cache that a frame ends in.

    Raises:
        NotUnderstoodError: It ends in none.
    """
    seen = as_written(frame._ldf).view_current_node()  # noqa: SLF001 - see above
    if type(seen).__name__ != "Cache":
        raise NotUnderstoodError
    return int(seen.id_)


def read_plan(frame: pl.LazyFrame, base: int) -> Flow:
    """The flow of a frame from the cache of that number.

    Raises:
        NotUnderstoodError: The plan has another form.
        Exception: Whatever following a plan of a form that nobody foresaw raises.
    """
    plan = as_written(frame._ldf)  # noqa: SLF001 - see above
    return _Reader(plan, base).flow(plan.get_node())


class _Reader:
    """Follows a plan from its end to its beginnings; a node that is met again is read once."""

    def __init__(self, plan: Any, base: int) -> None:  # noqa: ANN401
        self._plan = plan
        self._base = base
        self._known: dict[int, Flow] = {}
        self._nodes: dict[str, Callable[[Any, list[Flow]], Flow | None]] = {
            "Cache": self._as_it_is,
            "Distinct": self._distinct,
            "Filter": self._filter,
            "GroupBy": self._group,
            "HConcat": self._beside,
            "HStack": self._with_columns,
            "MapFunction": self._function,
            "MergeSorted": self._merged,
            "Select": self._select,
            "SimpleProjection": self._projected,
            "Slice": self._as_it_is,
            "Sort": self._sorted,
            "Union": self._below,
        }
        """How each kind of node makes its columns of those of its inputs."""

    def flow(self, node: int) -> Flow:
        if node not in self._known:
            self._known[node] = self._read(node)
        return self._known[node]

    def _read(self, node: int) -> Flow:
        plan = self._plan
        plan.set_node(node)
        try:
            seen = plan.view_current_node()
        except NotImplementedError as error:
            code = any(word in str(error) for word in ("python", "apply"))
            return untold(plan.get_schema(), Gap.PYTHON if code else Gap.PLAN)
        kind = type(seen).__name__
        if kind == "Cache" and int(seen.id_) == self._base:
            return passed_on(plan.get_schema())
        inputs = plan.get_inputs()
        if not inputs:
            return untold(plan.get_schema(), Gap.OTHER_FRAME)
        if kind == "Join":
            return self._join(node, seen)
        flows = [self.flow(part) for part in inputs]
        plan.set_node(node)
        found = self._nodes[kind](seen, flows) if kind in self._nodes else None
        return found or untold(plan.get_schema(), Gap.PLAN)

    def _origin(self, flow: Flow, expression: Any, influence: Influence) -> Origin:  # noqa: ANN401
        return flow.of(origin_of(self._plan, expression.node).used(influence))

    def _each(
        self, flow: Flow, expressions: list[Any], influence: Influence = Influence.IDENTITY
    ) -> dict[str, Origin]:
        return {e.output_name: self._origin(flow, e, influence) for e in expressions}

    def _as_it_is(self, _: Any, inputs: list[Flow]) -> Flow:  # noqa: ANN401
        return inputs[0]

    def _projected(self, _: Any, inputs: list[Flow]) -> Flow:  # noqa: ANN401
        names = self._plan.get_schema()
        return replace(inputs[0], columns={name: inputs[0].columns[name] for name in names})

    def _select(self, seen: Any, inputs: list[Flow]) -> Flow:  # noqa: ANN401
        (flow,) = inputs
        rows = flow.rows
        if not fixes_the_rows(self._plan, [e.node for e in seen.expr]):
            rows = together([rows, Origin(gap=Gap.EXPRESSION)])
        return _made(flow, self._each(flow, seen.expr), rows)

    def _with_columns(self, seen: Any, inputs: list[Flow]) -> Flow:  # noqa: ANN401
        (flow,) = inputs
        return _made(flow, {**flow.columns, **self._each(flow, seen.exprs)}, flow.rows)

    def _filter(self, seen: Any, inputs: list[Flow]) -> Flow:  # noqa: ANN401
        (flow,) = inputs
        chosen = self._origin(flow, seen.predicate, Influence.FILTER)
        return _made(flow, flow.columns, together([flow.rows, chosen]))

    def _sorted(self, seen: Any, inputs: list[Flow]) -> Flow:  # noqa: ANN401
        (flow,) = inputs
        by = self._each(flow, seen.by_column, Influence.SORT).values()
        return _made(flow, flow.columns, together([flow.rows, *by]))

    def _distinct(self, seen: Any, inputs: list[Flow]) -> Flow:  # noqa: ANN401
        names = seen.options[1]
        return inputs[0].chosen_by(inputs[0].columns if names is None else names, Influence.FILTER)

    def _group(self, seen: Any, inputs: list[Flow]) -> Flow | None:  # noqa: ANN401
        (flow,) = inputs
        keys = self._each(flow, seen.keys)
        by = [origin.used(Influence.GROUP_BY) for origin in keys.values()]
        columns = keys | self._each(flow, seen.aggs, Influence.AGGREGATION)
        window = seen.options.dynamic or seen.options.rolling
        if window is not None:
            index = column_origin(window.index_column)
            by.append(flow.of(index.used(Influence.GROUP_BY)))
            # The index itself, and the bounds of each window, which are made of it.
            made = flow.of(index.used(Influence.TRANSFORMATION))
            columns = {name: columns.get(name, made) for name in self._plan.get_schema()}
        return _made(flow, columns, together([flow.rows, *by]))

    def _join(self, node: int, seen: Any) -> Flow:  # noqa: ANN401
        plan = self._plan
        flows = [self.flow(seen.input_left), self.flow(seen.input_right)]
        plan.set_node(node)
        left, right = (
            self._side(flow, on)
            for flow, on in zip(flows, (seen.left_on, seen.right_on), strict=True)
        )
        found = joined(left, right, seen, list(plan.get_schema()))
        if seen.predicate is not None:
            found = _made(found, found.columns, together([found.rows, Origin(gap=Gap.PLAN)]))
        return found

    def _side(self, flow: Flow, on: list[Any]) -> Side:
        keys = [origin_of(self._plan, expression.node) for expression in on]
        matched = together(flow.of(key.used(Influence.JOIN)) for key in keys)
        return Side(flow, [key.plain for key in keys], matched)

    def _below(self, _: Any, inputs: list[Flow]) -> Flow:  # noqa: ANN401
        columns = {
            name: together(flow.columns[name] for flow in inputs) for name in inputs[0].columns
        }
        return _all(columns, inputs)

    def _beside(self, _: Any, inputs: list[Flow]) -> Flow:  # noqa: ANN401
        return _all({name: o for flow in inputs for name, o in flow.columns.items()}, inputs)

    def _merged(self, seen: Any, inputs: list[Flow]) -> Flow:  # noqa: ANN401
        both = self._below(seen, inputs)
        keys = [both.columns[name].used(Influence.SORT) for name in seen.key]
        return _made(both, both.columns, together([both.rows, *keys]))

    def _function(self, seen: Any, inputs: list[Flow]) -> Flow | None:  # noqa: ANN401
        (flow,) = inputs
        name, *about = seen.function
        if name == "hint_sorted":
            return flow
        if name == "row_index":
            return _made(flow, {about[0]: NOWHERE, **flow.columns}, flow.rows)
        if name == "explode":
            exploded = {
                column: flow.columns[column].used(Influence.TRANSFORMATION) for column in about[0]
            }
            chosen = flow.chosen_by(about[0], Influence.FILTER)
            return replace(chosen, columns={**flow.columns, **exploded})
        if name == "unpivot":
            index, on, variable, value = about
            columns = {column: flow.columns[column] for column in index}
            columns[variable] = NOWHERE
            columns[value] = together(
                flow.columns[column].used(Influence.TRANSFORMATION) for column in on
            )
            return _made(flow, columns, flow.rows)
        if name == "unnest" and len(about[0]) == 1:
            others = dict(flow.columns)
            nested = others.pop(about[0][0]).used(Influence.TRANSFORMATION)
            columns = {column: others.get(column, nested) for column in self._plan.get_schema()}
            return _made(flow, columns, flow.rows)
        return None


def _made(flow: Flow, columns: Mapping[str, Origin], rows: Origin) -> Flow:
    """A flow with what was met on the way."""
    met = {origin.gap for origin in (*columns.values(), rows) if origin.gap is not None}
    return Flow(columns, rows, flow.gaps | met)


def _all(columns: dict[str, Origin], inputs: list[Flow]) -> Flow:
    gaps = frozenset().union(*(flow.gaps for flow in inputs))
    return Flow(columns, together(flow.rows for flow in inputs), gaps)
