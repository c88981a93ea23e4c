"""`jobforge lineage`: which columns a column comes from, back to the source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

import jobforge
from jobforge.cli import output, parameters
from jobforge.cli.commands.show import LayerOption

if TYPE_CHECKING:
    from jobforge.pipeline.column_trace import ColumnOrigin, TableLineage

Address = Annotated[
    str,
    typer.Argument(
        help="table or domain/table, and a column after a dot.", metavar="TABLE[.COLUMN]"
    ),
]

_GAPS = {
    "other_frame": "values of a frame that is not the input",
    "python": "Python code that had the rows in its hands",
    "plan": "a plan that is not understood",
    "expression": "an expression that Polars does not show",
    "not_recorded": "nothing was recorded",
}


def lineage(
    table: Address,
    layer: LayerOption = None,
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    *,
    as_json: parameters.AsJson = False,
) -> None:
    """Show which columns a column comes from, layer by layer, back to the source.

    Example: jobforge lineage orders.gross
    """
    out = output.choose(as_json=as_json)
    from jobforge.pipeline.column_trace import parse_address

    config = output.config(data_root)
    name, column = parse_address(config, table)
    found = jobforge.PipelineEngine(config).column_lineage(name, column, layer)
    if as_json:
        out.record(found.model_dump(mode="json"))
        return
    for line in _lines(found, alone=column is not None):
        out.line(line)


def _lines(found: TableLineage, *, alone: bool) -> Iterator[str]:
    from jobforge.pipeline.provenance import PROVENANCE_DTYPES

    number = f" version {found.version}" if found.version is not None else ""
    yield f"{found.domain}/{found.table}, {found.layer}{number}, batch {found.batch_id}"
    files = ", ".join(found.source_files)
    for column in found.columns:
        if alone or column.column not in PROVENANCE_DTYPES:
            yield from _tree(column, files, "")
    for layer, rows in found.rows.items():
        said = [f"{source.column} ({source.influence})" for source in rows.sources]
        if rows.gap is not None:
            said.append(f"unknown: {_GAPS[rows.gap]}")
        if said:
            yield f"rows of {layer}: chosen by {', '.join(said)}{_by(rows.steps)}"


def _tree(column: ColumnOrigin, files: str, indent: str) -> Iterator[str]:
    arrow, how = ("<- ", f" ({column.influence})") if column.influence else ("", "")
    yield f"{indent}{arrow}{column.layer}.{column.column}{how}{_by(column.steps)}"
    below = indent + "   "
    for source in column.sources:
        yield from _tree(source, files, below)
    if column.gap is not None:
        yield f"{below}<- unknown: {_GAPS[column.gap]}"
    elif column.layer == "staged":
        yield f"{below}<- {files}"
    elif not column.sources:
        yield f"{below}<- no column"


def _by(steps: tuple[str, ...]) -> str:
    return f", by {', '.join(steps)}" if steps else ""
