"""The columns of two frames that were joined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jobforge.pipeline.column_lineage.flow import Flow, Origin, together
from jobforge.pipeline.column_lineage.record import Gap, Influence

_BY = slice(4, 6)
"""Where the options of an as-of join have the further keys of both sides."""


@dataclass(frozen=True)
class Side:
    """One of two frames: its columns in terms of the input, and its keys."""

    flow: Flow
    keys: list[str | None]
    """Names of the keys, None for an expression."""
    on: Origin
    """Everything that its rows are matched by, in terms of the input."""


def joined(left: Side, right: Side, seen: Any, names: list[str]) -> Flow:  # noqa: ANN401
    """The flow of a join.

    Args:
        left: The one frame.
        right: The other.
        seen: The node.
        names: Columns of the result.
    """
    how, _, _, suffix, coalesced, _ = seen.options
    kind = how if isinstance(how, str) else how[0]
    by = [left.flow.rows, right.flow.rows, left.on, right.on]
    if kind == "AsOf":
        for side, keys in zip((left, right), how[_BY], strict=True):
            by += [side.flow.columns[key].used(Influence.JOIN) for key in keys or ()]
    find = _finder(left, right, kind if coalesced else "", suffix)
    columns = {name: find(name) for name in names}
    return Flow(columns, together(by), left.flow.gaps | right.flow.gaps)


def _finder(left: Side, right: Side, coalesced: str, suffix: str) -> Callable[[str], Origin]:
    """Gives the origin of a column of the result by its name."""
    ours, theirs = left.flow.columns, right.flow.columns
    pairs = dict(zip(left.keys, right.keys, strict=True))

    def find(name: str) -> Origin:
        if name in ours and not (coalesced == "Right" and name in pairs):
            key = pairs.get(name)
            if coalesced == "Full" and name in pairs:
                return together([ours[name], theirs[key] if key else Origin(gap=Gap.PLAN)])
            return ours[name]
        if name in theirs:
            return theirs[name]
        short = name.removesuffix(suffix)
        known = short != name and short in theirs
        return theirs[short] if known else Origin(gap=Gap.PLAN)

    return find
