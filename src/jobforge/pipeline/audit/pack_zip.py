"""A zip file that is the same for the same contents, written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

from jobforge.storage.publish import OUTSIDE, publish_file

SUMS = "SHA256SUMS"
_FIRST, _LAST = datetime(1980, 1, 1, tzinfo=UTC), datetime(2107, 12, 31, tzinfo=UTC)
"""Times that a zip file can hold."""
_UNIX = 3
_MODE = 0o100644 << 16


def write_zip(target: Path, files: Mapping[str, bytes], at: datetime, *, replace: bool) -> None:
    """Write files, and their hashes, as a zip file; what fails leaves no folder behind.

    Args:
        target: Where it is to be.
        files: Contents by name.
        at: The time that every file gets.
        replace: Whether it may take the place of a file that is there.

    Raises:
        DataRootError: The folder cannot be created or written.
        WriteError: The operating system refused the write.
        PublishConflictError: The file is there and may not be replaced.
    """
    whole = {**files, SUMS: sums(files)}
    moment = min(max(at.astimezone(UTC), _FIRST), _LAST).timetuple()[:6]

    def write(temp: Path) -> None:
        with zipfile.ZipFile(temp, "w") as archive:
            for name in sorted(whole):
                about = zipfile.ZipInfo(name, moment)
                about.create_system = _UNIX
                about.external_attr = _MODE
                about.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(about, whole[name])

    missing = list(takewhile(lambda folder: not os.path.lexists(folder), target.parents))
    try:
        publish_file(target, write, replace=replace, hints=OUTSIDE)
    except BaseException:
        for folder in missing:  # those that were made for it, the innermost first
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def sums(files: Mapping[str, bytes]) -> bytes:
    """The SHA-256 of every file, as `sha256sum -c` reads it."""
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    return "".join(lines).encode()
