"""From a record of delimited text to its lines, and from a line to its record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from jobforge.readers.csv.exact import readable_text
from jobforge.readers.csv.head import Head, size_of
from jobforge.readers.csv.numbering import Numbered, numbered
from jobforge.readers.csv.options import CsvOptions
from jobforge.readers.csv.skip import nearer
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

_FAR = 5_000
"""Records that the exact reader reads in some 20 milliseconds."""


@dataclass(frozen=True)
class Lookup:
    """A file that was read, and is looked into again.

    Args:
        source: The file.
        text: Its text.
        head: What is known of it.
        options: How it was read.
        checkpoints: Where some records begin.
        regular: Whether its structure is known to be regular.
    """

    source: SourceFile
    text: PlainText
    head: Head
    options: CsvOptions
    checkpoints: tuple[Checkpoint, ...]
    regular: bool

    def places(self, records: Sequence[int]) -> list[RecordPlace]:
        """Where records stand; see `jobforge.readers.base.Locating`."""
        found: dict[int, RecordPlace] = {}
        for begin, wanted in by_checkpoint(self.checkpoints, records):
            start = begin
            for run in _runs(wanted) if self.regular else [wanted]:
                start = self._nearer(start, partial(_behind, run[0]))
                found |= self._read(start, run)
        return in_order(found, records, self.source.name)

    def _read(self, start: Checkpoint | None, wanted: list[int]) -> dict[int, RecordPlace]:
        """Places of records, in order; they are read from the first to the last."""
        found, those = {}, set(wanted)
        for entry in numbered(self.text, self.head, self.options, start):
            if entry[1] and entry[1] in those:
                found[entry[1]] = self._place(entry)
            if entry[1] >= wanted[-1]:
                break
        return found

    def records_on(self, line: int) -> range:
        """The record that has a part on a line, if one has."""
        begin = before_line(self.checkpoints, line)
        start = self._nearer(begin, lambda mark: mark.line > line)
        for record, number, _ in numbered(self.text, self.head, self.options, start):
            if record.line > line:
                break
            if line <= _last_line(record.line, without_end(record.raw)):
                return range(number, number + 1) if number else NOWHERE
        return NOWHERE

    def _nearer(
        self, begin: Checkpoint | None, beyond: Callable[[Checkpoint], bool]
    ) -> Checkpoint | None:
        """A beginning as near as can be had cheaply; the exact reader goes on from there."""
        if not self.regular:
            return begin
        path, quote = self.text.path, self.head.dialect.quote
        start = begin or self._first()
        found = nearer(path, start, quote.encode() if quote is not None else None, beyond)
        # The header is no record, and has a line: only from the top is it looked at.
        return begin if found == start else found

    def _first(self) -> Checkpoint:
        with self.text.path.open("rb") as file:
            before = file.read(self.head.data_start)
        return Checkpoint(1, self.head.data_start, 1 + line_breaks(before))

    def _place(self, entry: Numbered) -> RecordPlace:
        record, number, offset = entry
        raw = without_end(record.raw)
        in_file = self.text.path == self.source.path
        whole = record.rule != "size"  # of a record that is too long only the beginning was read
        return RecordPlace(
            number,
            record.line,
            _last_line(record.line, raw),
            offset if in_file else None,
            size_of(raw) if in_file and whole else None,
            raw=readable_text(raw),
        )


def _runs(wanted: list[int]) -> Iterator[list[int]]:
    """Record numbers in order, parted where it is quicker to pass over what is between them."""
    first = 0
    for at, (one, other) in enumerate(pairwise(wanted), start=1):
        if other - one > _FAR:
            yield wanted[first:at]
            first = at
    yield wanted[first:]


def _behind(record: int, mark: Checkpoint) -> bool:
    return mark.record > record


def _last_line(first: int, raw: str) -> int:
    # Line ends are the same bytes in UTF-8, and `splitlines` knows others too.
    return first + line_breaks(raw.encode("utf-8", "surrogateescape"))
