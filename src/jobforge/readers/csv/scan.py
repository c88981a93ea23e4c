"""The structure of delimited text, block by block in numpy: one pass, which hashes the bytes too.

Quotes alternate between opening and closing (a doubled quote is a closing one
and an opening one), so it is enough to look at the byte before each opening and
after each closing quote.
"""

from __future__ import annotations

import codecs
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from jobforge.readers.csv.records import Dialect
from jobforge.readers.csv.structure import Structure, blank_end, readable
from jobforge.readers.places import Checkpoint, line_breaks, spacing

LF, CR = 0x0A, 0x0D
_BLOCK = 3 << 17  # fits the second-level cache of common processors together with its masks
_LOOK = 4  # bytes by which Polars tells what a file is
_RECORD_LIMIT = 1 << 30  # bytes; Polars holds a record in memory and no cell of 4 GiB

Bytes = npt.NDArray[np.uint8]
Report = Callable[[int], None]


def by_blocks(
    path: Path,
    columns: int,
    dialect: Dialect,
    *,
    start: int,
    data_start: int,
    report: Report,
    block: int = _BLOCK,
    every: int | None = None,
) -> Structure:
    """Read a file once, hashing it in a second thread.

    Args:
        path: UTF-8 text, possibly with a byte order mark.
        columns: Fields that every record has to have.
        dialect: How fields are written; a record may have as many bytes as characters.
        start: Bytes before the first record that is looked at, the header's.
        data_start: Bytes before the first data record.
        report: Told how many bytes are done.
        block: Bytes to look at in one go.
        every: Bytes from one checkpoint to the next; as the size of the file asks for
            unless given.
    """
    quote = -1 if dialect.quote is None else ord(dialect.quote)
    scan = _Scan(columns, ord(dialect.delimiter), quote, dialect.max_record)
    marks = _Marks(every or spacing(path.stat().st_size), start)
    digest = hashlib.sha256()
    done = 0
    with path.open("rb", buffering=0) as file, ThreadPoolExecutor(1) as helper:
        pending = None
        # The byte before the block decides on an opening quote; the last byte is
        # held back until the byte after it is known.
        tail = bytes([LF])
        lead = file.read(start)
        marks.line += line_breaks(lead)
        size, number = path.stat().st_size, file.fileno()
        blank = blank_end(os.pread(number, _BLOCK, max(size - _BLOCK, 0)), columns)
        end = size - len(blank)
        data_at = os.pread(number, _LOOK, data_start) if data_start else b""
        scan.regular = readable(os.pread(number, _LOOK, 0), data_at)
        digest.update(lead)
        done += len(lead)
        while data := file.read(block):
            if pending is not None:
                pending.result()
            pending = helper.submit(digest.update, data)
            part = data[: max(end - done, 0)]
            if scan.regular and part:
                window = tail + part
                scan.feed(window)
                marks.look(scan, window)
                tail = window[-2:]
            done += len(data)
            report(done)
        if pending is not None:
            pending.result()
    if scan.regular:
        scan.finish(tail)
    return Structure(
        scan.regular,
        scan.records,
        digest.hexdigest(),
        scan.crlf,
        scan.quoted,
        scan.quoted_newlines,
        blank.count(b"\n"),
        tuple(marks.found),
    )


class _Marks:
    """Checkpoints, taken where blocks are looked at: they cost nothing beside that.

    Args:
        every: Bytes from one to the next.
        start: Bytes before the first record.
    """

    def __init__(self, every: int, start: int) -> None:
        self.found: list[Checkpoint] = []
        self.line = 1
        """The line of the first record."""
        self._every, self._start = every, start
        self._due = every

    def look(self, scan: _Scan, window: bytes) -> None:
        """Take one behind the last record that ended in a block, if it is time for one."""
        offset = self._start + scan.seen - scan.since_end
        # Where no record ended in the block, the place of the last end is in an earlier one.
        if offset < self._due or scan.since_end >= len(window) - 2 or not scan.regular:
            return
        # The record that is open may have line ends in its quotes: they are behind the checkpoint.
        # The byte behind the block tells whether a CR before it is one of CRLF.
        rest = window[len(window) - 1 - scan.since_end :]
        behind = rest[:-1].count(b"\n") + rest[:-1].count(b"\r") - rest.count(b"\r\n")
        line = self.line + scan.records + scan.hidden - behind
        self.found.append(Checkpoint(scan.records + 1, offset, line))
        self._due = offset + self._every


class _Scan:
    """What crosses the borders of blocks, and the work on one block."""

    def __init__(self, columns: int, delimiter: int, quote: int, max_record: int) -> None:
        self.columns, self.delimiter, self.quote = columns, delimiter, quote
        self.max_record = min(max_record, _RECORD_LIMIT)
        self.regular = True
        self.records = self.crlf = self.seen = 0
        self.hidden = 0  # line ends within quotes
        self.since_end = 0  # bytes since the last record end
        self.quoted = self.quoted_newlines = False
        self._fields = 0  # delimiters seen of the record that is open
        self._inside = False  # within quotes
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._pending = False  # an unfinished UTF-8 sequence

    def feed(self, raw: bytes) -> None:
        """Look at `raw` without its first byte (already seen) and last (not yet).

        What is rare is looked for with `bytes.find`, which is many times
        cheaper than a comparison of every byte in numpy.
        """
        window = np.frombuffer(raw, np.uint8)
        core = window[1:-1]
        if not core.size:
            return
        self.seen += core.size
        last = len(raw) - 1
        if not self._text(raw, last):
            self.regular = False
            return
        quoted = self._inside or (self.quote >= 0 and raw.find(self.quote, 1, last) >= 0)
        marks = core == LF
        marks |= core == self.delimiter
        if quoted:
            marks |= core == self.quote
        at = np.flatnonzero(marks)
        kinds = core.take(at)
        was_inside = self._inside
        if quoted:
            at, kinds = self._outside(window, at, kinds)
        self._fields_fit(window, at, kinds)
        if self.regular and raw.find(CR) >= 0:
            self._carriage_returns(window, at, kinds, may_hide=was_inside or quoted)

    def finish(self, tail: bytes) -> None:
        """Judge the end of the file: the byte held back, and an open record."""
        # A closing quote may stand before a delimiter, so that one is put behind the end.
        self.feed(tail + bytes([self.delimiter]))
        if self._inside or self._pending or tail[-1] == CR:
            self.regular = False
        if self.since_end:
            self.regular &= self._fields + 1 == self.columns
            self.regular &= self.since_end <= self.max_record
            self.records += 1

    def _text(self, raw: bytes, last: int) -> bool:
        """Whether the bytes are UTF-8 without NUL."""
        if raw.find(0, 1, last) >= 0:
            return False
        if self._pending or not raw.isascii():
            try:
                self._decoder.decode(raw[1:last])
            except UnicodeDecodeError:
                return False
            self._pending = bool(self._decoder.getstate()[0])
        return True

    def _outside(
        self, window: Bytes, at: npt.NDArray[np.intp], kinds: Bytes
    ) -> tuple[npt.NDArray[np.intp], Bytes]:
        """Judge the quotes; keep the separators outside of them."""
        is_quote = kinds == self.quote
        places = at.take(np.flatnonzero(is_quote))
        self.quoted |= bool(places.size)
        first_closes = int(self._inside)
        opening, closing = places[first_closes::2], places[1 - first_closes :: 2]
        before = window.take(opening)
        after = window.take(closing + 2)
        self.regular &= bool(
            ((before == self.delimiter) | (before == LF) | (before == self.quote)).all()
        ) and bool(
            (
                (after == self.delimiter) | (after == LF) | (after == CR) | (after == self.quote)
            ).all()
        )
        parity = np.cumsum(is_quote, dtype=np.int32)
        parity += first_closes
        within = (parity & 1).astype(np.bool_)
        hidden = int(np.count_nonzero(within & (kinds == LF)))
        self.hidden += hidden
        self.quoted_newlines |= hidden > 0
        self._inside = bool((places.size + first_closes) % 2)
        keep = np.flatnonzero(~(is_quote | within))
        return at.take(keep), kinds.take(keep)

    def _fields_fit(self, window: Bytes, at: npt.NDArray[np.intp], kinds: Bytes) -> None:
        """Every `columns`-th separator, and no other, is a record end."""
        size = window.size - 2
        is_end = kinds == LF
        ends = int(np.count_nonzero(is_end))
        due = is_end[self.columns - 1 - self._fields :: self.columns]
        self.regular &= self._fields < self.columns and due.size == ends and bool(due.all())
        if not ends:
            self._fields += at.size
            self.since_end += size
            self.regular &= self.since_end <= self.max_record
            return
        ends_at = at.take(np.flatnonzero(is_end))
        self._records_fit(ends_at, size)
        if self.columns == 1:
            # A blank line has the one field that it needs; it is not a regular record.
            lengths = np.diff(at, prepend=-1 - self.since_end) - 1
            only_cr = (lengths == 1) & (window[at] == CR)
            self.regular &= not bool(((lengths == 0) | only_cr).any())
        last = int(ends_at[-1])
        self._fields = int(at.size - 1 - np.searchsorted(at, last))
        self.since_end = size - 1 - last
        self.records += ends

    def _records_fit(self, ends: npt.NDArray[np.intp], size: int) -> None:
        """No record is longer than the limit; within a block few limits can be passed."""
        longest = int(ends[0]) + self.since_end + 1
        if self.max_record < size and ends.size > 1:
            longest = max(longest, int(np.diff(ends).max()))
        self.regular &= longest <= self.max_record

    def _carriage_returns(
        self, window: Bytes, at: npt.NDArray[np.intp], kinds: Bytes, *, may_hide: bool
    ) -> None:
        """Outside quotes a CR stands before the LF of a record end, and nowhere else."""
        core = window[1:-1]
        returns = np.flatnonzero(core == CR)
        ends = at[kinds == LF]
        self.crlf += int(np.count_nonzero(window[ends] == CR))
        if not returns.size:
            return
        lonely = returns[window[returns + 2] != LF]
        if lonely.size and not may_hide:
            self.regular = False
        elif lonely.size:
            self.regular &= self._all_within(window, lonely)
            self.hidden += lonely.size

    def _all_within(self, window: Bytes, places: npt.NDArray[np.intp]) -> bool:
        """Whether places of this block lie in quotes; the block's end state is known."""
        quotes = np.flatnonzero(window[1:-1] == self.quote)
        after = quotes.size - np.searchsorted(quotes, places)
        return bool(((after % 2 == 1) ^ self._inside).all())
