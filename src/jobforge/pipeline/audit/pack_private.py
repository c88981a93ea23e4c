"""What a pack leaves out of accounts and replays where columns are classed as personal.

The text of an error may quote a value. The one who wrote it down looked at the
contract of its own batch; a pack goes by every contract of the table.
"""

from __future__ import annotations

import re
from typing import Any

from jobforge.pipeline.accounts import BatchAccount
from jobforge.pipeline.models import WITHHELD, BatchRecord
from jobforge.pipeline.rejects.snapshot import standing_moves

_WHAT = "(?:rows|rejects|records that were left out|records of the groups)"
_FIXED = re.compile(
    "|".join(
        (
            rf"the {_WHAT} differ",
            rf"[\d,]+ {_WHAT} differ(?: in .+)?",
            rf"the recorded {_WHAT} are gone",
            "the row account is another one",
            "the rules count other rows",
            r"it is recorded as \w+, and is \w+ now",
            r"(?:no|[\d,]+) rows (?:in|out) are recorded, and (?:no|[\d,]+) counted now",
            r"it was refused with \w+, and is published now",
            "only the last bits of floats differ: .+",
            "what it read could not be proved",
            r"it ran with (?:Polars|jobforge) \S+, and this is \S+",
            "the file has the bytes that were recorded",
            r"source records of the batch were erased(?: on [\d-]+)?",
            r"\w+ is being made right now, and is not run again",
            r"an attempt at \w+ that failed is not run again: a later one counts",
            r"an attempt at \w+ was not stopped by its rows \((?:\w+|no error)\): not run again",
            "the schema of an attempt that failed is not recorded",
            r"the contract that it went by \(\w+\) is not kept anywhere",
            r"what it read, [^:]+, is not there in a replay",
            "[^:]+ refers to a frame with other keys than it had",
            "the file that [^:]+ stands in has changed since it ran",
            "[^:]+: its code could not be read when it ran",
            "the code has changed: [^:]+ is not the code that ran",
            "[^:]+ was declared in another way when the batch ran",
            r"the code of [^:]+ is gone: there is no [\w.<>]+",
            "[^:]+ was defined in a script: name the file of the script",
            "[^:]+ holds what the record does not keep: pass the step itself",
            "a lambda has no name to be found by: pass it, or write a function",
            "[^:]+ is defined inside another function: pass it, or move it to a module",
        )
    )
)
"""What a replay says of counts, columns, versions and names: no text of an error is in it."""
_BEGINS = re.compile(
    r"(?:it was published, and is refused now: \w+|it was refused with \w+, and now with \w+)\b"
    rf"|the {_WHAT} have other columns"
)
"""What it says of how a transition ended, or of other types, before texts that may quote values."""


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


def without_values(told: Any, key: str = "") -> Any:  # noqa: ANN401 - whatever JSON can hold
    """What a replay says, without the cells that it compared, whoever may see them.

    Args:
        told: What it says, as plain values.
        key: Under which name that stands.
    """
    if isinstance(told, dict):
        return {name: without_values(value, name) for name, value in told.items()}
    if key in ("recorded", "replayed"):
        return None
    return [without_values(entry, key) for entry in told] if isinstance(told, list) else told


def without_texts(told: Any, key: str = "") -> Any:  # noqa: ANN401 - whatever JSON can hold
    """What a replay says, without what may quote an error, or the words of a type.

    Args:
        told: What it says, as plain values.
        key: Under which name that stands.
    """
    if isinstance(told, dict):
        # Columns whose rows were never compared come with the types that they had and have.
        typed = "columns" in told and told.get("differing") is None
        plain = {"columns": [name.partition(" (")[0] for name in told["columns"]]} if typed else {}
        return {name: without_texts(value, name) for name, value in {**told, **plain}.items()}
    if isinstance(told, list):
        return [without_texts(entry, key) for entry in told]
    if key not in ("reasons", "notes") or not isinstance(told, str) or _FIXED.fullmatch(told):
        return told
    begins = _BEGINS.match(told)
    return f"{begins[0]} {WITHHELD}" if begins else WITHHELD
