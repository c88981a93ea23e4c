"""Facts of `.xls` workbooks: the compound file ([MS-CFB]) and its BIFF8 records ([MS-XLS])."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from jobforge.errors import MalformedSourceError, UnsupportedValueError
from jobforge.readers.excel.facts import BookFacts, SheetFacts, reference

OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_FREE = 0xFFFFFFFA
_ERRORS = {
    0: "#NULL!",
    7: "#DIV/0!",
    15: "#VALUE!",
    23: "#REF!",
    29: "#NAME?",
    36: "#NUM!",
    42: "#N/A",
}
_BOF, _EOF, _FILEPASS, _DATEMODE, _BOUNDSHEET = 0x809, 0x0A, 0x2F, 0x22, 0x85
_DIMENSIONS, _BOOLERR, _MULRK = 0x200, 0x205, 0xBD
_FORMULAS = (0x06, 0x206, 0x406)
_CELLS = {0x03, 0x06, 0x203, 0x27E, 0xBD, 0xFD, 0x204, 0xD6, 0x205}
_BIFF8 = 0x600
_STATES = ("visible", "hidden", "veryHidden")
_MAX_ROWS, _MAX_COLUMNS = 65_536, 256


def inspect_xls(data: bytes) -> BookFacts:
    """Facts of a workbook in the binary format.

    Raises:
        MalformedSourceError: The file is no compound file, or is damaged.
        UnsupportedValueError: It is encrypted, or older than BIFF8 (Excel 97).
    """
    try:
        streams = _Compound(data)
        if streams.has("EncryptedPackage"):
            raise _encrypted()
        stream = streams.read("Workbook")
        return _Workbook(stream).facts()
    except (struct.error, IndexError, ValueError, UnicodeDecodeError) as error:
        raise MalformedSourceError(
            f"the workbook is damaged: {error}",
            hint="open it in a spreadsheet program and save it anew",
        ) from error


def _encrypted() -> UnsupportedValueError:
    return UnsupportedValueError("the workbook is encrypted", hint="save it without a password")


class _Compound:
    """Streams of a compound file, by name."""

    def __init__(self, data: bytes) -> None:
        if not data.startswith(OLE_MAGIC) or len(data) < 1536:  # noqa: PLR2004 - header and two sectors
            raise ValueError("it is no compound file")
        shift, mini_shift = struct.unpack_from("<HH", data, 30)
        if shift not in (9, 12) or mini_shift != 6:  # noqa: PLR2004 - the sizes that [MS-CFB] allows
            raise ValueError("its sectors have an odd size")
        self._data, self._size = data, 1 << shift
        header = struct.unpack_from("<8I", data, 44)
        fat_sectors, first_folder, _, self._cutoff, self._first_mini, _, extra, extras = header
        table = list(struct.unpack_from("<109I", data, 76))
        for _ in range(min(extras, len(data) // self._size)):
            block = self._numbers(self._sector(extra))
            table += block[:-1]
            extra = block[-1]
        self._fat = [
            entry
            for sector in table[:fat_sectors]
            if sector < _FREE
            for entry in self._numbers(self._sector(sector))
        ]
        self._root = b""
        self._streams: dict[str, tuple[int, int]] = {}
        self._read_folder(self._chain(first_folder))

    def has(self, name: str) -> bool:
        return name in self._streams

    def read(self, name: str) -> bytes:
        if name not in self._streams:
            if "Book" in self._streams:
                raise UnsupportedValueError(
                    "the workbook is in a format before Excel 97 (BIFF5)",
                    hint="open it in a spreadsheet program and save it as .xlsx",
                )
            raise ValueError("it holds no workbook")
        start, length = self._streams[name]
        if length >= self._cutoff:
            return self._chain(start)[:length]
        return self._mini_chain(start)[:length]

    def _read_folder(self, entries: bytes) -> None:
        for place in range(0, len(entries) - 127, 128):
            (length,) = struct.unpack_from("<H", entries, place + 64)
            start, size = struct.unpack_from("<II", entries, place + 116)
            name = entries[place : place + max(length - 2, 0)].decode("utf-16le", "replace")
            kind = entries[place + 66]
            if kind == 5:  # noqa: PLR2004 - the root entry
                self._root = self._chain(start) if start < _FREE else b""
            elif kind == 2:  # noqa: PLR2004 - a stream
                self._streams.setdefault(name, (start, size))

    def _sector(self, number: int) -> bytes:
        place = (number + 1) * self._size
        found = self._data[place : place + self._size]
        if not found:
            raise ValueError("a sector lies past the end")
        return found

    @staticmethod
    def _numbers(block: bytes) -> list[int]:
        return list(struct.unpack(f"<{len(block) // 4}I", block[: len(block) // 4 * 4]))

    def _chain(self, start: int) -> bytes:
        return b"".join(self._sector(number) for number in self._follow(start, self._fat))

    def _mini_chain(self, start: int) -> bytes:
        table = self._numbers(self._chain(self._first_mini))
        return b"".join(self._root[n * 64 : n * 64 + 64] for n in self._follow(start, table))

    def _follow(self, start: int, table: list[int]) -> Iterator[int]:
        steps = 0
        while start < _FREE:
            if start >= len(table) or steps > len(table):
                raise ValueError("a chain of sectors is broken")
            yield start
            start = table[start]
            steps += 1


class _Workbook:
    """The records of the workbook stream."""

    def __init__(self, stream: bytes) -> None:
        self._stream = stream
        self._book = BookFacts("xls")
        self._by_offset: dict[int, SheetFacts] = {}
        self._sheet: SheetFacts | None = None
        self._depth = 0
        self._seen_start = False

    def facts(self) -> BookFacts:
        place = 0
        while place + 4 <= len(self._stream):
            kind, size = struct.unpack_from("<HH", self._stream, place)
            body = self._stream[place + 4 : place + 4 + size]
            if len(body) < size:
                raise ValueError("a record reaches past the end")
            self._record(kind, body, place)
            place += 4 + size
        return self._book

    def _record(self, kind: int, body: bytes, place: int) -> None:
        if kind == _BOF:
            self._begin(body, place)
        elif kind == _EOF:
            self._depth -= 1
            if self._depth <= 0:
                self._sheet = None
        elif kind == _FILEPASS:
            raise _encrypted()
        elif kind == _DATEMODE:
            self._book.date_1904 = body[0] == 1
        elif kind == _BOUNDSHEET:
            self._bound_sheet(body)
        elif self._sheet is not None and self._depth == 1:
            self._cell(self._sheet, kind, body)

    def _begin(self, body: bytes, place: int) -> None:
        self._depth += 1
        (version,) = struct.unpack_from("<H", body)
        if not self._seen_start and version != _BIFF8:
            raise UnsupportedValueError(
                "the workbook is in a format before Excel 97",
                hint="open it in a spreadsheet program and save it as .xlsx",
            )
        self._seen_start = True
        self._sheet = self._by_offset.get(place, self._sheet)

    def _bound_sheet(self, body: bytes) -> None:
        offset, state, kind, length = struct.unpack_from("<IBBB", body)
        wide, text = body[7] & 1, body[8:]
        name = text[: 2 * length].decode("utf-16le") if wide else text[:length].decode("latin-1")
        facts = SheetFacts(name, _STATES[min(state & 3, 2)])
        self._book.sheets.append(facts)
        if kind == 0:
            self._by_offset[offset] = facts

    def _cell(self, sheet: SheetFacts, kind: int, body: bytes) -> None:
        if kind == _DIMENSIONS:
            _check_dimensions(body)
        if kind not in _CELLS and kind not in _FORMULAS:
            return
        row, column = struct.unpack_from("<HH", body)
        last = column + (len(body) - 6) // 6 - 1 if kind == _MULRK else column
        if kind != 0x201:  # noqa: PLR2004 - BLANK
            sheet.reach(row + 1, last + 1)
        if last >= _MAX_COLUMNS:
            raise ValueError("a cell lies beyond the last column")
        at = reference(row + 1, column + 1)
        if kind == _BOOLERR and body[7]:
            sheet.errors[at] = _ERRORS.get(body[6], f"#{body[6]}")
        elif kind in _FORMULAS:
            sheet.formulas += 1
            if body[12:14] == b"\xff\xff":
                self._special(sheet, at, body)

    @staticmethod
    def _special(sheet: SheetFacts, at: str, body: bytes) -> None:
        """A formula result that is no number: an error, or text that is empty or not there."""
        if body[6] == 2:  # noqa: PLR2004 - [MS-XLS] 2.5.133: error
            sheet.errors[at] = _ERRORS.get(body[8], f"#{body[8]}")
        elif body[6] == 3:  # noqa: PLR2004 - blank text, or never computed: the format cannot tell
            sheet.uncached.append(at)


def _check_dimensions(body: bytes) -> None:
    """A library that trusts these numbers asks for that much memory."""
    first_row, rows, first_column, columns = struct.unpack_from("<IIHH", body)
    if first_row > rows or first_column > columns or rows > _MAX_ROWS or columns > _MAX_COLUMNS:
        raise ValueError("it declares impossible dimensions")
