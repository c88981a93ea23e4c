"""How the logs of a batch are shown: one line a layer, and who left where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jobforge.cli.output import Output
from jobforge.pipeline.models import LayerTransitionLog


def show_logs(out: Output, title: str, logs: Sequence[LayerTransitionLog], data_root: Path) -> None:
    """Print what each layer did, and the files that it wrote."""
    rows = [
        (
            str(log.target_layer),
            log.row_count_in,
            log.row_count_out,
            str(log.status),
            what_happened(log),
        )
        for log in logs
    ]
    out.line(title)
    out.table("", ("layer", "rows in", "rows out", "status", "what happened"), rows)
    for log in logs:
        if log.target_file:
            out.line(f"  {log.target_layer:<10} {data_root / log.target_file}")
        if log.quarantine_file:
            out.line(f"  {'quarantine':<10} {data_root / log.quarantine_file}")
    for log in logs:
        for note in log.notes:
            out.line(f"  {'note':<10} {log.target_layer}: {note.topic}: {note.text}")


def what_happened(log: LayerTransitionLog) -> str:
    """Where the rows of a transition went, in words."""
    if log.account is None:
        return "; ".join(error.message for error in log.errors)
    account = log.account
    parts = [f"{rows:,} quarantined by {rule}" for rule, rows in account.quarantined.items()]
    parts += [f"{rows:,} left out by {step}" for step, rows in account.dropped.items()]
    if account.aggregated:
        parts.append(f"{account.aggregated:,} aggregated")
    parts += [f"{rows:,} made by {step}" for step, rows in account.generated.items()]
    steps = [step.name for step in log.transforms_applied]
    if not parts and steps:
        parts.append(", ".join(steps))
    parts += [error.message for error in log.errors]
    return "; ".join(parts) or "every row kept"
