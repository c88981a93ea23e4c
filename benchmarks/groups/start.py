"""What the command line takes from a standing start: a fresh process for each call."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from harness import Aim, Bench, Outcome, Run, SideError, Turns, end_of, lines_of, say

FLOOR = "python -c 'import polars'"


def installed(folder: Path) -> dict[str, str]:
    """The environment of a program whose bytecode is there, as that of an installed one is.

    A process that may not write bytecode compiles every module of jobforge anew,
    which takes 100 ms. The first round, which does not count, writes it.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


def cold(command: list[str], folder: Path, environment: dict[str, str]) -> Run:
    """Wall and CPU seconds of one process, the start of its interpreter included."""
    with tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            cwd=folder,
            env=environment,
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            told = errors.read().decode(errors="replace")
            raise SideError(f"{command[:2]}: {end_of(told, 3)}")
    cpu = used.ru_utime + used.ru_stime
    return Run({"wall_s": wall, "cpu_s": cpu})


def measure(bench: Bench) -> Outcome:
    source = bench.source("csv", 10)
    program = str(Path(sysconfig.get_path("scripts")) / "jobforge")
    commands = {
        FLOOR: [sys.executable, "-c", "import polars"],
        "jobforge --help": [program, "--help"],
        "jobforge run": [program, "run", str(source), "--table", "orders", "--data-root", "data"],
    }
    say("start: cold processes")
    turns = Turns(FLOOR, {name: [] for name in commands})
    environment = installed(bench.folder)
    for number in range(max(bench.runs, 5) + 1):
        for name, command in commands.items():
            with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
                run = cold(command, Path(folder), environment)
            if number:
                turns.runs[name].append(run)
    aims = {
        "jobforge --help": [Aim("wall_ms", 300, ratio=False)],
        "jobforge run": [Aim("wall_ms", 2.5)],
    }
    return Outcome(lines_of("cold process", turns, aims, milliseconds=True))
