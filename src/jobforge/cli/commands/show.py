"""`jobforge show`: the first rows of a table."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from jobforge.cli import output, parameters
from jobforge.errors import InvalidOptionError

LayerOption = Annotated[
    str | None,
    typer.Option("--layer", "-l", help="staged, bronze, silver or gold; the highest unless given."),
]
Version = Annotated[
    int | None, typer.Option("--version", help="A version; the newest unless given.")
]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        help="The version that was the newest then: 2026-01-31T12:00:00Z.",
        metavar="TIME",
    ),
]
Rows = Annotated[int, typer.Option("-n", "--rows", min=1, max=1_000_000, help="How many rows.")]


def show(
    table: Annotated[str, typer.Argument(help="table or domain/table.")],
    layer: LayerOption = None,
    rows: Rows = 10,
    version: Version = None,
    as_of: AsOf = None,
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    *,
    as_json: parameters.AsJson = False,
) -> None:
    """Show the first rows of a table as they stand, or stood.

    Example: jobforge show employees --layer silver -n 5 --version 3
    """
    out = output.choose(as_json=as_json)
    from jobforge.pipeline import reads
    from jobforge.pipeline.config import parse_layer

    chosen = parse_layer(layer) if layer is not None else None
    moment = _moment(as_of) if as_of is not None else None
    seen = reads.look(output.config(data_root), table, chosen, version, moment)
    head = reads.first_rows(seen.frame, rows)
    if as_json:
        out.record(
            {
                "table": seen.table,
                "domain": seen.domain,
                "layer": seen.layer,
                "version": seen.version,
                "rows": seen.rows,
                "first": head.to_dicts(),
            }
        )
        return
    number = f" version {seen.version}" if seen.version is not None else ""
    title = f"{seen.domain}/{seen.table}, {seen.layer}{number}, {seen.rows:,} rows"
    cells = [[None if cell is None else str(cell) for cell in row] for row in head.iter_rows()]
    out.table(title, head.columns, cells)


def _moment(text: str) -> datetime:
    hint = "use ISO 8601 with a zone: 2026-01-31T12:00:00Z"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidOptionError(f"--as-of is {text!r}", hint=hint) from error
    if moment.tzinfo is None:
        raise InvalidOptionError(f"--as-of is {text!r}, which has no time zone", hint=hint)
    return moment
