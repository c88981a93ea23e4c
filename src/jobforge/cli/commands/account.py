"""`jobforge account`: where every record of a batch went."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jobforge
from jobforge.cli import output, parameters

if TYPE_CHECKING:
    from jobforge.pipeline.accounts import BatchAccount, LayerAccount


def account(
    batch: parameters.Batch,
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    *,
    as_json: parameters.AsJson = False,
) -> None:
    """Print the waterfall of a batch: from the records of its source to its last layer.

    Example: jobforge account 0f6c...
    """
    out = output.choose(as_json=as_json)
    found = jobforge.PipelineEngine(output.config(data_root)).account(batch)
    if as_json:
        out.record(found.model_dump(mode="json"))
        return
    show_account(out, found)


def show_account(out: output.Output, found: BatchAccount) -> None:
    """Print the account of a batch."""
    out.line(f"{found.domain}/{found.table}, batch {found.batch_id}")
    if found.cures:
        out.line(f"corrects rejects of batch {found.cures}")
    rows: list[tuple[object, ...]] = [("source", "records", None, found.source_records)]
    for layer in found.layers:
        rows += _lines(layer)
    out.table("", ("layer", "what", "rows", "left"), rows)
    for layer in found.layers:
        standing = ", ".join(f"{n:,} {state}" for state, n in layer.rejects.items())
        if standing:
            out.line(f"rejects of {layer.layer}: {standing}")
        for waiver in layer.waivers:
            out.line(f"{waiver.rows:,} waived by {waiver.by}: {waiver.why}")
        if layer.stopped_by:
            out.line(f"{layer.layer} was not published: {layer.stopped_by}")
    for other in found.cured_by:
        out.line(f"corrected by batch {other}")


def _lines(layer: LayerAccount) -> list[tuple[object, ...]]:
    name = str(layer.layer)
    lines: list[tuple[object, ...]] = []
    for line in layer.lines:
        sign = "+" if line.way == "generated" else "-"
        lines.append((name, f"{line.way} by {line.name}", f"{sign}{line.rows:,}", None))
    return [
        *lines,
        (name, "published" if not layer.stopped_by else "nothing", None, layer.rows_out),
    ]
