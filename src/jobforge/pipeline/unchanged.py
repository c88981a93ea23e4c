"""Which columns of a frame are columns of another one, row for row, as the plan tells.

Polars shows the plan of a lazy frame to Python for engines that compute it
elsewhere (`NodeTraverser`, with a version of its own). Of all that a plan may do
only what keeps every row in its place is understood here; of anything else
nothing is claimed.
"""

from __future__ import annotations

import uuid
from typing import Any

import polars as pl

_KNOWN = 16
"""Major version of the form of plans that is understood."""
_UNCLEAR = (
    AttributeError,
    LookupError,
    NotImplementedError,
    ValueError,
    pl.exceptions.PanicException,
    pl.exceptions.PolarsError,
)
"""What Polars, or following its plan, raises where a plan is another than those understood."""


def unchanged(frame: pl.LazyFrame, base: pl.LazyFrame) -> dict[str, str]:
    """Columns that come from another frame as they are, and their names there.

    Args:
        frame: Made of `base`.
        base: A frame that is cached (`LazyFrame.cache`).

    Returns:
        Nothing, where the rows of `frame` may be others, in another order, or
        where it cannot be told.
    """
    # A cache that is used once is not in the plan, and a column that nobody wants neither: so
    # the plan is one of both frames. The cache at its other end says which node is the base.
    end = base.select(pl.len().alias(f"__end_{uuid.uuid4().hex}"))
    try:
        plan = pl.concat([frame, end], how="diagonal")._ldf.visit()  # noqa: SLF001 - see above
        if plan.version()[0] != _KNOWN:
            return {}
        first, second = plan.get_inputs()
        wanted = frame.collect_schema().names()
        return _followed(plan, first, _cache_below(plan, second), wanted)
    except _UNCLEAR:
        return {}


def _cache_below(plan: Any, node: int) -> int:  # noqa: ANN401 - has no public type
    """The number of the first cache on the way down.

    Raises:
        ValueError: There is none before the plan branches.
    """
    while True:
        plan.set_node(node)
        seen = plan.view_current_node()
        if type(seen).__name__ == "Cache":
            return int(seen.id_)
        (node,) = plan.get_inputs()


def _followed(plan: Any, node: int, end: int, wanted: list[str]) -> dict[str, str]:  # noqa: ANN401
    """Follow columns down to the cache `end`; gives those that arrive, and their names there.

    Raises:
        ValueError: The plan branches on the way.
        NotImplementedError: Polars does not show a node.
    """
    names = {name: name for name in wanted}
    while names:
        plan.set_node(node)
        seen = plan.view_current_node()
        kind = type(seen).__name__
        if kind == "Cache" and int(seen.id_) == end:
            return names
        if kind in {"HStack", "Select"}:
            made = _made(plan, seen.exprs if kind == "HStack" else seen.expr)
            if kind == "Select" and not any(made.values()):
                return {}  # without a plain column the number of rows may be another
            missing = {name: name for name in names.values()} if kind == "HStack" else {}
            sources = {**missing, **made}
            names = {name: old for name, at in names.items() if (old := sources.get(at))}
        elif kind not in {"SimpleProjection", "Cache"}:
            return {}
        (node,) = plan.get_inputs()
    return {}


def _made(plan: Any, expressions: list[Any]) -> dict[str, str | None]:  # noqa: ANN401
    """What each expression makes, and the column that it is; None where it is another."""
    found: dict[str, str | None] = {}
    for expression in expressions:
        try:
            seen = plan.view_expression(expression.node)
        except NotImplementedError:
            seen = None
        plain = type(seen).__name__ == "Column"
        found[expression.output_name] = seen.name if plain else None
    return found
