"""A data root for the time of a trial: nothing of it stays, and no log tells of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobforge.pipeline import events
from jobforge.pipeline.config import PipelineConfig


@contextmanager
def trial_root(*, row_numbers: bool = True) -> Iterator[PipelineConfig]:
    """An empty data root in the temporary folder of the system.

    Args:
        row_numbers: As for `PipelineConfig`.
    """
    with tempfile.TemporaryDirectory(prefix="jobforge-") as folder, events.silent():
        yield PipelineConfig(Path(folder), row_numbers=row_numbers)
