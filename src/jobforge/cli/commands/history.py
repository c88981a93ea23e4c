"""`jobforge history`: which batches there were and what became of their rows."""

from __future__ import annotations

from typing import Annotated

import typer

import jobforge
from jobforge.cli import output, parameters
from jobforge.errors import InvalidOptionError

Layer = Annotated[
    str | None,
    typer.Option("--layer", "-l", help="Show the versions of this layer: bronze, silver or gold."),
]


Rules = Annotated[
    bool, typer.Option("--rules", help="Show how many rows failed each rule, batch by batch.")
]


def history(
    table: parameters.AnyTable = None,
    layer: Layer = None,
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    *,
    rules: Rules = False,
    as_json: parameters.AsJson = False,
) -> None:
    """List the batches, oldest first, with every transition; or the versions of a layer.

    Example: jobforge history employees --layer gold
    """
    out = output.choose(as_json=as_json)
    if layer is not None:
        _versions(out, table, layer, data_root)
        return
    if rules:
        _rules(out, table, data_root)
        return
    from jobforge.cli.accounts import what_happened
    from jobforge.pipeline import query

    records = query.batches(output.config(data_root), table)
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


def _rules(out: output.Output, table: str | None, data_root: str) -> None:
    """Print the quality history; a rule that fails more than it used to is marked."""
    found = jobforge.PipelineEngine(output.config(data_root)).rule_history(table)
    if out.as_json:
        out.record([{**entry.model_dump(mode="json"), "share": entry.share} for entry in found])
        return
    rows = [
        (
            entry.rule,
            f"{entry.domain}/{entry.table}",
            str(entry.layer),
            f"{entry.started_at:%Y-%m-%d %H:%M:%S}Z",
            entry.failed,
            entry.judged,
            f"{entry.share:.2%}",
            "more than before" if entry.more else "",
            entry.batch_id,
        )
        for entry in found
    ]
    columns = ("rule", "table", "layer", "when", "failed", "judged", "share", "", "batch")
    out.table("", columns, rows)


def _versions(out: output.Output, table: str | None, layer: str, data_root: str) -> None:
    if table is None:
        hint = "jobforge history TABLE --layer gold"
        raise InvalidOptionError("--layer needs a table", hint=hint)
    engine = jobforge.PipelineEngine(output.config(data_root))
    versions = engine.history(table, layer)
    if out.as_json:
        out.record(
            [
                {"version": v.number, "opens": v.opens, **v.about.model_dump(mode="json")}
                for v in versions
            ]
        )
        return
    rows = [
        (
            v.number,
            v.about.operation + (f" of {v.about.of_version}" if v.about.of_version else ""),
            v.about.rows,
            v.about.files,
            v.about.size_bytes,
            "yes" if v.opens else "no",
            f"{v.about.published_at:%Y-%m-%d %H:%M:%S}Z",
            v.about.batch_id,
        )
        for v in versions
    ]
    columns = ("version", "made by", "rows", "files", "bytes", "opens", "published", "batch")
    out.table("", columns, rows)
