"""OpenTelemetry spans of runs and transitions: off unless asked for, and then nothing else changes.

Only the API of OpenTelemetry is used. Where spans go is for the application to
say, with its SDK; jobforge sends nothing by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING

from jobforge._version import __version__
from jobforge.errors import InvalidConfigError, JobforgeError
from jobforge.pipeline import events
from jobforge.pipeline.config import PipelineConfig

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_SWITCH = "JOBFORGE_SPANS"
_PREFIX = "jobforge."
_WORDS = {"1": True, "true": True, "": False, "0": False, "false": False}
_run: ContextVar[Told | None] = ContextVar("run", default=None)


class Told:
    """A span that takes what becomes known; without one it takes nothing.

    Whatever OpenTelemetry raises is kept from the work: a span that cannot be
    written changes no outcome.
    """

    def __init__(self, span: Span | None) -> None:
        self._span = span

    def about(self, values: Mapping[str, object]) -> None:
        """Attributes, under names of jobforge; values that are not known are left out."""
        if self._span is None:
            return
        with suppress(Exception):
            for name, value in values.items():
                if value is not None:
                    plain = value if isinstance(value, (bool, int, float)) else str(value)
                    self._span.set_attribute(_PREFIX + name, plain)

    def failed(self, error: BaseException) -> None:
        """Say that it failed, by the code of the error: its text may hold personal values."""
        if self._span is None:
            return
        code = error.code if isinstance(error, JobforgeError) else type(error).__name__
        with suppress(Exception):
            from opentelemetry.trace import Status, StatusCode

            self._span.set_attribute("error.type", code)
            self._span.set_status(Status(StatusCode.ERROR, code))


_NOTHING = Told(None)


@contextmanager
def of_run(config: PipelineConfig, name: str, table: str) -> Iterator[None]:
    """A span for several transitions of one batch, which are its children.

    Args:
        config: Says whether there are spans.
        name: What is done.
        table: `domain/table`.

    Raises:
        InvalidConfigError: Spans are asked for, and OpenTelemetry is not there.
    """
    with _span(config, name, {"table": table}) as span:
        token = _run.set(span)
        try:
            yield
        finally:
            _run.reset(token)


@contextmanager
def of_transition(
    config: PipelineConfig, layer: str, about: Mapping[str, object]
) -> Iterator[Told]:
    """A span for a transition.

    Args:
        config: Says whether there are spans.
        layer: The layer that is made.
        about: What its events say of it.

    Raises:
        InvalidConfigError: Spans are asked for, and OpenTelemetry is not there.
    """
    with _span(config, layer, about) as span:
        run = _run.get()
        if run is not None:
            run.about({"batch": about["batch"]})
        yield span


@contextmanager
def _span(config: PipelineConfig, name: str, about: Mapping[str, object]) -> Iterator[Told]:
    if events.is_silent() or not _asked_for(config):
        yield _NOTHING
        return
    try:
        from opentelemetry import context, trace
    except ImportError as error:
        raise InvalidConfigError(
            "spans are switched on, and opentelemetry-api is not installed",
            hint="pip install 'jobforge[otel]', or switch them off",
        ) from error
    span = None
    with suppress(Exception):
        span = trace.get_tracer("jobforge", __version__).start_span(_PREFIX + name)
    told = Told(span)
    told.about(about)
    token = None if span is None else context.attach(trace.set_span_in_context(span))
    try:
        yield told
    except BaseException as error:
        told.failed(error)
        raise
    finally:
        if token is not None:
            context.detach(token)
        with suppress(Exception):
            if span is not None:
                span.end()


def _asked_for(config: PipelineConfig) -> bool:
    """Whether there are to be spans: as the settings say, else the environment.

    Raises:
        InvalidConfigError: The environment says neither yes nor no.
    """
    if config.spans is not None:
        return config.spans
    said = os.environ.get(_SWITCH, "")
    if said.lower() not in _WORDS:
        raise InvalidConfigError(f"{_SWITCH} is {said!r}", hint="use 1 or 0")
    return _WORDS[said.lower()]
