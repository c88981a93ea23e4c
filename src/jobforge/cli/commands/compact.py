"""`jobforge compact`: many small files into one."""

from __future__ import annotations

import jobforge
from jobforge.cli import output, parameters


def compact(
    table: parameters.Table,
    layer: parameters.Versioned = "gold",
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    *,
    as_json: parameters.AsJson = False,
) -> None:
    """Write the files of a table into one, as a version with the same rows.

    Example: jobforge compact employees --layer gold
    """
    out = output.choose(as_json=as_json)
    log = jobforge.PipelineEngine(output.config(data_root)).compact(table, layer)
    if as_json:
        out.record(log.model_dump(mode="json"))
        return
    out.line(
        f"{log.domain}/{log.table}, {layer}: version {log.table_version} is one file of "
        f"{log.row_count_out:,} rows instead of {len(log.inputs)} (batch {log.batch_id})"
    )
