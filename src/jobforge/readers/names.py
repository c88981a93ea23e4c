"""Column names from a header row, made unique in one documented way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def unique_names(fields: Sequence[str | None]) -> tuple[tuple[str, ...], list[str]]:
    """Column names from a header, and what had to be changed.

    A blank name becomes `column_` and its 1-based position. A name that was
    there before gets `_2`, `_3`, ... at its end, the first that is free. Every
    other name stays as it is, outer spaces included.
    """
    given = [field or "" for field in fields]
    names: list[str] = []
    changes: list[str] = []
    taken = set(given)
    seen: Counter[str] = Counter()
    for position, name in enumerate(given, start=1):
        wanted = name or f"column_{position}"
        seen[wanted] += 1
        final = wanted
        number = 1
        while final in names or (final != name and final in taken):
            number += 1
            final = f"{wanted}_{number}"
        if final != name:
            changes.append(f"column {position}: {name!r} is called {final!r}")
        names.append(final)
    return tuple(names), changes
