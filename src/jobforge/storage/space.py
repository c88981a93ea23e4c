"""Free space, looked at before much is written."""

from __future__ import annotations

import shutil
from pathlib import Path

from jobforge.errors import WriteError

LARGE_BYTES = 64 << 20
"""Below this nothing is asked: a small write fails as quickly as a question is answered."""


def check_space(folder: Path, needed: int) -> None:
    """Refuse to begin a large write that cannot end well.

    Args:
        folder: Where it goes; an existing folder.
        needed: Bytes that it will take at least, as far as one can tell.

    Raises:
        WriteError: Less is free.
    """
    if needed < LARGE_BYTES:
        return
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise WriteError(
            f"writing needs some {needed >> 20} MiB, and {free >> 20} MiB are free in {folder}",
            hint="free space first: `jobforge clean` shows what could go",
        )
