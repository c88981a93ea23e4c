"""Which columns of each layer may hold a personal value, and are not shown."""

from __future__ import annotations

from collections.abc import Sequence

from jobforge.contracts.contract import Contract
from jobforge.pipeline.audit.routes import Rows
from jobforge.pipeline.config import Layer
from jobforge.pipeline.footer import read_footer
from jobforge.pipeline.models import LayerTransitionLog


def hidden_of(rows: Rows, logs: Sequence[LayerTransitionLog]) -> dict[Layer, frozenset[str]]:
    """The columns that the contract classes as personal, and every one that may come of them.

    A column of which it is not known what it is computed from may hold anything.

    Args:
        rows: Finds the files, which have the contract.
        logs: The transitions of the batch, from the highest layer down.
    """
    contract = _contract(rows, logs)
    if contract is None or not contract.personal:
        return {}
    personal = frozenset(contract.personal)
    found = {
        Layer.STAGED: frozenset(contract.source_of(name) for name in personal),
        Layer.BRONZE: personal,
    }
    before = personal
    for log in reversed(logs):
        lineage = log.column_lineage
        if log.target_layer not in (Layer.SILVER, Layer.GOLD) or lineage is None:
            continue
        before = frozenset(
            name
            for name in (*lineage.unchanged, *lineage.computed)
            if lineage.of(name).gap is not None or before.intersection(lineage.of(name).values)
        )
        found[log.target_layer] = before
    return found


def _contract(rows: Rows, logs: Sequence[LayerTransitionLog]) -> Contract | None:
    for log in logs:
        path = rows.file_of(str(log.target_file)) if log.target_file is not None else None
        declared = read_footer(path).contract if path is not None else None
        if declared is not None:
            return Contract.from_dict(declared)
    return None
