"""Names of tables and domains: what stays one folder, whatever the name."""

from __future__ import annotations

import re

from jobforge.errors import InvalidNameError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def check_name(kind: str, value: object) -> str:
    """Return `value` where it is a legal name of a table or domain.

    Args:
        kind: `table` or `domain`, for the error.
        value: The name, as the caller gave it.

    Raises:
        InvalidNameError: The name is empty, longer than 128 characters, or has
            a character other than letters, digits, `_`, `.` and `-`, or starts
            with `.` or `-`.
    """
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InvalidNameError(
            f"{value!r} is no name for a {kind}",
            hint="use 1 to 128 letters, digits, '_', '.' or '-', starting with a letter, "
            "a digit or '_'",
        )
    return value
