"""Runs the sides of a job in turn, each in a fresh process, and compares them with the floor.

Only the standard library, so that this process stays small: Linux counts the
memory of the process that forks towards the peak of its child.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

HERE = Path(__file__).parent
FIGURES = ("wall_s", "cpu_s", "peak_mb")
Check = Literal["contents", "rows", "nothing"]


class BenchError(Exception):
    """A group has no figures to report."""


class SideError(BenchError):
    """A side did not run to its end."""


@dataclass(frozen=True)
class Side:
    """One way to do a job: a script of `sides/` and what it is called with."""

    name: str
    script: str
    options: tuple[str, ...] = ()
    python: str = sys.executable
    needs: tuple[str, ...] = ()
    """Modules of other tools; a side that has any is left out where it cannot run."""


@dataclass(frozen=True)
class Aim:
    """A figure that is not to be passed: a ratio to the floor, or a median."""

    figure: str
    at_most: float
    ratio: bool = True


@dataclass(frozen=True)
class Line:
    """One line of a group's table."""

    what: str
    side: str
    runs: int
    medians: Mapping[str, float]
    ratios: Mapping[str, float] = field(default_factory=dict)
    against: str = ""
    paired: bool = True
    """Whether the ratios are medians of ratios run by run, not ratios of two medians."""
    aims: Sequence[Aim] = ()

    def met(self, aim: Aim) -> bool:
        """Whether an aim of the line is met."""
        return (self.ratios if aim.ratio else self.medians)[aim.figure] <= aim.at_most


@dataclass
class Outcome:
    """What a group measured, and the sides that it had to leave out, with the reason."""

    lines: list[Line] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, turns: Turns, lines: list[Line]) -> None:
        """Take in the lines of one comparison."""
        self.lines += lines
        self.skipped |= turns.skipped


@dataclass(frozen=True)
class Run:
    """What one run of a side told."""

    figures: dict[str, float]
    rows: dict[str, int] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


@dataclass
class Turns:
    """The runs of every side, round by round; the first side is the floor."""

    floor: str
    runs: dict[str, list[Run]]
    skipped: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """What a group is given: how much to measure, and where."""

    folder: Path
    quick: bool
    runs: int
    dbt_python: str
    dlt_python: str
    rows: tuple[int, ...] = ()
    """Sizes of the pipeline and memory groups, in place of their own."""
    sides: tuple[str, ...] = ()
    """Names of the sides of the pipeline group; all unless given. The floor always runs."""

    def wants(self, side: Side) -> bool:
        """Whether a side was asked for."""
        return not self.sides or side.name in self.sides or side.name == "polars floor"

    def source(self, kind: str, rows: int) -> Path:
        """The source file of that kind and size, made when it is first asked for."""
        path = self.folder / f"orders-{rows}.{kind}"
        if not path.exists():
            say(f"making {rows:,} rows of {kind}")
            command = [sys.executable, str(HERE / "sources.py"), kind, str(rows), str(path)]
            subprocess.run(command, check=True)
        return path


def say(text: str) -> None:
    """Progress; standard output is for the tables."""
    print(text, file=sys.stderr, flush=True)


def script(name: str, *arguments: object, python: str = sys.executable, cwd: Path) -> Any:  # noqa: ANN401 - JSON
    """What a script of `sides/` prints as the last line of its output."""
    command = [python, str(HERE / "sides" / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    if done.returncode:
        raise SideError(f"{name} ended with {done.returncode}: {end_of(done.stderr, 3)}")
    return json.loads(end_of(done.stdout))


def end_of(text: str, lines: int = 1) -> str:
    """The last lines that have something in them, as one."""
    filled = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(filled[-lines:]) or "(no output)"


def missing(side: Side) -> str | None:
    """Why a side cannot be run at all; None where it can."""
    if not side.needs:
        return None
    if shutil.which(side.python) is None:
        return f"there is no interpreter {side.python}"
    command = [side.python, "-c", "import " + ", ".join(side.needs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return end_of(done.stderr) if done.returncode else None


def run_side(side: Side, source: Path, target: Path) -> Run:
    """One run, in a fresh process that works in the folder of its output."""
    told = script(
        side.script, source, target / "out", *side.options, python=side.python, cwd=target
    )
    return Run(**told)


def take_turns(
    sides: Sequence[Side],
    source: Path,
    bench: Bench,
    *,
    check: Check = "rows",
    rounds: int | None = None,
    warm_up: bool = True,
) -> Turns:
    """Run the sides in turn, the first round for nothing.

    Args:
        sides: The floor first.
        source: What each of them reads.
        bench: For the number of rounds and the folder to work in.
        check: What has to be as on the floor: the contents of the files (looked at in
            the first round) and the rows of each layer, the rows alone, or nothing.
        rounds: Instead of the number that was asked for.
        warm_up: Whether the first round is thrown away.
    """
    turns = Turns(sides[0].name, {side.name: [] for side in sides})
    turns.skipped = {side.name: why for side in sides if (why := missing(side))}
    for number in range((rounds or bench.runs) + warm_up):
        looked = "rows" if check == "contents" and number else check
        done = one_round(sides, source, bench, turns.skipped, looked)
        if number >= warm_up:
            for name, run in done.items():
                turns.runs[name].append(run)
    return turns


def one_round(
    sides: Sequence[Side], source: Path, bench: Bench, skipped: dict[str, str], check: Check
) -> dict[str, Run]:
    """One run of each side that is not skipped; another tool's failure adds it to those."""
    done: dict[str, Run] = {}
    contents: dict[str, str] = {}
    for side in sides:
        if side.name in skipped:
            continue
        with tempfile.TemporaryDirectory(dir=bench.folder) as name:
            target = Path(name)
            try:
                done[side.name] = run = run_side(side, source, target)
            except SideError as error:
                if not side.needs:
                    raise
                skipped[side.name] = str(error)
                continue
            if check != "nothing":
                compare("rows", side, run.rows, done[sides[0].name].rows)
            if check == "contents":
                found = digest(run, target)
                contents = contents or found
                compare("contents", side, found, contents)
    return done


def digest(run: Run, cwd: Path) -> dict[str, str]:
    """A number for the rows of each layer, whatever their order in the file."""
    paths = [f"{layer}={path}" for layer, path in run.files.items()]
    digests: dict[str, str] = script("digest.py", *paths, cwd=cwd)
    return digests


def compare(what: str, side: Side, found: Mapping[str, Any], floor: Mapping[str, Any]) -> None:
    """Refuse a side that made something else than the floor; it may make fewer layers."""
    wrong = {layer: (told, floor[layer]) for layer, told in found.items() if told != floor[layer]}
    if wrong or not found:
        raise BenchError(f"{side.name}: the {what} are not the floor's (side, floor): {wrong}")


def renamed(figure: str, *, milliseconds: bool) -> str:
    return figure.replace("_s", "_ms") if milliseconds else figure


def lines_of(
    what: str,
    turns: Turns,
    aims: Mapping[str, Sequence[Aim]] | None = None,
    *,
    figures: Sequence[str] = FIGURES,
    milliseconds: bool = False,
) -> list[Line]:
    """A line for each side: medians of its runs, and of the ratios to the floor's run beside it."""
    floors = turns.runs[turns.floor]
    lines = []
    for side, runs in turns.runs.items():
        if side in turns.skipped:
            continue
        medians, ratios = {}, {}
        for figure in figures:
            if figure not in runs[0].figures:
                continue
            name = renamed(figure, milliseconds=milliseconds)
            scale = 1000 if name != figure else 1
            medians[name] = statistics.median(run.figures[figure] for run in runs) * scale
            if side != turns.floor:
                pairs = zip(runs, floors, strict=True)
                ratios[name] = statistics.median(
                    r.figures[figure] / f.figures[figure] for r, f in pairs
                )
        against = turns.floor if ratios else ""
        lines.append(
            Line(what, side, len(runs), medians, ratios, against, aims=(aims or {}).get(side, ()))
        )
    return lines
