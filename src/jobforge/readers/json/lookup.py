"""From a JSON record to its place, and from a line to the records on it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from json.decoder import JSONDecodeError

from jobforge.errors import MalformedSourceError
from jobforge.readers.places import (
    NOWHERE,
    Checkpoint,
    RecordPlace,
    before_line,
    by_checkpoint,
)
from jobforge.readers.text import PlainText

_BLANK = " \t\r\n"
# Only the ends of values are wanted: no number is made of its digits.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)

Line = tuple[int, int, int, bytes]
"""Number of the record, of the line, bytes before it, and its bytes with the line end."""
Span = tuple[int, int]
"""First character of a record in its document, and the one behind it."""


def places_on_lines(
    text: PlainText,
    records: Sequence[int],
    checkpoints: Sequence[Checkpoint],
    *,
    in_file: bool,
) -> dict[int, RecordPlace]:
    """Places of records that have a line each."""
    found = {}
    for begin, wanted in by_checkpoint(checkpoints, records):
        those, last = set(wanted), wanted[-1]
        for number, line, offset, data in _lines(text, begin):
            if number in those and number:
                raw = data.removesuffix(b"\n").removesuffix(b"\r")
                found[number] = RecordPlace(
                    number,
                    line,
                    line,
                    offset if in_file else None,
                    len(raw) if in_file else None,
                    raw=raw.decode("utf-8", "backslashreplace"),
                )
            if number >= last:
                break
    return found


def record_on_line(text: PlainText, line: int, checkpoints: Sequence[Checkpoint]) -> range:
    """The record on a line of its own, where one is."""
    for number, at, _, _ in _lines(text, before_line(checkpoints, line)):
        if at >= line:
            return range(number, number + 1) if number and at == line else NOWHERE
    return NOWHERE


def _lines(text: PlainText, begin: Checkpoint | None) -> Iterator[Line]:
    """Every line; a blank one has the record number 0."""
    begin = begin or Checkpoint(1, text.bom, 1)
    number, offset = begin.record - 1, begin.offset
    with text.path.open("rb") as file:
        file.seek(offset)
        for line, data in enumerate(file, start=begin.line):
            blank = not data.strip()
            number += not blank
            yield 0 if blank else number, line, offset, data
            offset += len(data)


def places_in_document(
    text: PlainText, path: str | None, records: Sequence[int], *, in_file: bool
) -> dict[int, RecordPlace]:
    """Places of records in one JSON document."""
    document = _document(text)
    those, last = set(records), max(records, default=0)
    found = {}
    line, at, offset = 1, 0, text.bom
    for number, (start, end) in enumerate(_spans(document, path), start=1):
        if number in those:
            raw = document[start:end]
            line += document.count("\n", at, start)
            offset += len(document[at:start].encode("utf-8"))
            at = start
            found[number] = RecordPlace(
                number,
                line,
                line + raw.count("\n"),
                offset if in_file else None,
                len(raw.encode("utf-8")) if in_file else None,
                raw=raw,
            )
        if number >= last:
            break
    return found


def records_on_line(text: PlainText, path: str | None, line: int) -> range:
    """The records of a document that have a part on a line."""
    document = _document(text)
    here, at = 1, 0
    first = last = 0
    for number, (start, end) in enumerate(_spans(document, path), start=1):
        begins = here + document.count("\n", at, start)
        ends = begins + document.count("\n", start, end)
        here, at = ends, end
        if begins > line:
            break
        if ends >= line:
            first, last = first or number, number
    return range(first, last + 1) if first else NOWHERE


def _document(text: PlainText) -> str:
    try:
        return text.path.read_bytes()[text.bom :].decode("utf-8")
    except UnicodeDecodeError as error:
        raise _damaged(error) from error


def _spans(document: str, path: str | None) -> Iterator[Span]:
    """Where each record of a document begins and ends."""
    try:
        at = _behind_blanks(document, 0)
        for name in [] if path is None else path.split("."):
            at = _value_of(document, at, name)
        if document.startswith("[", at):
            yield from _elements(document, at + 1)
        else:
            yield at, _end(document, at)
    except (ValueError, RecursionError, IndexError) as error:
        raise _damaged(error) from error


def _elements(document: str, at: int) -> Iterator[Span]:
    """The elements of an array, from behind its bracket."""
    at = _behind_blanks(document, at)
    while document[at] != "]":
        end = _end(document, at)
        yield at, end
        at = _behind_blanks(document, end)
        if document[at] == ",":
            at = _behind_blanks(document, at + 1)


def _value_of(document: str, at: int, name: str) -> int:
    """Where the value of a key of an object begins."""
    at = _behind_blanks(document, at + 1)
    while document[at] == '"':
        key, at = _DECODER.raw_decode(document, at)
        at = _behind_blanks(document, _behind_blanks(document, at) + 1)
        if key == name:
            return at
        at = _behind_blanks(document, _end(document, at))
        if document[at] == ",":
            at = _behind_blanks(document, at + 1)
    raise JSONDecodeError(f"there is no key {name!r}", document, at)


def _end(document: str, at: int) -> int:
    """The character behind a value."""
    return _DECODER.raw_decode(document, at)[1]


def _behind_blanks(document: str, at: int) -> int:
    while document[at] in _BLANK:
        at += 1
    return at


def _damaged(error: Exception) -> MalformedSourceError:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return MalformedSourceError(
        f"the JSON is not well formed: {first}",
        hint="get the file again: it was read once, and is another now",
    )
