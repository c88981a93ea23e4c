"""`jobforge tables`: what the data root holds."""

from __future__ import annotations

import jobforge
from jobforge.cli import output, parameters


def tables(
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    *,
    as_json: parameters.AsJson = False,
) -> None:
    """List the tables with the rows of each layer.

    Example: jobforge tables --data-root data
    """
    out = output.choose(as_json=as_json)
    from jobforge.pipeline import query

    found = query.tables(output.config(data_root))
    if as_json:
        out.record([table.model_dump(mode="json") for table in found])
        return
    layers = list(jobforge.Layer)
    rows = [
        (
            f"{table.domain}/{table.table}",
            *(table.layers[layer].rows if layer in table.layers else None for layer in layers),
            f"{table.updated_at:%Y-%m-%d %H:%M:%S}Z",
        )
        for table in found
    ]
    out.table("", ("table", *(f"{layer} rows" for layer in layers), "updated"), rows)
