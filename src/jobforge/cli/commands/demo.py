"""`jobforge demo`: a dirty source through four layers, on one screen."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from jobforge.cli import output, parameters

Folder = Annotated[
    Path, typer.Option("--dir", help="Folder for the demo's source files and data root.")
]


def demo(
    folder: Folder = Path("jobforge-demo"),
    *,
    as_json: parameters.AsJson = False,
) -> None:
    """Make a small dirty source and run it through the four layers.

    Example: jobforge demo --dir jobforge-demo
    """
    out = output.choose(as_json=as_json)
    from jobforge.cli.accounts import show_logs
    from jobforge.demo.run import run_demo
    from jobforge.pipeline import events

    events.configure(quiet=True)
    result = run_demo(folder, output.openlineage())
    if as_json:
        out.record(result.as_record())
        return
    for run in result.runs:
        source = f"{run.source.name} -> {run.table}"
        show_logs(out, source, run.logs, result.data_root)
        out.line("")
    out.table("Kept out, and why", result.reject_columns, result.rejects)
    out.line("")
    out.table("Gold: wage bill by broad occupation", result.gold_columns, result.gold)
    out.line("")
    program = "jobforge" if shutil.which("jobforge") else sys.argv[0]
    out.line(f"Look further: {program} history --data-root {result.data_root}")
    batch = result.runs[-1].logs[0].batch_id
    out.line(f"              {program} account {batch} --data-root {result.data_root}")
    out.line(f"              {program} show employees -l silver --data-root {result.data_root}")
