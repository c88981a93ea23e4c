"""Which record of delimited text has which number: decided here, for reading and for looking up."""

from __future__ import annotations

from collections.abc import Iterator

from jobforge.readers.csv.head import Head, size_of
from jobforge.readers.csv.options import CsvOptions
from jobforge.readers.csv.records import Record, records_in
from jobforge.readers.places import Checkpoint
from jobforge.readers.text import PlainText

Numbered = tuple[Record, int, int | None]
"""A record, its number, and the bytes before it; the number is 0 where it is none of the table's:
the header, a comment, a blank line that is passed over. The bytes are not known behind a record
of which only the beginning was read, because it was too long."""


def numbered(
    text: PlainText, head: Head, options: CsvOptions, begin: Checkpoint | None = None
) -> Iterator[Numbered]:
    """Every record, in order.

    A record that breaks a rule has a number too, whether it is kept out or
    stops the ingest.

    Args:
        text: The source.
        head: What is known of it.
        options: How it is read.
        begin: From where on; from the beginning unless given.
    """
    wanted = len(head.columns)
    blank_lines = options.blank_lines or ("refuse" if wanted == 1 else "skip")
    header = options.header and begin is None
    number = 0 if begin is None else begin.record - 1
    offset: int | None = head.top if begin is None else begin.offset
    for record in _records(text, head, options, begin):
        here, raw = offset, record.raw
        if offset is not None:
            offset = offset + size_of(raw) if raw[-1:] in ("\n", "\r") else None
        if record.kind == "comment":
            yield record, 0, here
        elif record.kind == "blank":
            if header or blank_lines == "skip":
                yield record, 0, here
            else:
                number += 1
                yield _blank(record, wanted, keep=blank_lines == "keep"), number, here
        elif header:
            header = False
            yield record, 0, here
        else:
            number += 1
            yield _fitting(record, wanted), number, here


def _records(
    text: PlainText, head: Head, options: CsvOptions, begin: Checkpoint | None
) -> Iterator[Record]:
    with text.path.open("rb") as raw:
        if begin is None:
            raw.seek(text.bom)
            yield from records_in(raw, head.dialect, options.skip_lines)
        else:
            raw.seek(begin.offset)
            yield from records_in(raw, head.dialect, line=begin.line, ending=head.ending)


def _blank(record: Record, wanted: int, *, keep: bool) -> Record:
    """A blank line that counts as a record: one of empty fields, or one that breaks a rule."""
    if keep:
        return Record(record.line, [None] * wanted, record.raw)
    return Record(record.line, [], record.raw, "blank", "is a blank line")


def _fitting(record: Record, wanted: int) -> Record:
    """A record with the right number of fields, or with a fault."""
    count = len(record.fields)
    if record.fault or count == wanted:
        return record
    fault = f"has {count} field{'s' * (count != 1)} instead of {wanted}"
    return Record(record.line, [], record.raw, "fields", fault)
