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
    taken = set(given)
    names: list[str] = []
    used: set[str] = set()
    changes: list[str] = []
    last: Counter[str] = Counter()
    for position, name in enumerate(given, start=1):
        wanted = final = name or f"column_{position}"
        while final in used or (final != name and final in taken):
            last[wanted] += 1
            final = f"{wanted}_{last[wanted] + 1}"
        if final != name:
            changes.append(f"column {position}: {name!r} is called {final!r}")
        names.append(final)
        used.add(final)
    return tuple(names), changes
