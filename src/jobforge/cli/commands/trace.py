"""`jobforge trace`: from a row to the file, the line and every step between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

import jobforge
from jobforge.cli import output, parameters
from jobforge.cli.places import cell, cells, told_of
from jobforge.errors import InvalidOptionError

if TYPE_CHECKING:
    from jobforge.pipeline.audit.traced import RecordTrace, RowInLayer, RowTrace

Where = Annotated[
    str | None, typer.Option("--where", "-w", help="SQL condition, such as 'order_id = 5'.")
]
Key = Annotated[
    list[str] | None,
    typer.Option(
        "--key", "-k", help="A column and its value; may be repeated.", metavar="NAME=VALUE"
    ),
]
Row = Annotated[int | None, typer.Option("--row", help="Number of a row in the table, from 1.")]
LayerOf = Annotated[
    str | None,
    typer.Option("--layer", "-l", help="The layer of the rows; the highest one unless given."),
]
Version = Annotated[int | None, typer.Option("--version", help="Version of the layer.")]
Limit = Annotated[
    str, typer.Option("--limit", help="How many rows, and records of each, to follow: N, or all.")
]


def trace(
    table: parameters.Table,
    where: Where = None,
    key: Key = None,
    row: Row = None,
    layer: LayerOf = None,
    version: Version = None,
    limit: Limit = "10",
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    *,
    personal: parameters.Personal = False,
    verify: parameters.HashSources = False,
    as_json: parameters.AsJson = False,
) -> None:
    """Follow rows of a table to their records in the source file, with every step between.

    Example: jobforge trace revenue --where "region = 'north' AND month = '2026-01'"
    """
    out = output.choose(as_json=as_json)
    found = jobforge.PipelineEngine(output.config(data_root)).trace(
        table,
        where,
        key=_pairs(key),
        row=row,
        layer=layer,
        version=version,
        rows=_number(limit),
        records=_number(limit),
        personal=personal,
        verify=verify,
    )
    if as_json:
        out.record(found.model_dump())
        return
    for each in found.rows:
        _show(out, each)
    if found.matched > len(found.rows):
        out.line(f"{found.matched - len(found.rows):,} more rows fit: see --limit")


def _pairs(texts: list[str] | None) -> dict[str, object] | None:
    """Columns and values; an empty value is null.

    Raises:
        InvalidOptionError: A text is no NAME=VALUE.
    """
    if not texts:
        return None
    found: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise InvalidOptionError(f"--key is {text!r}", hint="use NAME=VALUE")
        found[name] = value or None
    return found


def _number(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdecimal():
        raise InvalidOptionError(f"--limit is {text!r}", hint="use a number from 1, or all")
    return int(text)


def _show(out: output.Output, found: RowTrace) -> None:
    _show_layer(out, found.row, "")
    if found.reach == "batch":
        files = ", ".join(found.files) or "files that are not on record"
        out.line(f"  can be followed to its batch alone: {found.why}; it was read from {files}")
        return
    if found.reach == "group":
        key = cells(found.key)
        files = ", ".join(found.files)
        out.line(f"  made of the {found.records:,} records with {key}, in {files}")
    for one in found.traces:
        _show_record(out, one)
    if found.records is not None and found.records > len(found.traces):
        out.line(f"  {found.records - len(found.traces):,} more records: see --limit")


def _show_record(out: output.Output, found: RecordTrace) -> None:
    for row in found.layers:
        _show_layer(out, row, "  ")
    for line in told_of(found.source):
        out.line(f"  {line}")


def _show_layer(out: output.Output, row: RowInLayer, margin: str) -> None:
    version = f" v{row.version}" if row.version is not None else ""
    out.line(f"{margin}{row.layer} {row.domain}/{row.table}{version}, batch {row.batch_id}")
    if row.values is None:
        out.line(f"{margin}  its file was removed by `clean`")
    else:
        out.line(f"{margin}  {_cells(row.values)}")
    for change in row.changes:
        before = _cells(change.before) or "nothing"
        by = " or ".join(change.steps) or "an unknown step"
        if len(change.each) > 1:
            by = ", ".join(f"{one.step} ({cell(one.after)})" for one in change.each)
        out.line(f"{margin}  {change.column}: {before} -> {cell(change.after)}, by {by}")
    codes = {step.name: (step.code_sha256 or "unknown")[:12] for step in row.transforms}
    if codes:
        steps = ", ".join(f"{name} ({code})" for name, code in codes.items())
        out.line(f"{margin}  steps (code): {steps}")
    if row.rules:
        out.line(f"{margin}  judged by: {', '.join(row.rules)}")
    if row.contract is not None:
        text = f"contract {row.contract.version} ({row.contract.sha256[:12]})"
        out.line(f"{margin}  {text}")


def _cells(values: dict[str, Any]) -> str:
    ours = ("_source_row", "_source_file", "_ingested_at", "_batch_id", "_layer")
    return cells({name: value for name, value in values.items() if name not in ours})
