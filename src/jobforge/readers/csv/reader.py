"""The reader for CSV, TSV and other delimited text: every field is text, exactly as it stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import polars as pl

from jobforge.readers.base import ReadContext, ReadOptions, SourceNote, SourceTable
from jobforge.readers.csv.exact import ExactReading
from jobforge.readers.csv.head import Head, read_head
from jobforge.readers.csv.lookup import Lookup
from jobforge.readers.csv.options import CsvOptions
from jobforge.readers.csv.structure import SMALL, Structure, by_records
from jobforge.readers.places import Checkpoint, RecordPlace
from jobforge.readers.text import COMPRESSIONS, PlainText, as_utf8
from jobforge.storage.source import SourceFile

_ENDINGS = (".csv", ".tsv", ".tab", ".psv", ".txt")
_LARGE = 8 << 20  # bytes from which on it pays to prove a file while it is read
_STRUCTURE, _REGULAR = "structure", "regular"


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
        return _attempt(source, options, context).read()

    def places(
        self,
        source: SourceFile,
        options: CsvOptions,
        records: Sequence[int],
        context: ReadContext,
    ) -> list[RecordPlace]:
        """See `Locating.places`."""
        return _attempt(source, options, context).lookup().places(records)

    def records_at(
        self, source: SourceFile, options: CsvOptions, line: int, context: ReadContext
    ) -> range:
        """See `Locating.records_at`."""
        return _attempt(source, options, context).lookup().records_on(line)


def _attempt(source: SourceFile, options: CsvOptions, context: ReadContext) -> _Attempt:
    text = as_utf8(source, options.encoding, context)
    return _Attempt(source, text, read_head(text, options), options, context)


@dataclass(frozen=True)
class _Attempt:
    """One file, tried the quick way, and read record by record where that is not exact."""

    source: SourceFile
    text: PlainText
    head: Head
    options: CsvOptions
    context: ReadContext

    def lookup(self) -> Lookup:
        """The file, to be looked into: with what is on record, else with what a scan tells."""
        known = self.context.checkpoints
        regular = self.context.detected.get(_STRUCTURE) == _REGULAR
        large = self.text.path.stat().st_size >= _LARGE
        if large and not known and not regular and self._plain():
            structure = self._inspect(lambda: None)
            if regular := structure.regular:
                known = _checkpoints(structure, self.options)
        return Lookup(self.source, self.text, self.head, self.options, known, regular)

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
        detected = dict(self.text.detected)
        end = not structure.blank_end or (options.header and options.blank_lines is None)
        if structure.regular and self._plain() and end:
            table = _fast(self.text, self.head, structure, options, notes, trusted)
            detected[_STRUCTURE] = _REGULAR
        else:
            exact = ExactReading(self.source, self.text, self.head, options)
            table = exact.read(self.context, notes)
        found = {"delimiter": self.head.dialect.delimiter, "encoding": self.text.encoding}
        return replace(table, resolved=found, detected=detected)


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
    checkpoints = _checkpoints(structure, options)
    return SourceTable(trusted, rows, tuple(notes), checkpoints=checkpoints)


def _checkpoints(structure: Structure, options: CsvOptions) -> tuple[Checkpoint, ...]:
    """Those of a regular file, whose structure counts the header as a record."""
    before = 1 if options.header else 0
    return tuple(replace(mark, record=mark.record - before) for mark in structure.checkpoints)


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
