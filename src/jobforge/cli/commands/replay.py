"""`jobforge replay`: a batch is run again, and held against its record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import jobforge
from jobforge.cli import code, output, parameters
from jobforge.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from jobforge.pipeline.audit.replay_result import Compared, LayerReplay, Replay

Verify = Annotated[
    bool, typer.Option("--verify", help="Compare with the record; so it is without --into, too.")
]
Into = Annotated[
    Path | None,
    typer.Option(
        "--into", help="An empty folder to keep what comes out in, as a data root of its own."
    ),
]


def replay(
    batch: parameters.Batch,
    into: Into = None,
    modules: parameters.Modules = None,
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    *,
    verify: Verify = False,
    as_json: parameters.AsJson = False,
) -> None:
    """Run a batch again from staged, and say whether the same comes out.

    Exit code 0: identical. 1: differs. 4: not provable, and why.

    Example: jobforge replay 0f6c... --verify --code transforms.py
    """
    out = output.choose(as_json=as_json)
    found = jobforge.PipelineEngine(output.config(data_root)).replay(
        batch,
        modules=code.modules(modules or []),
        into=into,
        compare=verify or into is None,
    )
    if as_json:
        out.record(found.model_dump(mode="json"))
    else:
        _show(out, found)
    raise typer.Exit(_exit_code(found))


def _exit_code(found: Replay) -> ExitCode:
    codes = {
        "identical": ExitCode.OK,
        "differs": ExitCode.FAILED,
        "not provable": ExitCode.NOT_PROVABLE,
    }
    if found.verdict is not None:
        return codes[found.verdict.value]
    return ExitCode.OK if found.ran else ExitCode.NOT_PROVABLE


def _show(out: output.Output, found: Replay) -> None:
    out.line(f"{found.domain}/{found.table}, batch {found.batch_id}")
    rows = [(str(layer.layer), _verdict(layer), _why(layer)) for layer in found.layers]
    out.table("", ("layer", "verdict", "why"), rows)
    for layer in found.layers:
        for one in layer.compared:
            if not one.same:
                _show_rows(out, layer, one)
    for note in found.notes:
        out.line(note)
    if found.folder is not None:
        out.line(f"what came out is in {found.folder}")
    if found.verdict is not None:
        out.line(str(found.verdict))


def _verdict(layer: LayerReplay) -> str:
    return str(layer.verdict) if layer.verdict is not None else "run, not compared"


def _why(layer: LayerReplay) -> str:
    return "; ".join([*layer.reasons, *layer.notes])


def _show_rows(out: output.Output, layer: LayerReplay, one: Compared) -> None:
    if not one.first:
        return
    rows = [
        (
            row.source_file,
            row.source_row,
            row.column if row.column is not None else row.row,
            *(("withheld",) * 2 if one.withheld and row.column else (row.recorded, row.replayed)),
        )
        for row in one.first
    ]
    title = f"{layer.layer}: the first of {one.differing:,} {one.what} that differ"
    out.table(title, ("file", "record", "column", "recorded", "replayed"), rows)
