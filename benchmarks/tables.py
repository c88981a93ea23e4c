"""What was measured, for a person as a Markdown table and for a program as plain values."""

from __future__ import annotations

from dataclasses import asdict

from harness import Line, Outcome

TITLES = {
    "wall_s": "wall, s",
    "cpu_s": "CPU, s",
    "wall_ms": "wall, ms",
    "cpu_ms": "CPU, ms",
    "peak_mb": "peak, MB",
    "size_mb": "file, MB",
}


def number(value: float | None, figure: str) -> str:
    """Three digits are enough for a median."""
    if value is None:
        return ""
    if figure in ("peak_mb", "size_mb") or value >= 100:  # noqa: PLR2004 - from here on no decimals
        return f"{value:,.0f}"
    return f"{value:.2f}" if figure.endswith("_s") else f"{value:.1f}"


def ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def aims(line: Line, *, judged: bool) -> str:
    """The aims of a line, and whether they are met."""
    said = []
    for aim in line.aims:
        name, unit = TITLES[aim.figure].split(", ")
        bound = (
            f" ratio at most {aim.at_most:g}" if aim.ratio else f" at most {aim.at_most:,g} {unit}"
        )
        verdict = (": met" if line.met(aim) else ": missed") if judged else ""
        said.append(f"{name}{bound}{verdict}")
    return "; ".join(said)


def markdown(outcome: Outcome, *, judged: bool) -> str:
    """A table with a column for each figure, and one for its ratio where there is any.

    Args:
        outcome: What a group measured.
        judged: Whether the sizes are those that the aims were set for.
    """
    figures = [name for name in TITLES if any(name in line.medians for line in outcome.lines)]
    compared = {name for line in outcome.lines for name in line.ratios}
    heads = ["what", "side"]
    for name in figures:
        heads += [TITLES[name], "ratio"] if name in compared else [TITLES[name]]
    rows = [[*heads, "aim"], ["---", "---", *["---:"] * (len(heads) - 2), "---"]]
    for line in outcome.lines:
        cells = [line.what, line.side]
        for name in figures:
            cells.append(number(line.medians.get(name), name))
            if name in compared:
                cells.append(ratio(line.ratios.get(name)))
        rows.append([*cells, aims(line, judged=judged)])
    return "\n".join([*("| " + " | ".join(cells) + " |" for cells in rows), *notes(outcome)])


def notes(outcome: Outcome) -> list[str]:
    """What the table needs said below it."""
    counts = sorted({line.runs for line in outcome.lines})
    said = ["", f"Runs: {', '.join(map(str, counts))}; figures are medians."]
    for paired, how in ((True, "medians of the runs' own"), (False, "of the medians")):
        floors = {line.against for line in outcome.lines if line.ratios and line.paired == paired}
        if floors:
            said.append(f"Ratios, {how}, against: {', '.join(sorted(floors))}.")
    return said + [f"Skipped: {side}: {why}" for side, why in outcome.skipped.items()]


def plain(outcome: Outcome) -> dict[str, object]:
    """The group for JSON."""
    return {
        "lines": [
            {
                **asdict(line),
                "aims": [{**asdict(aim), "met": line.met(aim)} for aim in line.aims],
            }
            for line in outcome.lines
        ],
        "skipped": outcome.skipped,
    }
