"""Where a source record stands, in a few lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobforge.pipeline.audit.traced import SourcePlace

_STATES = {
    "original": "the file is there, with the bytes that were read",
    "archived": "the file was kept in the data root",
    "changed": "the file has other bytes by now",
    "missing": "the file is not there any more",
    "unreadable": "the file may not be read by this user",
}


def cells(values: Mapping[str, Any]) -> str:
    """Columns and values in one line."""
    return ", ".join(f"{name}={cell(value)}" for name, value in values.items())


def cell(value: object) -> str:
    """A value as a person reads it: text in quotes, null by its name."""
    if value is None:
        return "null"
    return repr(value) if isinstance(value, (str, bytes)) else str(value)


def told_of(place: SourcePlace) -> Iterator[str]:
    """The place, the state of the file, and the record."""
    where = [f"record {place.record}"]
    if place.first_line is not None:
        last = f" to {place.last_line}" if place.last_line != place.first_line else ""
        where.append(f"line {place.first_line}{last}")
    if place.sheet is not None:
        where.append(f"sheet {place.sheet}, {place.cells or f'row {place.row}'}")
    elif place.first_line is None and place.row is not None:
        where.append(f"row {place.row}")
    if place.offset is not None:
        where.append(f"byte {place.offset:,}")
    yield f"source {place.path}, {', '.join(where)}"
    how = f" (by its {place.verified})" if place.verified else ""
    yield f"  sha256 {place.sha256}: {_STATES.get(place.state, place.state)}{how}"
    if place.raw is not None:
        yield from (f"  | {line}" for line in place.raw.splitlines() or [""])
    elif place.rebuilt is not None:
        yield f"  as staged has it: {cells(place.rebuilt)}"
    if place.why:
        yield f"  {place.why}"
