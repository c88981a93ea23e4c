"""Delimited text record by record: exact, strict, and with the line of every fault.

The dialect is that of RFC 4180: a field is quoted as a whole or not at all, a
quote inside quotes is doubled, records end with LF, CRLF, or (where the first
record does) CR. An empty field is None, a quoted empty one is the empty text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

# Bytes that are no UTF-8 come as lone surrogates (PEP 383), which UTF-8 text cannot hold.
_UNDECODED = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the fields of a file are written; `quote` may be None."""

    delimiter: str
    quote: str | None
    comment: str | None
    max_record: int
    """Characters that a record may have."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record; where `fault` is set, `fields` is empty.

    Args:
        line: 1-based physical line on which it begins.
        fields: None for an empty field, text for every other.
        raw: The record as it stands in the file, its line end included.
        rule: Short name of the rule that it breaks, or empty.
        fault: What is wrong, or empty.
        kind: `data`, `blank` or `comment`.
    """

    line: int
    fields: list[str | None]
    raw: str
    rule: str = ""
    fault: str = ""
    kind: str = "data"


class _FaultError(Exception):
    """A record that breaks a rule; its text up to the end of the faulty line is kept."""

    def __init__(self, rule: str, fault: str) -> None:
        super().__init__(rule)
        self.rule, self.fault = rule, fault


class _Lines:
    """Physical lines, with their ends, that can be given back."""

    def __init__(self, file: TextIO, limit: int, line: int) -> None:
        self._file, self._limit = file, limit
        self._back: list[str] = []
        self.number = line - 1

    def next(self) -> str:
        """The next line, or empty text at the end; a line past the limit comes in part."""
        self.number += 1
        if self._back:
            return self._back.pop()
        line = self._file.readline(self._limit + 1)
        if line.endswith("\r") and len(line) > self._limit:
            # The limit fell between the two characters of a line end.
            line += self._file.readline(1) if self._peek() == "\n" else ""
        return line

    def _peek(self) -> str:
        """The next character of the file, or nothing."""
        place = self._file.tell()
        char = self._file.read(1)
        self._file.seek(place)
        return char

    def give_back(self, lines: list[str]) -> None:
        """Put lines back, the first of them to come next."""
        self._back.extend(reversed(lines))
        self.number -= len(lines)

    def up_to(self, line: str, ending: str) -> str:
        """A line together with those after it, up to one that ends as records do."""
        whole, piece = line, ""
        while line and line_end(line) != ending and len(whole) <= self._limit:
            line = piece = self.next()
            whole += line
        if piece and not line_end(piece):
            self.skip_rest(piece)  # or the rest of that line would be lines of its own
        if not line:
            self.number -= 1
        return whole

    def skip_rest(self, line: str) -> str:
        """Pass over the rest of a line that came in part; returns its end."""
        while line and line[-1] not in "\r\n":
            self.number -= 1  # it is still the same line
            line = self.next()
        return line


def read_records(path: Path, bom: int, dialect: Dialect, skip_lines: int) -> Iterator[Record]:
    """Every record of a UTF-8 file, blank lines and comments among them.

    Args:
        path: The file.
        bom: Bytes of a byte order mark to pass over.
        dialect: How fields are written.
        skip_lines: Physical lines to pass over first.
    """
    with path.open("rb") as raw:
        raw.seek(bom)
        yield from records_in(raw, dialect, skip_lines)


def records_in(
    raw: BinaryIO, dialect: Dialect, skip_lines: int = 0, *, line: int = 1, ending: str = ""
) -> Iterator[Record]:
    """Every record of UTF-8 bytes from where they stand.

    Args:
        raw: The bytes.
        dialect: How fields are written.
        skip_lines: Physical lines to pass over first.
        line: Number of the first line.
        ending: How the records before it ended (`line_end`); empty where there are none.
    """
    with io.TextIOWrapper(raw, "utf-8", errors="surrogateescape", newline="") as file:
        lines = _Lines(file, dialect.max_record, line)
        for _ in range(skip_lines):
            lines.skip_rest(lines.next())
        yield from _records(lines, dialect, ending)


def _records(lines: _Lines, dialect: Dialect, ending: str) -> Iterator[Record]:
    while first := lines.next():
        number = lines.number
        if dialect.comment and first.startswith(dialect.comment):
            lines.skip_rest(first)
            yield Record(number, [], first, kind="comment")
            continue
        if first.strip("\r\n") == "":
            if ending and line_end(first) != ending:
                whole = lines.up_to(first, ending)
                yield Record(number, [], whole, "line end", _mixed(ending))
            else:
                yield Record(number, [], first, kind="blank")
            continue
        taken = [first]
        try:
            fields = _fields(lines, taken, dialect)
            end = line_end(taken[-1])
            if end and ending and end != ending:
                raise _FaultError("line end", _mixed(ending))
            ending = ending or end
        except _FaultError as fault:
            # The record is given up to the end of its first line; what follows may be good.
            lines.give_back(taken[1:])
            if len(first) > dialect.max_record:
                lines.skip_rest(first)
            whole = lines.up_to(first, ending) if ending and line_end(first) != ending else first
            yield Record(number, [], whole, fault.rule, fault.fault)
            continue
        yield Record(number, fields, "".join(taken) if len(taken) > 1 else first)


def line_end(line: str) -> str:
    """How a line ends: with the last character of its line end (CRLF and LF are alike)."""
    return line[-1:] if line[-1:] in ("\r", "\n") else ""


def _mixed(ending: str) -> str:
    if ending == "\n":
        return "has a carriage return outside quotes"
    return "ends with a line feed, and records before it end with a carriage return"


def _fields(lines: _Lines, taken: list[str], dialect: Dialect) -> list[str | None]:
    """The fields of the record that begins with the first taken line; more lines are added."""
    line = taken[0]
    _judge_text(line, dialect)
    quote, delimiter = dialect.quote, dialect.delimiter
    if quote is None or quote not in line:
        body = line.rstrip("\r\n")
        return [field or None for field in body.split(delimiter)]
    fields: list[str | None] = []
    at = 0
    while True:
        if line.startswith(quote, at):
            text, line, at = _quoted(lines, taken, line, at + 1, dialect)
            fields.append(text)
        else:
            end = _field_end(line, at, delimiter)
            field = line[at:end]
            if quote in field:
                raise _FaultError("quote", "has a quote inside a field that is not quoted")
            fields.append(field or None)
            at = end
        if not line.startswith(delimiter, at):
            return fields
        at += len(delimiter)


def _field_end(line: str, at: int, delimiter: str) -> int:
    end = line.find(delimiter, at)
    return len(line.rstrip("\r\n")) if end < 0 else end


def _quoted(
    lines: _Lines, taken: list[str], line: str, at: int, dialect: Dialect
) -> tuple[str, str, int]:
    """The text of a quoted field, the line on which it ends, and the place behind it."""
    quote = dialect.quote or ""
    parts: list[str] = []
    size = sum(map(len, taken))
    while True:
        end = line.find(quote, at)
        if end < 0:
            parts.append(line[at:])
            line, at = lines.next(), 0
            if not line:
                lines.number -= 1
                raise _FaultError("quote", "has a quote that is never closed")
            taken.append(line)
            _judge_text(line, dialect)
            size += len(line)
            if size > dialect.max_record:
                raise _FaultError("size", _too_long(dialect))
        elif line.startswith(quote, end + 1):
            parts.append(line[at : end + 1])
            at = end + 2
        else:
            parts.append(line[at:end])
            end += 1
            rest = line[end : end + 1]
            if rest and rest not in "\r\n" and not line.startswith(dialect.delimiter, end):
                raise _FaultError("quote", "has text after a closing quote")
            return "".join(parts), line, end


def _judge_text(line: str, dialect: Dialect) -> None:
    if len(line) > dialect.max_record:
        raise _FaultError("size", _too_long(dialect))
    if "\0" in line:
        raise _FaultError("nul", "has a NUL byte")
    if not line.isascii() and _UNDECODED.search(line):
        raise _FaultError("encoding", "has bytes that are not UTF-8")


def _too_long(dialect: Dialect) -> str:
    return f"is longer than {dialect.max_record:,} characters"
