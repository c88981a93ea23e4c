"""Log events of a run: lines for a person by default, JSON on request.

Importing this configures nothing. An application that has configured
structlog gets our events through its own processors; otherwise they go to
standard error, never to standard output, which belongs to results.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Protocol, cast

from jobforge.errors import InvalidConfigError

FORMATS = ("console", "json")
_settings = {"format": "", "quiet": False}
_trial: ContextVar[bool] = ContextVar("trial", default=False)


class Logger(Protocol):
    """What takes events; the loggers of structlog do."""

    def info(self, event: str, /, **about: object) -> object:
        """Take an event that went as it should."""

    def warning(self, event: str, /, **about: object) -> object:
        """Take an event that somebody should look at."""

    def error(self, event: str, /, **about: object) -> object:
        """Take an event that stopped something."""


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


def is_silent() -> bool:
    """Whether this is only tried: see `silent`."""
    return _trial.get()


def get_logger() -> Logger:
    """The logger for events of jobforge, as configured at this moment."""
    chosen = str(_settings["format"])
    trial = _trial.get()
    # Who has configured structlog has imported it; importing it here would cost every start 40 ms.
    structlog = sys.modules.get("structlog")
    if not trial and not chosen and structlog is not None and structlog.is_configured():
        return cast("Logger", structlog.get_logger("jobforge"))
    chosen = chosen or check_environment()
    return _Lines(as_json=chosen == "json", quiet=trial or bool(_settings["quiet"]))


def check_environment() -> str:
    """The log format that the environment asks for; `tell` would say nothing of a wrong one.

    Raises:
        InvalidConfigError: There is no such format.
    """
    chosen = os.environ.get("JOBFORGE_LOG_FORMAT") or "console"
    if chosen not in FORMATS:
        raise InvalidConfigError(
            f"JOBFORGE_LOG_FORMAT is {chosen!r}", hint="use " + " or ".join(FORMATS)
        )
    return chosen


def tell(event: str, about: Mapping[str, object], level: str = "info") -> None:
    """Log an event; a log that cannot take it, whoever configured it, changes no outcome.

    Args:
        event: Its name.
        about: What it says.
        level: `info`, `warning` or `error`.
    """
    with suppress(Exception):
        getattr(get_logger(), level)(event, **about)


class _Lines:
    """A line on standard error for each event."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self._as_json, self._quiet = as_json, quiet

    def info(self, event: str, /, **about: object) -> None:
        self._write("info", event, about)

    def warning(self, event: str, /, **about: object) -> None:
        self._write("warning", event, about)

    def error(self, event: str, /, **about: object) -> None:
        self._write("error", event, about)

    def _write(self, level: str, event: str, about: dict[str, object]) -> None:
        if self._quiet or sys.stderr is None:
            return
        moment = datetime.now(UTC)
        if self._as_json:
            stamp = moment.isoformat().replace("+00:00", "Z")
            line = json.dumps(
                {**about, "event": event, "level": level, "timestamp": stamp}, default=repr
            )
        else:
            mark = "" if level == "info" else f"{level.upper()} "
            rest = " ".join(f"{key}={value}" for key, value in about.items())
            line = f"{moment:%H:%M:%S} {mark}{event} {rest}".rstrip()
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
