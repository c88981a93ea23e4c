"""`jobforge show`: the first rows of a table."""

from __future__ import annotations

from typing import Annotated

import typer

import jobforge
from jobforge.cli import output, parameters

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
Profile = Annotated[
    bool, typer.Option("--profile", help="Show nulls, distinct values, range and quartiles.")
]
Personal = Annotated[
    bool,
    typer.Option("--show-personal", help="With --profile: values of personal columns too."),
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
    profile: Profile = False,
    show_personal: Personal = False,
    as_json: parameters.AsJson = False,
) -> None:
    """Show the first rows of a table as they stand, or stood.

    Example: jobforge show employees --layer silver -n 5 --version 3
    """
    out = output.choose(as_json=as_json)
    from jobforge.pipeline import reads
    from jobforge.pipeline.config import parse_layer

    if profile:
        _profile(out, table, layer, version, data_root, personal=show_personal)
        return
    chosen = parse_layer(layer) if layer is not None else None
    moment = parameters.moment(as_of) if as_of is not None else None
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


def _profile(
    out: output.Output,
    table: str,
    layer: str | None,
    version: int | None,
    data_root: str,
    *,
    personal: bool,
) -> None:
    engine = jobforge.PipelineEngine(output.config(data_root))
    found = engine.profile(table, layer, version, personal=personal)
    if out.as_json:
        out.record([entry.model_dump(mode="json") for entry in found])
        return
    rows = [
        (
            entry.column,
            entry.data_type,
            entry.nulls,
            entry.distinct,
            "[masked]" if entry.masked else entry.minimum,
            *(entry.quantiles.get(share) for share in ("0.25", "0.5", "0.75")),
            "[masked]" if entry.masked else entry.maximum,
        )
        for entry in found
    ]
    columns = ("column", "type", "nulls", "distinct", "least", "25%", "50%", "75%", "greatest")
    out.table(f"{found[0].rows if found else 0:,} rows", columns, rows)
