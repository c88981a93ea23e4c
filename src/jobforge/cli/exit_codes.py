"""What the exit code of a command means."""

from __future__ import annotations

from enum import IntEnum

from jobforge.errors import (
    CastRejectedError,
    ExpectationError,
    JobforgeError,
    RejectLimitError,
    UsageError,
)


class ExitCode(IntEnum):
    """One meaning each."""

    OK = 0
    """Done; rows in quarantine within the limit are reported, not an error."""
    FAILED = 1
    """Something could not be read, computed or written."""
    USAGE = 2
    """The call or the configuration makes no sense."""
    QUALITY = 3
    """Stopped by a quality limit; nothing of that layer was published."""
    NOT_PROVABLE = 4
    """It can be neither proved nor refuted, and the reason is told."""


def exit_code(error: BaseException) -> ExitCode:
    """The exit code for an error."""
    if isinstance(error, (CastRejectedError, RejectLimitError, ExpectationError)):
        return ExitCode.QUALITY
    if isinstance(error, UsageError):
        return ExitCode.USAGE
    return ExitCode.FAILED


def as_record(error: JobforgeError) -> dict[str, object]:
    """An error as `--json` prints it."""
    return {
        "code": error.code,
        "kind": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "place": dict(error.place),
    }
