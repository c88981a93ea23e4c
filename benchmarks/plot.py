"""Draws the ratios of wall time as bars, one panel for each group, as SVG."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness import Line, Outcome

MISSING = "--plot needs matplotlib, which is not installed here: pip install matplotlib"
_WALLS = ("wall_s", "wall_ms")
_OWN, _OTHER = "#1b6ca8", "#b0b7bf"
_BAR, _HEAD, _WIDTH = 0.28, 0.9, 9.0
_TOOLS = ("polars", "duckdb", "pandas", "dbt", "dlt")


def available() -> bool:
    return find_spec("matplotlib") is not None


def wall_ratio(line: Line) -> float | None:
    return next((line.ratios[name] for name in _WALLS if name in line.ratios), None)


def draw(outcomes: Mapping[str, Outcome], path: Path) -> bool:
    """Write the picture; False where nothing has a ratio."""
    panels = {
        name: [(line, ratio) for line in outcome.lines if (ratio := wall_ratio(line)) is not None]
        for name, outcome in outcomes.items()
    }
    panels = {name: bars for name, bars in panels.items() if bars}
    if not panels:
        return False
    heights = [len(bars) * _BAR + _HEAD for bars in panels.values()]
    figure = import_module("matplotlib.figure").Figure(
        figsize=(_WIDTH, sum(heights)), layout="constrained"
    )
    axes = figure.subplots(len(panels), squeeze=False, height_ratios=heights)
    for (name, bars), (axis,) in zip(panels.items(), axes, strict=True):
        panel(axis, name, bars)
    figure.suptitle("Wall time as a multiple of the floor's", x=0, ha="left")
    figure.savefig(path, format="svg")
    return True


def panel(axis: Any, name: str, bars: list[tuple[Line, float]]) -> None:  # noqa: ANN401 - matplotlib is no dependency
    """The bars of one group, from above in the order of its table."""
    drawn = axis.barh(
        range(len(bars)),
        [ratio for _, ratio in bars],
        color=[_OTHER if line.side.startswith(_TOOLS) else _OWN for line, _ in bars],
    )
    axis.bar_label(drawn, fmt="%.2f", padding=3)
    axis.set_yticks(range(len(bars)), [f"{line.what}: {line.side}" for line, _ in bars])
    axis.invert_yaxis()
    axis.axvline(1, color="black", linewidth=0.8)
    axis.margins(x=0.12)
    floors = sorted({line.against for line, _ in bars})
    axis.set_title(f"{name} (1 = {'; '.join(floors)})", loc="left")
