"""`jobforge pack`: what an auditor needs of a table or batch, in one zip file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import jobforge
from jobforge.cli import code, output, parameters
from jobforge.errors import InvalidOptionError

What = Annotated[
    str, typer.Argument(help="table or domain/table, or a batch id.", metavar="TABLE|BATCH")
]
Into = Annotated[Path, typer.Option("--into", help="The zip file to write.", metavar="FILE.zip")]
Replace = Annotated[
    bool, typer.Option("--replace", help="Let it take the place of a file that is there.")
]
Replayed = Annotated[
    bool, typer.Option("--replay", help="Replay its batches, and put the verdicts in.")
]
Personal = Annotated[
    bool, typer.Option("--personal", help="Put in values of columns classed as personal.")
]


def pack(
    what: What,
    into: Into,
    modules: parameters.Modules = None,
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    *,
    replace: Replace = False,
    replay: Replayed = False,
    personal: Personal = False,
    as_json: parameters.AsJson = False,
) -> None:
    """Write records, contracts, accounts, rejects and hashes into a zip file for an auditor.

    It reads without jobforge: start with summary.html.

    Example: jobforge pack sales/orders --into orders.zip
    """
    out = output.choose(as_json=as_json)
    if modules and not replay:
        raise InvalidOptionError(
            "--code names the code of a replay, and nothing is replayed",
            hint="add --replay, or leave --code out",
        )
    from jobforge.cli.progress import progress_bar

    engine = jobforge.PipelineEngine(output.config(data_root))
    with progress_bar() as progress:
        made = engine.pack(
            what,
            into,
            replace=replace,
            personal=personal,
            replay=replay,
            modules=code.modules(modules or []) if replay else (),
            progress=progress,
        )
    if as_json:
        out.record(made.model_dump(mode="json"))
        return
    manifest = made.manifest
    out.line(f"{made.path}: {len(made.files)} files of {len(manifest.batches):,} batch(es)")
    out.line(f"sha256 {made.sha256}")
    for batch, verdict in manifest.replays.items() if replay else ():
        out.line(f"replay of {batch}: {verdict}")
    if not manifest.sound:
        out.errors.print("note: the data root is not as it was published: see verify.json")
    for problem in manifest.problems:
        out.errors.print(f"note: {problem}", markup=False)
