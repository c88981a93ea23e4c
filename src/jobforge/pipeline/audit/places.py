"""The place of a record in its source, as an audit tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from jobforge.errors import JobforgeError
from jobforge.pipeline.audit.traced import SourcePlace
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.models import BatchRecord
from jobforge.pipeline.provenance import data_columns
from jobforge.pipeline.source_places import SourcePlaces, find_places, find_source

_TOLD = ("first_line", "last_line", "offset", "length", "sheet", "row", "cells", "raw")


def places_of(
    config: PipelineConfig,
    record: BatchRecord,
    source_file: str,
    numbers: Sequence[int],
    *,
    verify: bool = False,
) -> list[SourcePlace]:
    """Where records stand; a file that is gone, changed or cannot be read is said to be so.

    Args:
        config: Where the data root is.
        record: The batch.
        source_file: The source, as `_source_file` has it.
        numbers: Record numbers.
        verify: Whether to hash large files too before they are looked into.

    Raises:
        RecordNotFoundError: The batch has no such source.
    """
    source = find_source(config, record, source_file, verify=verify)
    try:
        found = find_places(config, record, source_file, numbers, verify=verify)
    except JobforgeError as error:
        found = SourcePlaces(source, (), error.message)
    there = {place.record: asdict(place) for place in found.places}
    why = found.why or source.why
    return [
        SourcePlace(
            source_file=source_file,
            path=source.info.path,
            sha256=source.info.sha256,
            record=number,
            state=str(source.state),
            verified=source.verified,
            why=why,
            **{name: there[number][name] for name in _TOLD if number in there},
        )
        for number in numbers
    ]


def with_rebuilt(
    place: SourcePlace, staged: dict[str, Any] | None, hidden: frozenset[str]
) -> SourcePlace:
    """The place with the record as staged has it, where its text cannot be had.

    Args:
        place: The place.
        staged: The row of staged, as it is shown.
        hidden: Personal columns: then no text is shown that may hold one of them.
    """
    if place.raw is not None and not hidden:
        return place
    update: dict[str, Any] = {}
    if staged is not None:
        update["rebuilt"] = {name: staged[name] for name in data_columns(list(staged))}
    if place.raw is not None:
        update |= {"raw": None, "why": "the record has personal columns: its text is not shown"}
    return place.model_copy(update=update)
