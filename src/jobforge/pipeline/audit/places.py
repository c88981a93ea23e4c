"""The place of a record in its source, as an audit tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from jobforge.errors import JobforgeError, RecordNotFoundError
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

    Returns:
        In the order of the numbers.
    """
    try:
        source = find_source(config, record, source_file, verify=verify)
    except RecordNotFoundError as error:
        why = f"{error.message}: {error.hint}"
        return [_unknown(source_file, number, why) for number in numbers]
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


def _unknown(source_file: str, number: int, why: str) -> SourcePlace:
    return SourcePlace(
        source_file=source_file,
        path=None,
        sha256=None,
        record=number,
        state="missing",
        verified=None,
        why=why,
    )


def with_rebuilt(
    place: SourcePlace, staged: dict[str, Any] | None, *, private: bool
) -> SourcePlace:
    """The place with the record as staged has it, where its text cannot be had.

    Args:
        place: The place.
        staged: The row of staged, as it is shown.
        private: Whether the record may hold a personal value: then its text is not shown.
    """
    if place.raw is not None and not private:
        return place
    update: dict[str, Any] = {}
    if staged is not None:
        update["rebuilt"] = {name: staged[name] for name in data_columns(list(staged))}
    if place.raw is not None:
        update |= {"raw": None, "why": "the record may hold personal values: its text is not shown"}
    return place.model_copy(update=update)
