"""`jobforge history`: which batches there were and what became of their rows."""

from __future__ import annotations

from typing import Annotated

import typer

from jobforge.cli import output, parameters

TableArgument = Annotated[
    str | None,
    typer.Argument(help="table or domain/table; every table unless given.", metavar="[TABLE]"),
]


def history(
    table: TableArgument = None,
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    *,
    as_json: parameters.AsJson = False,
) -> None:
    """List the batches, oldest first, with every transition.

    Example: jobforge history employees
    """
    out = output.choose(as_json=as_json)
    from jobforge.cli.accounts import what_happened
    from jobforge.pipeline import query

    records = query.history(output.config(data_root), table)
    if as_json:
        out.record([record.model_dump(mode="json") for record in records])
        return
    rows = [
        (
            record.batch_id if position == 0 else "",
            f"{record.domain}/{record.table}" if position == 0 else "",
            str(log.target_layer),
            log.row_count_in,
            log.row_count_out,
            str(log.status),
            what_happened(log),
            f"{log.started_at:%Y-%m-%d %H:%M:%S}Z",
        )
        for record in records
        for position, log in enumerate(record.transitions)
    ]
    columns = (
        "batch",
        "table",
        "layer",
        "rows in",
        "rows out",
        "status",
        "what happened",
        "started",
    )
    out.table("", columns, rows)
