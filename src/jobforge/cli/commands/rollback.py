"""`jobforge rollback`: back to an earlier version, as a new version."""

from __future__ import annotations

from typing import Annotated

import typer

import jobforge
from jobforge.cli import output, parameters


def rollback(
    table: parameters.Table,
    version: Annotated[int, typer.Argument(help="The version to bring back.")],
    layer: parameters.Versioned = "gold",
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    *,
    as_json: parameters.AsJson = False,
) -> None:
    """Make an earlier version the newest one; nothing is deleted.

    Example: jobforge rollback employees 3 --layer gold
    """
    out = output.choose(as_json=as_json)
    log = jobforge.PipelineEngine(output.config(data_root)).rollback(table, layer, version)
    if as_json:
        out.record(log.model_dump(mode="json"))
        return
    out.line(
        f"{log.domain}/{log.table}, {layer}: version {log.table_version} holds what version "
        f"{version} holds, {log.row_count_out:,} rows (batch {log.batch_id})"
    )
