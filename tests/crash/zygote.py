"""A process that has everything imported, and forks a child for each job: to be killed.

Run as a script. A job is a line of JSON on standard input; the answer is a line
on standard output. The parent never computes anything, so that its children
begin with Polars and Delta Lake loaded and no thread of theirs running.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import deltalake  # noqa: F401 - loaded before the fork
import polars as pl
import psutil  # noqa: F401 - as above

from jobforge import PipelineConfig, PipelineEngine, SourceRecord, deduplicate, expect, keep
from jobforge.pipeline import events
from jobforge.quality.declared import DeclaredStep

# Audit events of operations on files; `open` also stands before each sync.
_WATCHED = frozenset(
    {
        "open",
        "os.chmod",
        "os.link",
        "os.listdir",
        "os.mkdir",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.scandir",
        "os.symlink",
    }
)


@dataclass(frozen=True)
class Job:
    """What a child does, and when it is killed.

    Args:
        root: The data root.
        source: The file to run.
        work: Name of one of `WORK`.
        at: Killed before this operation on the data root, from 1; never where 0.
        after: Killed this many seconds after its start; never where 0.
        batch: A batch that the work needs.
        tell: A file for the operations in their order, a line of JSON each; none where empty.
    """

    root: str
    source: str
    work: str
    at: int = 0
    after: float = 0.0
    batch: str = ""
    tell: str = ""


def _run(engine: PipelineEngine, job: Job, load: str) -> None:
    steps: list[DeclaredStep] = [
        expect("paid", pl.col("pay") > 0),
        keep("stays", pl.col("code") != "left"),
        deduplicate("code"),
    ]
    schema = {"cast": {"pay": "Int64"}}
    engine.run_full_pipeline(
        job.source, "t", bronze_schema=schema, silver_transforms=steps, load=load
    )


WORK: dict[str, Callable[[PipelineEngine, Job], Any]] = {
    "replace": lambda engine, job: _run(engine, job, "replace"),
    "append": lambda engine, job: _run(engine, job, "append"),
    "rollback": lambda engine, _: engine.rollback("t", "gold", 1),
    "compact": lambda engine, _: engine.compact("t", "gold"),
    "clean": lambda engine, _: engine.clean(keep_versions=1, older_than=timedelta(0)),
    "erase": lambda engine, job: engine.erase("t", [SourceRecord(job.batch, 1)], "asked for"),
}


def _watch(job: Job) -> Callable[[], int]:
    """Count the operations on the data root, and stop at the one to be killed at."""
    seen = 0
    told = Path(job.tell).open("w", encoding="utf-8", buffering=1) if job.tell else None  # noqa: SIM115 - for the life of the process

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal seen
        if event not in _WATCHED or not args:
            return
        if not any(isinstance(arg, (str, os.PathLike)) and job.root in str(arg) for arg in args):
            return
        seen += 1
        if told is not None:
            told.write(json.dumps([event, *(str(arg) for arg in args)]) + "\n")
        if seen == job.at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return lambda: seen


def _child(job: Job, pipe: int) -> None:
    events.configure(quiet=True)
    engine = PipelineEngine(PipelineConfig(Path(job.root), keep_source=True))
    if job.after:

        def kill() -> None:
            time.sleep(job.after)
            os.kill(os.getpid(), signal.SIGKILL)

        threading.Thread(target=kill, daemon=True).start()
    count = _watch(job)
    WORK[job.work](engine, job)
    os.write(pipe, str(count()).encode())


def _answer(job: Job) -> dict[str, Any]:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read)
            _child(job, write)
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    _, status = os.waitpid(pid, 0)
    with os.fdopen(read, "rb") as answers:
        text = answers.read()
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1
    return {"killed": killed, "code": code, "operations": int(text or b"0")}


def as_line(job: Job) -> str:
    """A job as the script reads it."""
    return json.dumps(asdict(job)) + "\n"


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(Job(**json.loads(line)))) + "\n")
        sys.stdout.flush()
