"""`jobforge erase`: source records that are to be forgotten."""

from __future__ import annotations

from typing import Annotated

import typer

import jobforge
from jobforge.cli import output, parameters

Batch = Annotated[str, typer.Option("--batch", help="_batch_id of the rows.")]
Record = Annotated[
    list[int],
    typer.Option(
        "--record",
        help="_source_row of the rows; may be given more than once.",
        min=1,
        max=2**63 - 1,
    ),
]
File = Annotated[
    str | None,
    typer.Option("--file", help="_source_file of the rows, where the batch has several."),
]
Why = Annotated[str, typer.Option("--why", help="The reason, for the record. No personal data.")]


def erase(
    table: parameters.Table,
    batch: Batch,
    record: Record,
    why: Why,
    file: File = None,
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    *,
    as_json: parameters.AsJson = False,
) -> None:
    """Remove source records from every layer, every version and quarantine, for good.

    Versions that held them no longer open, and say so. The source file itself
    is not touched.

    Example: jobforge erase employees --batch 0f6c... --record 17 --why "request 2026-114"
    """
    out = output.choose(as_json=as_json)
    engine = jobforge.PipelineEngine(output.config(data_root))
    records = [jobforge.SourceRecord(batch, row, file) for row in record]
    logs = engine.erase(table, records, why)
    if as_json:
        out.record([log.model_dump(mode="json") for log in logs])
        return
    rows = [
        (str(log.target_layer), log.row_count_in, log.row_count_out, len(log.removed))
        for log in logs
    ]
    out.line(f"{logs[0].domain}/{logs[0].table}: erased, batch {logs[0].batch_id}")
    out.table("", ("layer", "rows before", "rows now", "files removed"), rows)
    told = [note for note in logs[0].notes if note.topic == "kept sources"]
    told += [note for note in logs[-1].notes if note.topic == "aggregates"]
    for note in told:
        out.line(f"note: {note.text}")
    out.line("The source file itself was not touched.")
