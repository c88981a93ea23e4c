"""From a record of delimited text to its lines, and from a line to its record."""

from __future__ import annotations

from collections.abc import Sequence

from jobforge.readers.csv.exact import readable_text
from jobforge.readers.csv.head import Head, size_of
from jobforge.readers.csv.numbering import Numbered, numbered
from jobforge.readers.csv.options import CsvOptions
from jobforge.readers.places import (
    NOWHERE,
    Checkpoint,
    RecordPlace,
    before_line,
    by_checkpoint,
    in_order,
    line_breaks,
    without_end,
)
from jobforge.readers.text import PlainText
from jobforge.storage.source import SourceFile


def find_places(
    source: SourceFile,
    text: PlainText,
    head: Head,
    options: CsvOptions,
    records: Sequence[int],
    checkpoints: Sequence[Checkpoint],
) -> list[RecordPlace]:
    """Where records stand; see `jobforge.readers.base.Locating`."""
    in_file = text.path == source.path
    found = {}
    for begin, wanted in by_checkpoint(checkpoints, records):
        those, last = set(wanted), wanted[-1]
        for entry in numbered(text, head, options, begin):
            if entry[1] in those and entry[1]:
                found[entry[1]] = _place(entry, in_file=in_file)
            if entry[1] >= last:
                break
    return in_order(found, records, source.name)


def records_on(
    line: int,
    text: PlainText,
    head: Head,
    options: CsvOptions,
    checkpoints: Sequence[Checkpoint],
) -> range:
    """The record that has a part on a line, if one has; see `jobforge.readers.base.Locating`."""
    for record, number, _ in numbered(text, head, options, before_line(checkpoints, line)):
        if record.line > line:
            break
        if line <= _last_line(record.line, without_end(record.raw)):
            return range(number, number + 1) if number else NOWHERE
    return NOWHERE


def _place(entry: Numbered, *, in_file: bool) -> RecordPlace:
    record, number, offset = entry
    raw = without_end(record.raw)
    whole = record.rule != "size"  # of a record that is too long only the beginning was read
    return RecordPlace(
        number,
        record.line,
        _last_line(record.line, raw),
        offset if in_file else None,
        size_of(raw) if in_file and whole else None,
        raw=readable_text(raw),
    )


def _last_line(first: int, raw: str) -> int:
    # Line ends are the same bytes in UTF-8, and `splitlines` knows others too.
    return first + line_breaks(raw.encode("utf-8", "surrogateescape"))
