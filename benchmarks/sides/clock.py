"""The clock of a side: seconds, CPU and memory of its work, printed as one line of JSON.

Only the standard library: sides run in the interpreters of other tools too.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


@dataclass(frozen=True)
class Made:
    """What a run left behind: of each layer its rows, and its file or a pattern of files."""

    rows: dict[str, int] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """What every side takes."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--warm", type=int, default=0, help="runs before the clock starts")
    parser.add_argument("--repeat", type=int, default=1, help="runs on the clock: their median")
    return parser


def cpu_seconds() -> float:
    """CPU of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in _WHO]
    return sum(each.ru_utime + each.ru_stime for each in used)


def peak_mb() -> float:
    """Highest memory of this process or of one of its children, in MiB."""
    largest = max(resource.getrusage(who).ru_maxrss for who in _WHO)
    return largest / (1024**2 if sys.platform == "darwin" else 1024)


def run(chosen: argparse.Namespace, work: Callable[[], T], made: Callable[[T], Made]) -> None:
    """Do the work on the clock, then count what it made, and print both."""
    chosen.target.mkdir(parents=True, exist_ok=True)
    for _ in range(chosen.warm):
        work()
    walls, before = [], cpu_seconds()
    for _ in range(chosen.repeat):
        start = time.perf_counter()
        result = work()
        walls.append(time.perf_counter() - start)
    figures = {
        "wall_s": statistics.median(walls),
        "cpu_s": (cpu_seconds() - before) / chosen.repeat,
        "peak_mb": peak_mb(),
    }
    print(json.dumps({"figures": figures, **asdict(made(result))}))
