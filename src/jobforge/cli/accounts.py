"""How the logs of a batch are shown: one line a layer, and who left where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jobforge.cli.output import Output
from jobforge.pipeline.models import LayerTransitionLog, Operation


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
        if log.left_out:
            names = ", ".join(map(repr, log.left_out))
            out.line(f"  {'note':<10} {log.target_layer}: other Delta readers do not see {names}")
        for note in log.notes:
            out.line(f"  {'note':<10} {log.target_layer}: {note.topic}: {note.text}")


def what_happened(log: LayerTransitionLog) -> str:
    """Where the rows of a transition went, or what became of its table, in words."""
    errors = [error.message for error in log.errors]
    whole = _of_the_table(log)
    if log.account is None or whole is not None:
        return "; ".join([*([whole] if whole is not None and not errors else []), *errors])
    account = log.account
    parts = [f"{rows:,} quarantined by {rule}" for rule, rows in account.quarantined.items()]
    parts += [f"{rows:,} set aside by {step}" for step, rows in account.deduplicated.items()]
    parts += [f"{rows:,} filtered by {name}" for name, rows in account.filtered.items()]
    parts += [f"{rows:,} left out by {step}" for step, rows in account.dropped.items()]
    if account.aggregated:
        parts.append(f"{account.aggregated:,} aggregated")
    parts += [f"{rows:,} made by {step}" for step, rows in account.generated.items()]
    steps = [step.name for step in log.transforms_applied]
    if not parts and steps:
        parts.append(", ".join(steps))
    return "; ".join(parts + errors) or "every row kept"


def _of_the_table(log: LayerTransitionLog) -> str | None:
    """What was done to a whole table; None where a batch was moved."""
    was = log.inputs[0].version if log.inputs else None
    match log.operation:
        case Operation.ROLLBACK:
            return f"version {log.table_version} holds what version {was} holds"
        case Operation.COMPACT:
            return f"{len(log.inputs)} files of version {was} into one"
        case Operation.CLEAN:
            return f"{len(log.removed)} files removed"
        case Operation.ERASE:
            rows = sum(log.account.dropped.values()) if log.account is not None else 0
            return f"{rows:,} rows erased, {len(log.removed)} files removed"
        case _:
            return None
