"""Events to where the settings say."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from jobforge.openlineage.endpoint import endpoint_of
from jobforge.openlineage.events import line_of, run_event
from jobforge.openlineage.records import RunState
from jobforge.openlineage.settings import OpenLineageConfig
from jobforge.storage.rewrite import rewrite

Warn = Callable[[dict[str, object]], None]
"""Takes what could not be sent, and why."""


def emit(run: RunState, settings: OpenLineageConfig, file: Path, warn: Warn) -> None:
    """Let an event of a run go where the settings say.

    Args:
        run: The run, at this moment.
        settings: Where events go.
        file: The file for events of this run, for the transport `file`.
        warn: Told what an endpoint did not take; that is no error.

    Raises:
        StorageError: The file cannot be written.
        OSError: Standard error cannot be written.
    """
    event = run_event(run, settings.namespace)
    if settings.transport == "file":
        append(file, line_of(event))
    elif settings.transport == "console":
        if sys.stderr is not None:
            sys.stderr.write(line_of(event) + "\n")
            sys.stderr.flush()
    elif settings.active:
        endpoint = endpoint_of(settings, os.environ.get(settings.api_key_variable) or None)
        endpoint.send(event)
        if not run.over:
            return
        endpoint.wait(settings.patience)
        lost = endpoint.lost()
        if lost is not None:
            warn({"endpoint": settings.address, "events": lost.events, "error": lost.why})


def append(path: Path, line: str) -> None:
    """Add a line to a file, which is at every moment what it was or what it is to be.

    A batch has some dozen events, so writing all of them anew costs little.

    Raises:
        RecordError: What is there cannot be read.
        DataRootError: The folder cannot be created or written.
        WriteError: The operating system refused the write.
    """

    def change(data: bytes | None) -> bytes:
        known = data or b""
        if known and not known.endswith(b"\n"):
            known += b"\n"  # somebody else's half line stays one line, and not the start of ours
        return known + line.encode() + b"\n"

    rewrite(path, change)
