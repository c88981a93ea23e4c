"""Facts of `.ods` workbooks, from `content.xml` (OpenDocument 1.3, part 3)."""

from __future__ import annotations

import io
import re
import zipfile

from jobforge.errors import MalformedSourceError, UnsupportedValueError
from jobforge.readers.excel.facts import BookFacts, SheetFacts, reference
from jobforge.readers.excel.numbers import is_inexact
from jobforge.readers.excel.xml import parse_part

_CONTENT = "content.xml"
_MANIFEST = "META-INF/manifest.xml"
_CELLS = ("table-cell", "covered-table-cell")
_SKIPPED = {"annotation", "shapes", "tracked-changes", "dde-links"}
_ERROR = re.compile(r"#[A-Z]|Err:[0-9]")
_TIME = re.compile(r"PT(0?[0-9]|1[0-9]|2[0-3])H[0-5]?[0-9]M[0-5]?[0-9](\.[0-9]+)?S")
_MANY_SPACES = 32_767  # characters that a cell may have
_FOLDED = re.compile(r"[ \t\r\n]{2}|[\t\r\n]|^ | $")


def inspect_ods(data: bytes) -> BookFacts:
    """Facts of a workbook that passed `guard_zip`.

    Raises:
        MalformedSourceError: It is no OpenDocument workbook.
        UnsupportedValueError: It is encrypted.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        if _CONTENT not in names:
            raise MalformedSourceError(
                "the file is a zip archive, and no OpenDocument workbook",
                hint="is it an .ods file?",
            )
        if _MANIFEST in names and b"encryption-data" in archive.read(_MANIFEST):
            raise UnsupportedValueError(
                "the workbook is encrypted", hint="save it without a password"
            )
        content = _Content()
        with archive.open(_CONTENT) as stream:
            parse_part(stream, _CONTENT, content.start, content.end, content.text, content.noise)
    return content.book


class _Content:
    """Sheets and cells, one after the other; repeated cells count once for each place."""

    def __init__(self) -> None:
        self.book = BookFacts("ods")
        self._hidden: set[str] = set()
        self._style = ""
        self._skip = self._depth = 0
        self._row = self._column = 0
        self._row_repeat = self._column_repeat = 1
        self._cell: dict[str, str] | None = None
        self._text: list[str] = []
        self._odd = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        if self._skip or name in _SKIPPED:
            self._skip += 1
        elif name == "style":
            self._style = attributes.get("style:name", "")
        elif name == "table-properties" and attributes.get("table:display") == "false":
            self._hidden.add(self._style)
        elif name == "table":
            self._begin_table(attributes)
        elif name == "table-row" and self._depth == 1:
            self._row_repeat = max(int(attributes.get("table:number-rows-repeated", 1)), 1)
            self._column = 0
        elif name in _CELLS and self._depth == 1:
            self._column_repeat = max(int(attributes.get("table:number-columns-repeated", 1)), 1)
            self._cell, self._text, self._odd = attributes, [], False
        elif self._cell is not None:
            self._begin_text(name, attributes)

    def _begin_table(self, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1:
            hidden = attributes.get("table:style-name", "") in self._hidden
            state = "hidden" if hidden else "visible"
            self.book.sheets.append(SheetFacts(attributes.get("table:name", ""), state))
            self._row = 0

    def _begin_text(self, name: str, attributes: dict[str, str]) -> None:
        if name == "p":
            self._text.append("\n" if self._text else "")
        elif name == "s":
            count = int(attributes.get("text:c", 1))
            if count > _MANY_SPACES:
                raise MalformedSourceError(
                    f"a cell declares {count:,} spaces", hint="the file is damaged"
                )
            self._text.append(" " * count)
        elif name in ("tab", "line-break"):
            self._text.append("\t" if name == "tab" else "\n")
            self._odd = True

    def text(self, text: str) -> None:
        """Character data; white space that the standard folds is kept by libraries."""
        if self._cell is not None and self._text and not self._skip:
            self._odd |= bool(_FOLDED.search(text))
            self._text.append(text)

    def noise(self) -> None:
        """A comment or CDATA."""
        if self._cell is not None:
            self.book.sheets[-1].unreadable.append(self._here())

    def end(self, name: str) -> None:
        """An element ends."""
        if self._skip:
            self._skip -= 1
        elif name in _CELLS and self._cell is not None:
            self._end_cell(self._cell)
            self._cell = None
            self._column += self._column_repeat
        elif name == "table-row" and self._depth == 1:
            self._row += self._row_repeat
        elif name == "table":
            self._depth -= 1

    def _here(self) -> str:
        return reference(self._row + 1, self._column + 1)

    def _end_cell(self, cell: dict[str, str]) -> None:
        facts, at, text = self.book.sheets[-1], self._here(), "".join(self._text)
        kind = cell.get("office:value-type", "")
        formula = "table:formula" in cell
        facts.formulas += formula
        if not (kind or formula or text):
            return
        facts.reach(self._row + self._row_repeat, self._column + self._column_repeat)
        error = "error" in (kind, cell.get("calcext:value-type"))
        if error or (formula and _ERROR.match(text)):
            facts.errors[at] = text
        elif not kind:
            (facts.uncached if formula else facts.unreadable).append(at)
        elif kind == "string":
            self._string(facts, at, cell, text)
        elif kind == "time" and not _TIME.fullmatch(cell.get("office:time-value", "")):
            facts.odd_dates[at] = cell.get("office:time-value", "")
        elif kind in ("float", "percentage", "currency"):
            written = cell.get("office:value", "")
            if is_inexact(written):
                facts.inexact[at] = written

    def _string(self, facts: SheetFacts, at: str, cell: dict[str, str], text: str) -> None:
        if cell.get("office:string-value"):
            return
        if self._odd:
            facts.unreadable.append(at)
        elif not text:
            facts.exact_text[at] = ""
