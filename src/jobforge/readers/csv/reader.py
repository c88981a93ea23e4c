"""The reader for CSV, TSV and other delimited text: every field is text, exactly as it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import polars as pl
from polars import selectors as cs

from jobforge.errors import MalformedSourceError, ReservedColumnError
from jobforge.quality.columns import free_name
from jobforge.readers.base import (
    RECORD,
    REJECTS_SCHEMA,
    ReadContext,
    ReadOptions,
    SourceNote,
    SourceTable,
)
from jobforge.readers.csv.head import Head, read_head
from jobforge.readers.csv.options import CsvOptions
from jobforge.readers.csv.records import Record, read_records
from jobforge.readers.csv.structure import SMALL, Structure, by_records
from jobforge.readers.encodings import suggestion
from jobforge.readers.spool import Spool
from jobforge.readers.text import COMPRESSIONS, PlainText, as_utf8
from jobforge.storage.source import SourceFile

_ENDINGS = (".csv", ".tsv", ".tab", ".psv", ".txt")
_SHOWN = 5
_LARGE = 8 << 20  # bytes from which on it pays to prove a file while it is read
_ENDS = {"\n": "LF", "\r": "CR"}


class CsvReader:
    """Delimited text; also in `.gz`, `.zst`, `.bz2`, and `.zip` with one member."""

    name: ClassVar[str] = "csv"
    suffixes: ClassVar[tuple[str, ...]] = tuple(
        ending + packed for ending in _ENDINGS for packed in ("", *COMPRESSIONS)
    )
    options: ClassVar[type[ReadOptions]] = CsvOptions

    def read(self, source: SourceFile, options: CsvOptions, context: ReadContext) -> SourceTable:
        """See `Reader.read`: columns are text; empty is null, quoted empty is empty text.

        A file of regular structure is parsed by Polars, after one pass that
        proves the structure and hashes the bytes. Any other file is read
        record by record into a temporary file.
        """
        text = as_utf8(source, options.encoding, context)
        head = read_head(text, options)
        return _Attempt(source, text, head, options, context).read()


@dataclass(frozen=True)
class _Attempt:
    """One file, tried the quick way, and read record by record where that is not exact."""

    source: SourceFile
    text: PlainText
    head: Head
    options: CsvOptions
    context: ReadContext

    def read(self) -> SourceTable:
        """The table; of a large file perhaps on trust."""
        background = self.context.background
        large = self.source.size >= _LARGE and self.text.path == self.source.path
        if background is None or not large or not self._plain():
            return self._proven(self._inspect(lambda: None), None)
        pending = background.start(self._inspect)
        frame = _scan(self.text, self.head)
        return SourceTable(frame, 0, proof=lambda: self._proven(pending.result(), frame))

    def _plain(self) -> bool:
        """Whether the options let Polars read the file."""
        # Lines before the first record of a file without a header may be records themselves.
        start = self.options.header or self.head.start == self.text.bom
        return start and not self.options.comment

    def _inspect(self, go_on: Callable[[], None]) -> Structure:
        """What the bytes are like.

        Args:
            go_on: Raises where nobody waits for it any more.
        """
        source, text, head = self.source, self.text, self.head
        dialect = replace(head.dialect, comment=None)
        start, columns = head.start, len(head.columns)

        def report(done: int) -> None:
            go_on()
            self.context.progress(f"checking {source.name}", done, source.size)

        if (size := text.path.stat().st_size) <= SMALL:
            found = by_records(text.path, columns, dialect, start=start, data_start=head.data_start)
            report(size)
            return found
        from jobforge.readers.csv.scan import by_blocks  # numpy takes longer than a small file

        return by_blocks(
            text.path,
            columns,
            dialect,
            start=start,
            data_start=head.data_start,
            report=report,
        )

    def _proven(self, structure: Structure, trusted: pl.LazyFrame | None) -> SourceTable:
        """The table, now that it is known what the bytes are like.

        Args:
            structure: What was found.
            trusted: What was read on trust, if it was.
        """
        if self.text.path == self.source.path:
            self.source.hashed(structure.sha256)
        options, notes = self.options, [*self.text.notes, *self.head.notes]
        end = not structure.blank_end or (options.header and options.blank_lines is None)
        if structure.regular and self._plain() and end:
            return _fast(self.text, self.head, structure, options, notes, trusted)
        return _Slow(self.source, self.text, self.head, options).read(self.context, notes)


def _fast(
    text: PlainText,
    head: Head,
    structure: Structure,
    options: CsvOptions,
    notes: list[SourceNote],
    trusted: pl.LazyFrame | None,
) -> SourceTable:
    """A file whose structure is proven, parsed by Polars."""
    rows = structure.records - (1 if options.header else 0)
    if structure.quoted:
        notes.append(
            SourceNote(
                "quotes", "fields with line ends" if structure.quoted_newlines else "some fields"
            )
        )
    if structure.crlf:
        whole = structure.crlf == structure.records
        notes.append(SourceNote("line ends", "CRLF" if whole else "LF and CRLF"))
    if structure.blank_end:
        text_of = f"{structure.blank_end} passed over at the end"
        notes.append(SourceNote("blank lines", text_of))
    if rows <= 0:
        schema = pl.Schema(dict.fromkeys(head.columns, pl.String()))
        return SourceTable(schema.to_frame().lazy(), 0, tuple(notes))
    if trusted is None or structure.blank_end:
        trusted = _scan(text, head, rows if structure.blank_end else None)
    return SourceTable(trusted, rows, tuple(notes))


def _scan(text: PlainText, head: Head, rows: int | None = None) -> pl.LazyFrame:
    """The file as Polars reads it: right where its structure is regular."""
    return pl.scan_csv(
        text.path.absolute(),  # Polars takes `~` and `file:` at the start for something else
        has_header=False,
        schema=pl.Schema(dict.fromkeys(head.columns, pl.String())),
        separator=head.dialect.delimiter,
        quote_char=head.dialect.quote,
        skip_lines=_line_feeds(text, head.data_start),
        empty_string_is_null=True,
        encoding="utf8",
        glob=False,
        missing_columns="raise",
        extra_columns="raise",
        truncate_ragged_lines=False,
        raise_if_empty=False,
        n_rows=rows,
    )


def _line_feeds(text: PlainText, size: int) -> int:
    """Line feeds in the first bytes of a file: what Polars counts as lines to skip."""
    with text.path.open("rb") as file:
        return file.read(size).count(b"\n")


class _Slow:
    """A file that is read record by record."""

    def __init__(
        self, source: SourceFile, text: PlainText, head: Head, options: CsvOptions
    ) -> None:
        self._source, self._text, self._head, self._options = source, text, head, options
        self._blank: list[int] = []
        self._blanks = self._comments = 0
        self._quoted = False
        self._ends: set[str] = set()
        one = len(head.columns) == 1
        self._blank_lines = options.blank_lines or ("refuse" if one else "skip")

    def read(self, context: ReadContext, notes: list[SourceNote]) -> SourceTable:
        """Read every record; bad ones are refused or kept out, as the options say."""
        names = self._head.columns
        keep = self._options.bad_rows == "quarantine"
        if keep and RECORD in names:
            raise ReservedColumnError(
                f"the source has a column {RECORD!r}, and bad records cannot be kept out beside it",
                hint="mend the bad records, or give the column another name in the file",
                column=RECORD,
            )
        numbers = free_name(RECORD, names)
        schema = pl.Schema({**dict.fromkeys(names, pl.String()), numbers: pl.Int64()})
        number = 0
        with (
            Spool(context.scratch, schema) as good,
            Spool(context.scratch, REJECTS_SCHEMA) as bad,
        ):
            for record in self._records():
                number += 1
                self._notice(record.raw)
                if not record.fault:
                    good.append((*record.fields, number))
                elif keep:
                    raw = record.raw.encode("utf-8", "surrogateescape")
                    shown = raw.decode("utf-8", "backslashreplace").rstrip("\r\n")
                    fault = f"the record {record.fault}"
                    bad.append((number, record.line, shown, f"read:{record.rule}", fault))
                else:
                    raise self._refused(record, number)
                if number % 4096 == 0:
                    context.progress(f"reading {self._source.name} (records)", number, None)
        return SourceTable(
            good.frame() if keep and bad.rows else good.frame().select(cs.by_name(*names)),
            good.rows,
            (*notes, *self._noticed()),
            bad.frame() if bad.rows else None,
            bad.rows,
        )

    def _records(self) -> Iterator[Record]:
        """Data records with the right number of fields, or with a fault."""
        wanted = len(self._head.columns)
        dialect = self._head.dialect
        header = self._options.header
        found = read_records(self._text.path, self._text.bom, dialect, self._options.skip_lines)
        for record in found:
            if record.kind == "comment":
                self._comments += 1
                continue
            if record.kind == "blank":
                if header or self._blank_lines == "skip":
                    self._note_blank(record)
                    continue
                yield self._blank_record(record, wanted)
                continue
            if header:
                header = False
                continue
            if not record.fault and len(record.fields) != wanted:
                count = len(record.fields)
                fault = f"has {count} field{'s' * (count != 1)} instead of {wanted}"
                record = Record(record.line, [], record.raw, "fields", fault)  # noqa: PLW2901 - the same record, judged
            yield record

    def _blank_record(self, record: Record, wanted: int) -> Record:
        if self._blank_lines == "keep":
            return Record(record.line, [None] * wanted, record.raw)
        return Record(record.line, [], record.raw, "blank", "is a blank line")

    def _note_blank(self, record: Record) -> None:
        self._blanks += 1
        if self._blanks <= _SHOWN:
            self._blank.append(record.line)

    def _notice(self, raw: str) -> None:
        quote = self._head.dialect.quote
        self._quoted = self._quoted or (quote is not None and quote in raw)
        self._ends.add("CRLF" if raw.endswith("\r\n") else _ENDS.get(raw[-1], ""))

    def _noticed(self) -> list[SourceNote]:
        notes = []
        ends = sorted(self._ends - {"", "LF"} and self._ends - {""})
        if ends:
            notes.append(SourceNote("line ends", " and ".join(ends)))
        if self._quoted:
            notes.append(SourceNote("quotes", "some fields"))
        if self._blanks:
            lines = ", ".join(map(str, self._blank))
            more = ", ..." if self._blanks > _SHOWN else ""
            text = f"{self._blanks} passed over, on line {lines}{more}"
            notes.append(SourceNote("blank lines", text))
        if self._comments:
            notes.append(SourceNote("comments", f"{self._comments} lines passed over"))
        return notes

    def _refused(self, record: Record, number: int) -> MalformedSourceError:
        hint = "mend the file, or keep bad records in quarantine: bad_rows='quarantine'"
        if record.rule == "fields":
            hint += "; where title lines come first: skip_lines"
        if record.rule == "encoding":
            hint = suggestion(record.raw.encode("utf-8", "surrogateescape"))
        if record.rule == "blank":
            hint = "say what it means: blank_lines='keep' (an empty value) or 'skip'"
        return MalformedSourceError(
            f"the record {record.fault}", hint=hint, line=record.line, record=number
        )
