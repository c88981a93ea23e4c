"""What a pack leaves out of accounts and replays where columns are classed as personal.

The text of an error may quote a value. The one who wrote it down looked at the
contract of its own batch; a pack goes by every contract of the table.
"""

from __future__ import annotations

from jobforge.pipeline.accounts import BatchAccount
from jobforge.pipeline.models import WITHHELD, BatchRecord
from jobforge.pipeline.rejects.snapshot import standing_moves


def without_errors(found: BatchAccount, record: BatchRecord) -> BatchAccount:
    """An account that says by which kind of error a layer was stopped, without its text.

    Args:
        found: The account.
        record: The record of its batch.
    """
    moves = standing_moves(record)
    layers = []
    for layer in found.layers:
        log = moves.get(layer.layer)
        if layer.stopped_by is not None:
            kind = f"{log.errors[0].kind} {log.errors[0].code} " if log and log.errors else ""
            layer = layer.model_copy(update={"stopped_by": f"{kind}{WITHHELD}"})  # noqa: PLW2901
        layers.append(layer)
    return found.model_copy(update={"layers": tuple(layers)})
