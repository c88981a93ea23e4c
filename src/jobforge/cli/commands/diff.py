"""`jobforge diff`: what is different between two versions of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

import jobforge
from jobforge.cli import output, parameters

if TYPE_CHECKING:
    import polars as pl

Key = Annotated[
    list[str] | None,
    typer.Option("--key", "-k", help="Column that tells rows apart; may be given more than once."),
]
Rows = Annotated[
    int, typer.Option("-n", "--rows", min=0, max=1_000_000, help="How many rows of each to show.")
]


def diff(
    table: parameters.Table,
    before: Annotated[int, typer.Argument(help="The one version.")],
    after: Annotated[int, typer.Argument(help="The other version.")],
    layer: parameters.Versioned = "gold",
    key: Key = None,
    rows: Rows = 10,
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    *,
    as_json: parameters.AsJson = False,
) -> None:
    """Compare two versions of a table: columns, and rows added, removed and changed.

    Example: jobforge diff employees 3 4 --key employee_id
    """
    out = output.choose(as_json=as_json)
    engine = jobforge.PipelineEngine(output.config(data_root))
    found = engine.diff(table, before, after, layer, key)
    parts: list[tuple[str, pl.DataFrame | None]] = [
        ("added", found.added),
        ("removed", found.removed),
        ("changed", found.changed),
    ]
    if as_json:
        out.record(
            {
                "same": found.same,
                "columns_added": found.columns_added,
                "columns_removed": found.columns_removed,
                "columns_retyped": found.columns_retyped,
                "columns_compared": list(found.compared),
                **{
                    name: None
                    if part is None
                    else {"rows": part.height, "first": part.head(rows).to_dicts()}
                    for name, part in parts
                },
            }
        )
        return
    for word, names in (("added", found.columns_added), ("removed", found.columns_removed)):
        for name, kind in names.items():
            out.line(f"column {word}: {name} ({kind})")
    for name, (old, new) in found.columns_retyped.items():
        out.line(f"column retyped: {name}, {old} to {new}")
    if not found.compared:
        out.line("rows were not compared: no column has the same type in both versions")
        return
    if found.same:
        out.line("no difference")
        return
    for name, part in parts:
        if part is None:
            continue
        title = f"{part.height:,} rows {name}"
        head = part.head(rows)
        if not head.height:
            out.line(title)
            continue
        cells = [[None if cell is None else str(cell) for cell in row] for row in head.iter_rows()]
        out.table(title, head.columns, cells)
