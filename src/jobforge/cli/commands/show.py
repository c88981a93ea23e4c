"""`jobforge show`: the first rows of a table."""

from __future__ import annotations

from typing import Annotated

import typer

from jobforge.cli import output, parameters

LayerOption = Annotated[
    str | None,
    typer.Option("--layer", "-l", help="staged, bronze, silver or gold; the highest unless given."),
]
Rows = Annotated[int, typer.Option("-n", "--rows", min=1, help="How many rows.")]


def show(
    table: Annotated[str, typer.Argument(help="table or domain/table.")],
    layer: LayerOption = None,
    rows: Rows = 10,
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    *,
    as_json: parameters.AsJson = False,
) -> None:
    """Show the first rows of a table as they stand.

    Example: jobforge show employees --layer silver -n 5
    """
    out = output.choose(as_json=as_json)
    from jobforge.pipeline import query
    from jobforge.pipeline.config import parse_layer

    chosen = parse_layer(layer) if layer is not None else None
    found, state, frame = query.current(output.config(data_root), table, chosen)
    head = query.first_rows(frame, rows)
    if as_json:
        out.record(
            {
                "table": found.table,
                "domain": found.domain,
                "layer": state.layer,
                "rows": state.rows,
                "first": head.to_dicts(),
            }
        )
        return
    title = f"{found.domain}/{found.table}, {state.layer}, {state.rows:,} rows"
    cells = [[None if cell is None else str(cell) for cell in row] for row in head.iter_rows()]
    out.table(title, head.columns, cells)
