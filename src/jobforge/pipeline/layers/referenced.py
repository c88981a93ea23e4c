"""Foreign keys: the tables that steps refer to, read before any row is judged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import polars as pl

from jobforge.pipeline import query, reads
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.content import contents_of
from jobforge.pipeline.models import InputRef
from jobforge.pipeline.steps import Place, Step, located
from jobforge.quality.references import References


def with_keys(
    config: PipelineConfig, steps: tuple[Step, ...], place: Place
) -> tuple[tuple[Step, ...], tuple[InputRef, ...]]:
    """The steps with the keys that they refer to, and the tables that these are from.

    Raises:
        TableNotFoundError: There is no such table.
        InvalidRuleError: It lacks a column, or a key stands there twice.
    """
    found: list[Step] = []
    inputs: list[InputRef] = []
    for step in steps:
        declared = step.function
        if not isinstance(declared, References) or declared.keys is not None:
            found.append(step)
            continue
        with located(step, place, pl.LazyFrame()):
            if isinstance(declared.to, str):
                seen = reads.look(config, declared.to)
                inputs.append(_input(seen))
                found.append(replace(step, function=declared.resolved(seen.frame)))
            else:
                found.append(_with_frame(step, declared.resolved(declared.to)))
    return tuple(found), tuple(inputs)


def _with_frame(step: Step, resolved: References) -> Step:
    """A step that refers to a frame; nobody keeps that, so the record says what its keys were."""
    keys = resolved.keys
    said = dict(step.reference.definition)
    if keys is not None:
        said["keys"] = f"{keys.height} of {contents_of(keys.lazy(), by_record=False).hash}"
    reference = step.reference.model_copy(update={"definition": said})
    return replace(step, function=resolved, reference=reference)


def check_tables(config: PipelineConfig, steps: Iterable[Step], place: Place) -> None:
    """Refuse references to tables that are not there, before anything is read.

    Raises:
        TableNotFoundError: There is no such table.
    """
    for step in steps:
        declared = step.function
        if isinstance(declared, References) and isinstance(declared.to, str):
            with located(step, place, pl.LazyFrame()):
                query.find_layer(config, declared.to, None)


def _input(seen: reads.Seen) -> InputRef:
    return InputRef(
        table=seen.table,
        domain=seen.domain,
        layer=seen.layer,
        file=f"{seen.layer}/{seen.domain}/{seen.table}",
        version=seen.version,
    )
