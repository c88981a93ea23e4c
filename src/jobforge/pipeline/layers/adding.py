"""Which steps may add floats, whose sum depends on the order in which threads finish."""

from __future__ import annotations

import re
from collections.abc import Iterator

from jobforge.pipeline.column_lineage.record import Influence
from jobforge.pipeline.layers.stages import Stage
from jobforge.pipeline.models import LayerTransitionLog, Note
from jobforge.pipeline.provenance import data_columns

REPLAY_TOPIC = "replay"
_MAY_ADD = "may add floats"
_SUMS = re.compile(
    r"""\b(sum|mean|avg|std|stddev|var|variance|product|dot|cum_sum|corr|cov)\(
    |aggregate_function\s*=\s*["'](sum|mean)""",
    re.IGNORECASE | re.VERBOSE,
)
"""What adds in the text of a function: expressions, SQL, a pivot."""
_MADE = re.compile(r"\b(mean|avg|std|stddev|var|variance|corr|cov)\b|Float|\bfloat\b|\bdouble\b")
"""What makes floats of other numbers, and adds them."""


def sum_notes(stage: Stage) -> Iterator[Note]:
    """That sums of floats are not the same to the last bit each time, where it makes some."""
    text = stage.step.reference.source or ""
    if not _SUMS.search(text):
        return
    schemas = [stage.before.collect_schema()]
    if _MADE.search(text):
        schemas.append(stage.frame.collect_schema())
    floats = dict.fromkeys(
        name
        for schema in schemas
        for name in data_columns(schema.names())
        if schema[name].is_float()
    )
    if floats:
        names = ", ".join([*floats][:3])
        text = (
            f"{stage.step.name} {_MAY_ADD} ({names}): the last bits of a sum may "
            "differ in a replay; those of Decimal and whole numbers do not"
        )
        yield Note(topic=REPLAY_TOPIC, text=text)


def may_add(log: LayerTransitionLog) -> bool:
    """Whether a step of a transition may have added floats, as its notes say."""
    return any(note.topic == REPLAY_TOPIC and _MAY_ADD in note.text for note in log.notes)


def is_sum(log: LayerTransitionLog, name: str) -> bool:
    """Whether a column may be made of several rows, as far as its recorded origin says."""
    origin = log.column_lineage.of(name) if log.column_lineage is not None else None
    if origin is None or origin.gap is not None:
        return True
    return any(source.influence is Influence.AGGREGATION for source in origin.sources)
