"""Facts of `.xlsx` and `.xlsm` workbooks, from their XML (ECMA-376, SpreadsheetML)."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO

from jobforge.errors import MalformedSourceError
from jobforge.readers.excel.facts import BookFacts, SheetFacts, reference
from jobforge.readers.excel.numbers import is_inexact, is_odd_serial
from jobforge.readers.excel.options import column_number
from jobforge.readers.excel.xml import parse_part

_SPACE = " \t\r\n"  # what is trimmed where xml:space does not preserve it
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
# Built-in formats that show a date or time (ECMA-376 part 1, 18.8.30, and the
# national ones); 46 is elapsed time, which is read as a duration.
_DATE_FORMATS = {*range(14, 23), *range(27, 37), 45, 47, *range(50, 59)}
MAX_ROWS, MAX_COLUMNS = 1_048_576, 16_384  # ECMA-376 part 1, 18.3.1.73 and .4
_LITERALS = re.compile(r'"[^"]*"|\\.|_.|\*.|general')
_REFERENCE = re.compile(r"([A-Za-z]{1,7})([0-9]{1,10})")


def inspect_ooxml(data: bytes) -> BookFacts:
    """Facts of a workbook that passed `guard_zip`.

    Raises:
        MalformedSourceError: A part is missing or not well formed.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return _Book(archive).facts()


def unescape(text: str) -> str:
    """Text with `_xHHHH_` escapes decoded (ECMA-376 part 1, 22.9.2.19)."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


@dataclass
class _Strings:
    """Shared strings that need care: those that would be trimmed, and the empty ones."""

    exact: dict[str, str] = field(default_factory=dict)
    count: int = 0


class _Book:
    """One workbook; parts are found by their relationships."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = {name.lower(): name for name in archive.namelist()}

    def facts(self) -> BookFacts:
        root = self._relations("", "")
        part = self._target(root, "officeDocument", "")
        base, leaf = posixpath.split(part)
        relations = self._relations(base, leaf)
        book = BookFacts("xlsx")
        listed: list[tuple[SheetFacts, str]] = []

        def start(name: str, attributes: dict[str, str]) -> None:
            if name == "sheet":
                key = next((v for k, v in attributes.items() if k.endswith(":id")), "")
                kind, target = relations.get(key, ("", ""))
                facts = SheetFacts(attributes.get("name", ""), attributes.get("state", "visible"))
                if kind == "worksheet":
                    listed.append((facts, self._find(base, target)))
                book.sheets.append(facts)
            elif name == "workbookPr":
                book.date_1904 = attributes.get("date1904") in ("1", "true")
            elif name == "calcPr":
                book.recalculate = attributes.get("fullCalcOnLoad") in ("1", "true")

        self._parse(part, start)
        strings = self._strings(relations, base)
        dates = self._date_styles(relations, base)
        for facts, place in listed:
            with self._archive.open(place) as stream:
                _Sheet(facts, strings, dates, date_1904=book.date_1904).read(stream, place)
        return book

    def _relations(self, base: str, leaf: str) -> dict[str, tuple[str, str]]:
        found: dict[str, tuple[str, str]] = {}

        def start(name: str, attributes: dict[str, str]) -> None:
            if name == "Relationship":
                kind = attributes.get("Type", "").rpartition("/")[2]
                found[attributes.get("Id", "")] = (kind, attributes.get("Target", ""))

        self._parse(self._find(base, f"_rels/{leaf}.rels"), start)
        return found

    def _target(self, relations: dict[str, tuple[str, str]], kind: str, base: str) -> str:
        for found, target in relations.values():
            if found == kind:
                return self._find(base, target)
        raise MalformedSourceError(
            "the file is a zip archive, and no workbook", hint="is it an .xlsx file?"
        )

    def _find(self, base: str, target: str) -> str:
        place = target[1:] if target.startswith("/") else posixpath.join(base, target)
        name = self._names.get(posixpath.normpath(place).lower())
        if name is None:
            raise MalformedSourceError(
                f"the workbook has no part {place}",
                hint="the file is no workbook, or is damaged",
            )
        return name

    def _parse(
        self,
        part: str,
        start: Callable[[str, dict[str, str]], None],
        end: Callable[[str], None] | None = None,
        text: Callable[[str], None] | None = None,
    ) -> None:
        with self._archive.open(part) as stream:
            parse_part(stream, part, start, end, text)

    def _strings(self, relations: dict[str, tuple[str, str]], base: str) -> _Strings:
        strings = _Strings()
        target = next((t for kind, t in relations.values() if kind == "sharedStrings"), None)
        if target is None:
            return strings
        runs = _Runs()
        declared = 0

        def start(name: str, attributes: dict[str, str]) -> None:
            nonlocal declared
            if name == "sst":
                declared = int(attributes.get("uniqueCount") or 0)
            elif name == "si":
                runs.begin()
            else:
                runs.start(name, attributes)

        def end(name: str) -> None:
            if name == "si":
                if runs.changed() or not runs.text():
                    strings.exact[str(strings.count)] = unescape(runs.text())
                strings.count += 1
            else:
                runs.end(name)

        part = self._find(base, target)
        self._parse(part, start, end, runs.characters)
        if declared > 4 * strings.count + 1_000_000:
            # A library that trusts the number would ask for that much memory.
            raise MalformedSourceError(
                f"the workbook declares {declared:,} texts and holds {strings.count:,}",
                hint="open it in a spreadsheet program and save it anew",
                part=part,
            )
        return strings

    def _date_styles(self, relations: dict[str, tuple[str, str]], base: str) -> set[str]:
        """Numbers of the cell styles that show a date or time."""
        target = next((t for kind, t in relations.values() if kind == "styles"), None)
        if target is None:
            return set()
        codes: dict[str, str] = {}
        styles: list[str] = []
        inside = False

        def start(name: str, attributes: dict[str, str]) -> None:
            nonlocal inside
            if name == "numFmt":
                codes[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")
            elif name == "cellXfs":
                inside = True
            elif name == "xf" and inside:
                styles.append(attributes.get("numFmtId", "0"))

        def end(name: str) -> None:
            nonlocal inside
            inside = inside and name != "cellXfs"

        self._parse(self._find(base, target), start, end)
        return {str(place) for place, number in enumerate(styles) if _shows_date(number, codes)}


def _shows_date(number: str, codes: dict[str, str]) -> bool:
    if number not in codes:
        return number.isdigit() and int(number) in _DATE_FORMATS
    code = _LITERALS.sub("", codes[number].lower()).split(";")[0]
    if re.search(r"\[[hms]+\]", code):
        return False
    return bool(re.search("[dmyhs]|a/p", re.sub(r"\[[^\]]*\]", "", code)))


class _Runs:
    """Text of a cell from its runs; phonetic hints are no text."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Start a new text."""
        self._done: list[str] = []
        self._open: list[str] | None = None
        self._keep = self._phonetic = self._changed = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "rPh":
            self._phonetic = True
        elif name == "t" and not self._phonetic:
            self._open = []
            self._keep = attributes.get("xml:space") == "preserve"

    def end(self, name: str) -> None:
        if name == "rPh":
            self._phonetic = False
        elif name == "t" and self._open is not None:
            text = "".join(self._open)
            self._open = None
            self._changed |= not self._keep and text.strip(_SPACE) != text
            self._done.append(text)

    def characters(self, text: str) -> None:
        if self._open is not None:
            self._open.append(text)

    def text(self) -> str:
        return "".join(self._done)

    def changed(self) -> bool:
        """Whether a library would trim one of the runs."""
        return self._changed


class _Sheet:
    """The cells of one sheet, one after the other."""

    def __init__(
        self, facts: SheetFacts, strings: _Strings, dates: set[str], *, date_1904: bool
    ) -> None:
        self._facts, self._strings, self._dates = facts, strings, dates
        self._date_1904 = date_1904
        self._row = self._column = 0
        self._at = ""
        self._kind = self._style = ""
        self._formula = self._noisy = False
        self._value: list[str] | None = None
        self._texts = 0
        self._last = (0, 0)
        self._in_value = False
        self._runs = _Runs()

    def read(self, stream: IO[bytes], part: str) -> None:
        parse_part(stream, part, self._start, self._end, self._text, self._noise)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "c":
            self._begin_cell(attributes)
        elif name == "row":
            self._row = int(attributes.get("r") or self._row + 1)
            self._column = 0
        elif name == "v" and self._at:
            # A value after text, or a second value: libraries do not agree on the meaning.
            self._noisy |= self._value is not None or self._texts > 0
            self._value = self._value or []
            self._in_value = True
        elif name == "is" and self._at:
            self._texts += 1
            self._noisy |= self._texts > 1 or self._kind != "inlineStr" or self._value is not None
        elif name == "f" and self._at:
            self._formula = True
            self._facts.formulas += 1
        elif name == "mergeCell":
            self._facts.merged.append(attributes.get("ref", ""))
        elif self._at:
            self._runs.start(name, attributes)

    def _begin_cell(self, attributes: dict[str, str]) -> None:
        found = _REFERENCE.fullmatch(attributes.get("r", ""))
        if found:
            self._column = column_number(found[1])
            self._row = int(found[2])
        else:
            self._column += 1
        self._at = reference(self._row, self._column)
        self._kind = attributes.get("t", "n")
        self._style = attributes.get("s", "")
        self._formula = self._noisy = False
        self._texts = 0
        self._value = None
        self._runs.begin()
        if self._row > MAX_ROWS or self._column > MAX_COLUMNS:
            raise MalformedSourceError(
                f"the sheet has a cell {self._at}, beyond what a sheet can have",
                hint="open it in a spreadsheet program and save it anew",
            )
        # Cells come in order as a rule; only one out of order can be there twice.
        place = (self._row, self._column)
        if place <= self._last:
            self._facts.unreadable.append(self._at)
        self._last = max(self._last, place)

    def _text(self, text: str) -> None:
        if self._in_value and self._value is not None:
            self._value.append(text)
        else:
            self._runs.characters(text)

    def _noise(self) -> None:
        self._noisy = bool(self._at)

    def _end(self, name: str) -> None:
        if name == "v":
            self._in_value = False
        elif name == "c" and self._at:
            self._end_cell()
            self._at = ""
        elif self._at:
            self._runs.end(name)

    def _end_cell(self) -> None:
        facts, at = self._facts, self._at
        value = None if self._value is None else "".join(self._value)
        inline = self._kind == "inlineStr"
        if value is not None or inline or self._noisy:
            facts.reach(self._row, self._column)
        if self._noisy:
            facts.unreadable.append(at)
        if self._kind == "e":
            facts.errors[at] = value or "#ERROR"
        elif self._formula and not value and (self._kind != "str" or value is None):
            facts.uncached.append(at)
        elif self._kind == "n" and value:
            self._number(at, value)
        else:
            text = self._exact_text(value)
            if text is not None:
                facts.exact_text[at] = text

    def _exact_text(self, value: str | None) -> str | None:
        """The text of a cell where a library would change it, or take it for a blank one."""
        if self._kind == "s":
            return self._strings.exact.get(value or "")
        if self._kind == "inlineStr":
            whole = self._runs.text() and not self._runs.changed()
            return None if whole else unescape(self._runs.text())
        return "" if self._kind == "str" and not value else None

    def _number(self, at: str, value: str) -> None:
        if is_inexact(value):
            self._facts.inexact[at] = value
        elif self._style in self._dates and is_odd_serial(value, date_1904=self._date_1904):
            self._facts.odd_dates[at] = value
