"""The files that a batch was recorded with: where they stand, and whether they are whole."""

from __future__ import annotations

from pathlib import Path

from jobforge.errors import TableDamagedError
from jobforge.pipeline.audit.replay_code import NotRecoverableError
from jobforge.pipeline.models import LayerTransitionLog
from jobforge.pipeline.rejects.snapshot import Snapshot
from jobforge.storage.source import hash_file


def whole(snapshot: Snapshot, file: str, content_hash: str | None) -> Path | None:
    """Where a recorded file stands; None where it was removed on purpose.

    Args:
        snapshot: The records of the data root.
        file: As the record has it.
        content_hash: `sha256:` and the hash of its bytes, where it is recorded.

    Raises:
        TableDamagedError: It is missing, or is not what was written.
    """
    if snapshot.removal_of(file) is not None:
        return None
    path = snapshot.path(file)
    if content_hash is not None and f"sha256:{hash_file(path)}" != content_hash:
        raise TableDamagedError(
            f"{path} is not what was written: its SHA-256 is another one",
            hint="restore it from a backup; nothing can be compared with it as it is",
            file=str(path),
        )
    return path


def staged_file(snapshot: Snapshot, log: LayerTransitionLog) -> Path:
    """The staged file that a batch starts from.

    Raises:
        NotRecoverableError: Source records were erased from it, or it was removed.
        TableDamagedError: It is missing, or is not what was written.
    """
    file = str(log.target_file)
    path = whole(snapshot, file, log.content_hash)
    if path is None:
        gone = snapshot.removal_of(file)
        when = f" on {gone.started_at:%Y-%m-%d}" if gone is not None else ""
        raise NotRecoverableError(f"source records of the batch were erased{when}")
    return path
