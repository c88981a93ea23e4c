"""Delimited text that is not regular: read record by record into a temporary file."""

from __future__ import annotations

import math

import polars as pl
from polars import selectors as cs

from jobforge.errors import MalformedSourceError, ReservedColumnError
from jobforge.quality.columns import free_name
from jobforge.readers.base import RECORD, REJECTS_SCHEMA, ReadContext, SourceNote, SourceTable
from jobforge.readers.csv.head import Head
from jobforge.readers.csv.numbering import numbered
from jobforge.readers.csv.options import CsvOptions
from jobforge.readers.csv.records import Record
from jobforge.readers.encodings import suggestion
from jobforge.readers.places import Checkpoint, spacing
from jobforge.readers.spool import Spool
from jobforge.readers.text import PlainText
from jobforge.storage.source import SourceFile

_SHOWN = 5
_ENDS = {"\n": "LF", "\r": "CR"}


class ExactReading:
    """One file, record by record.

    Args:
        source: The file.
        text: Its text.
        head: What is known of it.
        options: How it is read.
    """

    def __init__(
        self, source: SourceFile, text: PlainText, head: Head, options: CsvOptions
    ) -> None:
        self._source, self._text, self._head, self._options = source, text, head, options
        self._blank: list[int] = []
        self._blanks = self._comments = 0
        self._quoted = False
        self._ends: set[str] = set()
        self._checkpoints: list[Checkpoint] = []

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
        with (
            Spool(context.scratch, schema) as good,
            Spool(context.scratch, REJECTS_SCHEMA) as bad,
        ):
            self._fill(good, bad, context, keep=keep)
        return SourceTable(
            good.frame() if keep and bad.rows else good.frame().select(cs.by_name(*names)),
            good.rows,
            (*notes, *self._noticed()),
            bad.frame() if bad.rows else None,
            bad.rows,
            checkpoints=tuple(self._checkpoints),
        )

    def _fill(self, good: Spool, bad: Spool, context: ReadContext, *, keep: bool) -> None:
        every = spacing(self._text.path.stat().st_size)
        due: float = every
        for record, number, offset in numbered(self._text, self._head, self._options):
            if not number:
                self._pass_over(record)
                continue
            if offset is None:
                due = math.inf
            elif offset >= due:
                self._checkpoints.append(Checkpoint(number, offset, record.line))
                due = offset + every
            self._notice(record.raw)
            if not record.fault:
                good.append((*record.fields, number))
            elif keep:
                fault = f"the record {record.fault}"
                shown = readable_text(record.raw).rstrip("\r\n")
                bad.append((number, record.line, shown, f"read:{record.rule}", fault))
            else:
                raise self._refused(record, number)
            if number % 4096 == 0:
                context.progress(f"reading {self._source.name} (records)", number, None)

    def _pass_over(self, record: Record) -> None:
        if record.kind == "comment":
            self._comments += 1
        elif record.kind == "blank":
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


def readable_text(raw: str) -> str:
    """Text of which bytes that are no UTF-8 are shown as such."""
    return raw.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
