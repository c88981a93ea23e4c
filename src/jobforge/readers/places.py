"""Where a record stands in its source file.

A physical line ends with LF or CRLF; in delimited text and text of fixed width
a lone CR ends one too. That is how the readers count where they name a line.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

from jobforge.errors import RecordNotFoundError

_LEAST_BYTES = 8 << 20
"""What the exact reader of delimited text passes over in a third of a second."""
_MOST = 64
"""Checkpoints that a record of a file may have."""


@dataclass(frozen=True)
class Checkpoint:
    """The beginning of a record in the text of a source, from where it can be read on.

    Args:
        record: Its number, from 1.
        offset: Bytes before it, in the text as UTF-8: unpacked, and transcoded
            where the source is in another encoding.
        line: The physical line on which it begins, from 1.
    """

    record: int
    offset: int
    line: int


@dataclass(frozen=True)
class RecordPlace:
    """Where a record stands; what a format does not have is None.

    Args:
        record: Its number, as `_source_row` has it.
        first_line: The physical line on which it begins, from 1.
        last_line: The physical line on which it ends.
        offset: Bytes before it in the file; None where the text had to be
            unpacked or transcoded.
        length: Its bytes, without the line end behind it.
        sheet: The sheet of a workbook.
        row: The row of the sheet, or the row within `group`; from 1.
        cells: Its cells, such as `A17:F17`.
        group: The row group (Parquet) or record batch (Arrow), from 0.
        raw: Its text exactly as it stands in the file, decoded, without the
            line end behind it; bytes that are no text are shown by their numbers.
            None where it is no text, as in a workbook or in Parquet.
    """

    record: int
    first_line: int | None = None
    last_line: int | None = None
    offset: int | None = None
    length: int | None = None
    sheet: str | None = None
    row: int | None = None
    cells: str | None = None
    group: int | None = None
    raw: str | None = None


NOWHERE = range(0)
"""The records of a line on which none stands."""


def spacing(size: int) -> int:
    """Bytes from one checkpoint to the next, for a text of a size."""
    return max(_LEAST_BYTES, size // _MOST + 1)


def spread(marks: Sequence[Checkpoint], size: int) -> tuple[Checkpoint, ...]:
    """Of many checkpoints, in order, the few that are kept of a text of a size."""
    every = spacing(size)
    kept: list[Checkpoint] = []
    for mark in marks:
        if mark.offset - (kept[-1].offset if kept else 0) >= every:
            kept.append(mark)
    return tuple(kept)


def before_record(checkpoints: Sequence[Checkpoint], record: int) -> Checkpoint | None:
    """The last checkpoint from which a record is still to come."""
    at = bisect_right(checkpoints, record, key=lambda mark: mark.record)
    return checkpoints[at - 1] if at else None


def before_line(checkpoints: Sequence[Checkpoint], line: int) -> Checkpoint | None:
    """The last checkpoint that stands on a line or before it."""
    at = bisect_right(checkpoints, line, key=lambda mark: mark.line)
    return checkpoints[at - 1] if at else None


def by_checkpoint(
    checkpoints: Sequence[Checkpoint], records: Sequence[int]
) -> Iterator[tuple[Checkpoint | None, list[int]]]:
    """Record numbers in order, in groups, and where to begin reading for each group."""
    wanted = sorted(set(records))
    for begin, group in groupby(wanted, key=lambda number: before_record(checkpoints, number)):
        yield begin, list(group)


def in_order(found: dict[int, RecordPlace], records: Sequence[int], name: str) -> list[RecordPlace]:
    """The places of records, in the order in which they were asked for.

    Raises:
        RecordNotFoundError: One has no place.
    """
    lost = next((number for number in records if number not in found), None)
    if lost is not None:
        raise no_record(name, lost)
    return [found[number] for number in records]


def places_in_groups(groups: Sequence[int], records: Sequence[int], name: str) -> list[RecordPlace]:
    """Places in a format that has rows in groups and no lines.

    Args:
        groups: Rows of each group.
        records: Numbers of records.
        name: Of the file.

    Raises:
        RecordNotFoundError: One is beyond the last row.
    """
    ends = list(accumulate(groups))
    found = []
    for number in records:
        group = bisect_left(ends, number)
        if number < 1 or group == len(ends):
            raise no_record(name, number)
        row = number - (ends[group] - groups[group])
        found.append(RecordPlace(number, row=row, group=group))
    return found


def no_record(name: str, number: int) -> RecordNotFoundError:
    """The error for a record that a file does not have."""
    return RecordNotFoundError(
        f"{name} has no record {number}",
        hint="records are numbered from 1, as _source_row has them; a header is none",
    )


def line_breaks(data: bytes) -> int:
    """Line ends in some bytes: LF, CRLF, and CR alone."""
    return data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")


def without_end(text: str) -> str:
    """A record without the line end behind it."""
    for end in ("\r\n", "\n", "\r"):
        if text.endswith(end):
            return text[: -len(end)]
    return text
