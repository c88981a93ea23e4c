"""The reader for text in columns of fixed width: each field is text, its padding included."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from typing import ClassVar, Self

import polars as pl
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from jobforge.errors import EmptySourceError, InvalidOptionError, MalformedSourceError
from jobforge.readers.base import ReadContext, ReadOptions, SourceNote, SourceTable
from jobforge.readers.places import NOWHERE, RecordPlace, in_order, without_end
from jobforge.readers.spool import Spool
from jobforge.readers.text import COMPRESSIONS, PlainText, as_utf8
from jobforge.storage.source import SourceFile

_ENDINGS = (".fwf", ".fixed")
_UNDECODED = re.compile("[\udc80-\udcff]")
_MAX_LINE = 16 << 20


class FixedWidthOptions(ReadOptions):
    """Where the columns are.

    Raises:
        InvalidOptionError: Columns overlap, or a value makes no sense.
    """

    columns: dict[str, tuple[NonNegativeInt, PositiveInt]] = Field(default_factory=dict)
    """For each column, in order, its 0-based first character and its width in characters."""
    skip_lines: int = Field(default=0, ge=0)
    """Physical lines to pass over at the beginning."""
    encoding: str | None = None
    """UTF-8, or what a byte order mark says, unless given."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        for (one, (start, width)), (other, (begin, _)) in pairwise(self.columns.items()):
            if begin < start + width:
                raise ValueError(f"the columns {one!r} and {other!r} overlap or are out of order")
        return self


class FixedWidthReader:
    """Lines of fixed columns; characters between the columns have to be blank."""

    name: ClassVar[str] = "fixed-width"
    suffixes: ClassVar[tuple[str, ...]] = tuple(
        ending + packed for ending in _ENDINGS for packed in ("", *COMPRESSIONS)
    )
    options: ClassVar[type[ReadOptions]] = FixedWidthOptions

    def read(
        self, source: SourceFile, options: FixedWidthOptions, context: ReadContext
    ) -> SourceTable:
        """See `Reader.read`; the fields keep their padding, and no field is null."""
        if not options.columns:
            raise InvalidOptionError(
                "the file does not say where its columns are",
                hint="FixedWidthOptions(columns={'code': (0, 5), 'title': (5, 40)})",
            )
        text = as_utf8(source, options.encoding, context)
        schema = pl.Schema(dict.fromkeys(options.columns, pl.String()))
        with Spool(context.scratch, schema) as spool:
            number = 0
            for number, line in enumerate(_lines(text), start=1):
                if number > options.skip_lines:
                    spool.append(_fields(line.rstrip("\r\n"), number, options))
                if number % 4096 == 1:
                    context.progress(f"reading {source.name} (lines)", number, None)
            if not number:
                raise EmptySourceError(
                    f"{source.name} holds no line", hint="look at how it was made"
                )
        notes = [*text.notes, SourceNote("padding", "kept as it stands")]
        if options.skip_lines:
            notes.append(SourceNote("skipped lines", f"{options.skip_lines} at the beginning"))
        return SourceTable(
            spool.frame(),
            spool.rows,
            tuple(notes),
            resolved={"encoding": text.encoding},
            detected=text.detected,
        )

    def places(
        self,
        source: SourceFile,
        options: FixedWidthOptions,
        records: Sequence[int],
        context: ReadContext,
    ) -> list[RecordPlace]:
        """See `Locating.places`; lines are counted from the beginning, some 10 million a second."""
        text = as_utf8(source, options.encoding, context)
        in_file = text.path == source.path
        wanted = set(records)
        last = options.skip_lines + max(wanted, default=0)
        found = {}
        offset = text.bom
        for number, line in enumerate(_lines(text), start=1):
            record, raw = number - options.skip_lines, without_end(line)
            if record > 0 and record in wanted:
                found[record] = RecordPlace(
                    record,
                    number,
                    number,
                    offset if in_file else None,
                    len(raw.encode("utf-8", "surrogateescape")) if in_file else None,
                    raw=raw.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"),
                )
            if number >= last:
                break
            size = len(line) if line.isascii() else len(line.encode("utf-8", "surrogateescape"))
            offset += size
        return in_order(found, records, source.name)

    def records_at(
        self, source: SourceFile, options: FixedWidthOptions, line: int, context: ReadContext
    ) -> range:
        """See `Locating.records_at`: every line behind those that are passed over is a record."""
        text = as_utf8(source, options.encoding, context)
        record = line - options.skip_lines
        there = record > 0 and next(islice(_lines(text), line - 1, None), None) is not None
        return range(record, record + 1) if there else NOWHERE


def _lines(text: PlainText) -> Iterator[str]:
    """Physical lines with their ends; what is longer than any line should be, in parts."""
    with text.path.open("rb") as raw:
        raw.seek(text.bom)
        file = io.TextIOWrapper(raw, "utf-8", errors="surrogateescape", newline="")
        while line := file.readline(_MAX_LINE):
            yield line


def _fields(line: str, number: int, options: FixedWidthOptions) -> list[str]:
    fields = []
    at = 0
    for name, (start, width) in options.columns.items():
        _check_gap(line[at:start], number)
        at = start + width
        field = line[start:at]
        if len(field) < width:
            raise MalformedSourceError(
                f"the line has {len(line)} characters, and column {name!r} needs {at}",
                hint="is the file cut off, or are the columns declared for another one?",
                line=number,
                column=name,
            )
        fields.append(field)
    _check_gap(line[at:], number)
    if not line.isascii() and _UNDECODED.search(line):
        raise MalformedSourceError(
            "the line has bytes that are not UTF-8", hint="name the encoding", line=number
        )
    if "\0" in line:
        raise MalformedSourceError("the line has a NUL byte", hint="mend the file", line=number)
    return fields


def _check_gap(text: str, number: int) -> None:
    if text.strip(" "):
        raise MalformedSourceError(
            f"the line has text outside its columns: {text.strip()[:20]!r}",
            hint="declare a column for it",
            line=number,
        )
