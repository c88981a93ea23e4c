"""The beginning of delimited text: which delimiter parts it, and what its columns are called."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from itertools import islice

from jobforge.errors import AmbiguousSourceError, EmptySourceError, MalformedSourceError
from jobforge.readers.base import SourceNote
from jobforge.readers.csv.options import CsvOptions
from jobforge.readers.csv.records import Dialect, Record, line_end, read_records
from jobforge.readers.names import unique_names
from jobforge.readers.text import PlainText

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
_SAMPLE = 200


@dataclass(frozen=True)
class Head:
    """What is known before the data records are read.

    Args:
        dialect: How fields are written.
        columns: Names, made unique.
        top: Bytes before the first line that is no skipped one.
        start: Bytes before the first record, the header where there is one.
        data_start: Bytes before the first data record.
        ending: How the first record ends (`records.line_end`), and so the others.
        notes: What was noticed.
    """

    dialect: Dialect
    columns: tuple[str, ...]
    top: int
    start: int
    data_start: int
    ending: str
    notes: tuple[SourceNote, ...]


def read_head(text: PlainText, options: CsvOptions) -> Head:
    """Find the delimiter and the column names.

    Raises:
        EmptySourceError: There is no record.
        MalformedSourceError: The header breaks a rule; with its line.
        AmbiguousSourceError: More than one delimiter fits.
    """
    dialect = Dialect(options.delimiter or ",", options.quote, options.comment, options.max_record)
    notes = []
    if options.skip_lines:
        notes.append(SourceNote("skipped lines", f"{options.skip_lines} at the beginning"))
    if options.delimiter is None:
        dialect = replace(dialect, delimiter=_delimiter(text, options, dialect))
        if dialect.delimiter != ",":
            notes.append(SourceNote("delimiter", _DELIMITERS[dialect.delimiter]))
    top = text.bom + _skipped_bytes(text, options.skip_lines)
    first, start = _first_record(text, options, dialect, top)
    if first is None:
        raise EmptySourceError(
            "the file has no header and no record",
            hint="look at how the file was made; a table without rows needs its header",
        )
    if first.fault:
        raise MalformedSourceError(
            f"the first record {first.fault}",
            hint="mend the file, or say how it is written: delimiter, quote, encoding, skip_lines",
            line=first.line,
        )
    data_start = start
    if not options.header:
        columns = _given_names(options, first)
    else:
        columns, renamed = unique_names(first.fields)
        notes += [SourceNote("header", change) for change in renamed]
        data_start = start + size_of(first.raw)
    ending = line_end(first.raw)
    return Head(dialect, columns, top, start, data_start, ending, tuple(notes))


def _given_names(options: CsvOptions, first: Record) -> tuple[str, ...]:
    width = len(first.fields)
    if options.names is None:
        return tuple(f"column_{position}" for position in range(1, width + 1))
    if len(options.names) != width:
        raise MalformedSourceError(
            f"the first record has {width} fields, and {len(options.names)} names are given",
            hint="give one name for each field",
            line=first.line,
        )
    return options.names


def _first_record(
    text: PlainText, options: CsvOptions, dialect: Dialect, start: int
) -> tuple[Record | None, int]:
    """The first record that is no blank line and no comment, and the bytes before it."""
    for record in read_records(text.path, text.bom, dialect, options.skip_lines):
        if record.kind == "data":
            return record, start
        start += size_of(record.raw)
    return None, start


def size_of(raw: str) -> int:
    """Bytes of the text of a record in its file."""
    return len(raw) if raw.isascii() else len(raw.encode("utf-8", "surrogateescape"))


def _skipped_bytes(text: PlainText, lines: int) -> int:
    """Bytes of the lines to skip, after the byte order mark."""
    if not lines:
        return 0
    with text.path.open("rb") as raw:
        raw.seek(text.bom)
        with io.TextIOWrapper(raw, "utf-8", errors="surrogateescape", newline="") as file:
            taken = [file.readline() for _ in range(lines)]
    return sum(len(line.encode("utf-8", "surrogateescape")) for line in taken)


def _delimiter(text: PlainText, options: CsvOptions, dialect: Dialect) -> str:
    """A comma where it fits the first records; else the only other one that does."""
    if text.inner_name.lower().endswith((".tsv", ".tab")):
        return "\t"
    fitting = [
        mark for mark in _DELIMITERS if _fits(text, options, replace(dialect, delimiter=mark))
    ]
    if "," in fitting or not fitting:
        return ","
    if len(fitting) > 1:
        raise AmbiguousSourceError(
            "more than one delimiter fits: " + ", ".join(_DELIMITERS[mark] for mark in fitting),
            hint="name it: delimiter=';'",
        )
    return fitting[0]


def _fits(text: PlainText, options: CsvOptions, dialect: Dialect) -> bool:
    """Whether a delimiter parts the first record in 2 fields or more, and most others alike.

    Not all others: one short record is a fault with a line, not another delimiter.
    """
    records = read_records(text.path, text.bom, dialect, options.skip_lines)
    sample = [r for r in islice(records, _SAMPLE) if r.kind == "data" and not r.fault]
    widths = [len(record.fields) for record in sample]
    return bool(widths) and widths[0] > 1 and 2 * widths.count(widths[0]) > len(widths)
