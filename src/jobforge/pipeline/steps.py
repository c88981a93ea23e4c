"""Transforms as named steps: applied one by one, each answerable by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl

from jobforge.errors import (
    InvalidRuleError,
    InvalidTransformError,
    JobforgeError,
    TransformError,
    nearest,
)
from jobforge.pipeline.config import Layer
from jobforge.pipeline.fingerprint import fingerprint, plain_name
from jobforge.pipeline.models import WITHHELD
from jobforge.pipeline.transform_ref import TransformRef
from jobforge.quality.declared import DeclaredStep

Transform = Callable[[pl.LazyFrame], pl.LazyFrame | pl.DataFrame]
"""A step of silver or gold: a lazy frame in, a frame out."""


@dataclass(frozen=True)
class Step:
    """A transform and the name it goes by in logs and errors."""

    name: str
    function: Transform
    reference: TransformRef

    @property
    def declared(self) -> DeclaredStep | None:
        """The step, where the engine knows what it does by its kind."""
        return self.function if isinstance(self.function, DeclaredStep) else None


@dataclass(frozen=True)
class Place:
    """Which transition a step belongs to, for its errors."""

    layer: Layer
    table: str
    discreet: bool = False
    """Whether error texts that may hold personal values are withheld."""


def resolve_steps(transforms: Sequence[Transform] | None, place: Place) -> tuple[Step, ...]:
    """Name the transforms of a layer; where two functions share a name, the later gets a number.

    Raises:
        InvalidTransformError: Not a list, or an entry is no callable.
        InvalidRuleError: Two declared steps have one name.
    """
    if transforms is None:
        return ()
    # Not any iterable: a generator that was looked at once would be empty when it counts.
    if not isinstance(transforms, (list, tuple)):
        raise InvalidTransformError(
            f"transforms is a {type(transforms).__name__}, not a list",
            hint="pass a list of functions: [tidy, deduplicate]",
            layer=place.layer,
            table=place.table,
        )
    declared = _declared_names(transforms, place)
    steps: list[Step] = []
    seen: Counter[str] = Counter(declared)
    for position, function in enumerate(transforms, start=1):
        if not callable(function):
            raise InvalidTransformError(
                f"transform {position} is a {type(function).__name__}, not a callable",
                hint="pass the function itself: tidy, not tidy(frame)",
                layer=place.layer,
                table=place.table,
            )
        if isinstance(function, DeclaredStep):
            steps.append(Step(function.name, function, fingerprint(function, function.name)))
            continue
        base = plain_name(function)
        seen[base] += 1
        name = base if seen[base] == 1 else f"{base}#{seen[base]}"
        while name in declared or name in (step.name for step in steps):
            name += "_"
        steps.append(Step(name, function, fingerprint(function, name)))
    return tuple(steps)


def _declared_names(transforms: Sequence[Transform], place: Place) -> list[str]:
    """Names of the declared steps, which are counted under them.

    Raises:
        InvalidRuleError: Two are the same.
    """
    names = [step.name for step in transforms if isinstance(step, DeclaredStep)]
    for name, times in Counter(names).items():
        if times > 1:
            raise InvalidRuleError(
                f"{times} steps are called {name!r}",
                hint="give each a name of its own: rows are counted under it",
                layer=place.layer,
                table=place.table,
                rule=name,
            )
    return names


def apply_step(frame: pl.LazyFrame, step: Step, place: Place) -> pl.LazyFrame:
    """Call a step and resolve its schema, so that a missing column is found here.

    Raises:
        TransformError: The function raised, returned no frame, or asks for a
            column that is not there.
    """
    with located(step, place, frame):
        result = step.function(frame)
    if isinstance(result, pl.DataFrame):
        result = result.lazy()
    if not isinstance(result, pl.LazyFrame):
        raise TransformError(
            f"the transform {step.name!r} returned {_kind(result)}, not a frame",
            hint="end the function with `return` and a LazyFrame or DataFrame",
            layer=place.layer,
            table=place.table,
            step=step.name,
        )
    with located(step, place, frame):
        result.collect_schema()
    return result


@contextmanager
def located(step: Step, place: Place, frame: pl.LazyFrame) -> Iterator[None]:
    """Let an error inside say which step it is of.

    Args:
        step: The step.
        place: Its transition.
        frame: What it was given.

    Raises:
        JobforgeError: One of ours, with its place.
        TransformError: Anything else.
    """
    try:
        yield
    except JobforgeError as error:
        here = {"layer": str(place.layer), "table": place.table, "step": step.name}
        error.place = {**here, **error.place}
        raise
    except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - raised as ours
        # What was raised may hold personal values, and a traceback would show it.
        raise step_error(step, place, error, frame) from (None if place.discreet else error)


def step_error(
    step: Step, place: Place, error: BaseException, frame: pl.LazyFrame
) -> TransformError:
    """The error of a step, with the nearest column names where one is missing."""
    first = (str(error).splitlines() or [""])[0] or type(error).__name__
    hint = "mend the function and promote again; nothing was published"
    if isinstance(error, pl.exceptions.ColumnNotFoundError):
        asked = _quoted(first)
        first = f"there is no column {asked!r}" if asked else first
        hint = nearest(asked or first, frame.collect_schema().names())
    elif place.discreet:
        first = WITHHELD
    return TransformError(
        f"the transform {step.name!r} failed: {type(error).__name__}: {first}",
        hint=hint,
        layer=place.layer,
        table=place.table,
        step=step.name,
    )


def _quoted(text: str) -> str:
    parts = text.split('"')
    return parts[1] if len(parts) > 2 else ""  # noqa: PLR2004 - text before, inside, after


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
