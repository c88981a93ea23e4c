"""`jobforge impact`: from a line of a source file to what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import jobforge
from jobforge.cli import output, parameters
from jobforge.cli.places import cells, told_of

if TYPE_CHECKING:
    from jobforge.pipeline.audit.traced import LayerFate, LeftRows, RecordImpact

Place = Annotated[
    str,
    typer.Argument(
        help="The source file and a line, or the file with --record.", metavar="FILE:LINE"
    ),
]
RecordNumber = Annotated[
    int | None, typer.Option("--record", help="A record number, from 1, in place of a line.")
]
OfBatch = Annotated[
    str | None,
    typer.Option("--batch", help="The batch; every one that read the file if not given."),
]

_WORDS = {
    "row": "a row",
    "quarantined": "quarantined",
    "deduplicated": "set aside as a duplicate",
    "filtered": "left out by a filter",
    "dropped": "left out by a function",
    "aggregated": "part of an aggregate",
    "left out": "left out with its whole group",
    "erased": "erased on purpose",
    "removed": "not told: its file was removed on purpose",
    "unknown": "not told: the rows do not name their records",
}


def impact(
    place: Place,
    record: RecordNumber = None,
    batch: OfBatch = None,
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    *,
    personal: parameters.Personal = False,
    verify: parameters.HashSources = False,
    as_json: parameters.AsJson = False,
) -> None:
    """Say what became of a line of a source file, in every layer and batch.

    Example: jobforge impact orders.csv:1042
    """
    out = output.choose(as_json=as_json)
    file, line = (place, None) if record is not None else _parted(place)
    found = jobforge.PipelineEngine(output.config(data_root)).impact(
        file, line, record=record, batch_id=batch, personal=personal, verify=verify
    )
    if as_json:
        out.record(found.model_dump())
        return
    for each in found.records:
        _show(out, each)


def _parted(place: str) -> tuple[str, int | None]:
    """File and line; a name that ends in no number has no line."""
    file, colon, line = place.rpartition(":")
    if colon and file and line.isdecimal() and not Path(place).exists():
        return file, int(line)
    return place, None


def _show(out: output.Output, found: RecordImpact) -> None:
    out.line(f"{found.domain}/{found.table}, batch {found.name.batch_id}")
    for line in told_of(found.source):
        out.line(f"  {line}")
    for fate in found.layers:
        out.line(f"  {fate.layer}: {_told(fate)}")
        for key in fate.keys:
            out.line(f"    {cells(key)}")
        for left in fate.left:
            out.line(f"    besides, {_left(left)}")
    for other in found.cured_by:
        out.line(f"  brought in, corrected, by batch {other}")


def _told(fate: LayerFate) -> str:
    said = _WORDS[fate.fate]
    if fate.fate == "row" and fate.rows > 1:
        said = f"{fate.rows:,} rows"
    said += _how(fate)
    if fate.replaced_by is not None:
        said += f"; replaced by {fate.replaced_by}"
    elif fate.current is False:
        said += "; no longer in the table"
    return said


def _left(left: LeftRows) -> str:
    said = _WORDS[left.fate]
    if left.rows is not None:
        said = f"{left.rows:,} {'row' if left.rows == 1 else 'rows'} {said}"
    return said + _how(left)


def _how(what: LayerFate | LeftRows) -> str:
    """By what it left, why, and how it stands."""
    said = f" by {', '.join(what.by)}" if what.by else ""
    if what.reasons:
        said += f" ({'; '.join(what.reasons)})"
    if what.state not in (None, "duplicate"):
        said += f", {what.state}"
    return said
