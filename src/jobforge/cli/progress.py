"""A progress bar on standard error for long reads, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from jobforge.readers.base import Progress as Report
from jobforge.readers.base import no_progress


@contextmanager
def progress_bar() -> Iterator[Report]:
    """A function to report progress to; the bar is gone when the block ends."""
    if not sys.stderr.isatty():
        yield no_progress
        return
    # Off a terminal there is no bar, and no need of what draws it.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    tasks: dict[str, int] = {}

    def report(what: str, done: int, total: int | None) -> None:
        if what not in tasks:
            tasks[what] = bar.add_task(what, total=total)
        bar.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type] # TaskID is int

    with bar:
        yield report
