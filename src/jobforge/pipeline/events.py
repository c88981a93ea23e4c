"""Log events of a run: lines for a person by default, JSON on request.

Importing this configures nothing. An application that has configured
structlog gets our events through its own processors; otherwise they go to
standard error, never to standard output, which belongs to results.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from jobforge.errors import InvalidConfigError

FORMATS = ("console", "json")
_settings = {"format": "", "quiet": False}
_trial: ContextVar[bool] = ContextVar("trial", default=False)


def configure(log_format: str = "console", *, quiet: bool = False) -> None:
    """Choose how jobforge's own events are written; structlog's global state is not touched.

    Args:
        log_format: `console` or `json` (one object a line).
        quiet: Write nothing.

    Raises:
        InvalidConfigError: The format is neither.
    """
    if log_format not in FORMATS:
        raise InvalidConfigError(
            f"there is no log format {log_format!r}", hint="use " + " or ".join(FORMATS)
        )
    _settings.update(format=log_format, quiet=quiet)


@contextmanager
def silent() -> Iterator[None]:
    """Write nothing for the time of the block: what is only tried did not happen."""
    token = _trial.set(True)
    try:
        yield
    finally:
        _trial.reset(token)


def get_logger() -> FilteringBoundLogger:
    """The logger for events of jobforge, as configured at this moment."""
    chosen = str(_settings["format"])
    trial = _trial.get()
    if not trial and not chosen and structlog.is_configured():
        configured: FilteringBoundLogger = structlog.get_logger("jobforge")
        return configured
    chosen = chosen or os.environ.get("JOBFORGE_LOG_FORMAT", "console")
    if chosen not in FORMATS:
        raise InvalidConfigError(
            f"JOBFORGE_LOG_FORMAT is {chosen!r}", hint="use " + " or ".join(FORMATS)
        )
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if chosen == "json":
        processors.append(structlog.processors.JSONRenderer())
    else:
        processors.append(_line)
    # No event of ours is as grave as CRITICAL, so that nothing passes that level.
    level = logging.CRITICAL if trial or _settings["quiet"] else logging.INFO
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        context_class=dict,
    )
    return logger


def _line(_: Any, __: str, event: Any) -> str:  # noqa: ANN401 - structlog's processor signature
    """One readable line: time, event, then what it is about."""
    fields = dict(event)
    moment = str(fields.pop("timestamp", ""))[11:19]
    level = str(fields.pop("level", "info"))
    title = str(fields.pop("event", ""))
    mark = "" if level == "info" else f"{level.upper()} "
    rest = " ".join(f"{key}={value}" for key, value in fields.items())
    return f"{moment} {mark}{title} {rest}".rstrip()
