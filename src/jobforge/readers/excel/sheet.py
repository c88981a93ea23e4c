"""One sheet as a table: the cells of a library, corrected and judged by what the file says."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace

import polars as pl
from python_calamine import CalamineError, CalamineWorkbook

from jobforge.errors import (
    AmbiguousSourceError,
    EmptySourceError,
    InvalidOptionError,
    MalformedSourceError,
    UnsupportedValueError,
    nearest,
)
from jobforge.readers.excel.biff import OLE_MAGIC, inspect_xls
from jobforge.readers.excel.cells import Cell, typed
from jobforge.readers.excel.facts import MAX_CELLS, BookFacts, SheetFacts, reference
from jobforge.readers.excel.guard import guard_zip
from jobforge.readers.excel.ods import inspect_ods
from jobforge.readers.excel.ooxml import inspect_ooxml
from jobforge.readers.excel.options import ExcelOptions, column_letters, column_number
from jobforge.readers.names import unique_names

_ZIP_MAGIC = b"PK\x03\x04"
_KINDS = {".xlsx": "xlsx", ".xlsm": "xlsx", ".xls": "xls", ".ods": "ods"}
_SHOWN = 10
_REFERENCE = re.compile(r"([A-Z]+)([0-9]+)")
Box = tuple[int, int, int, int]
Grid = list[list[Cell]]


@dataclass(frozen=True)
class SheetTable:
    """A sheet as columns, and what was noticed as (topic, text)."""

    frame: pl.DataFrame
    notes: list[tuple[str, str]]
    encoded: list[str]
    """Columns that hold each cell as text that tells which."""
    range: str
    """Its cells, the header's too where there is one."""
    sheet: str = ""


def inspect_book(data: bytes, name: str) -> BookFacts:
    """What a workbook says of itself; by its bytes, not by its name.

    Raises:
        SourceError: It is no workbook, is damaged, encrypted or a bomb, or is
            of another format than its name says.
    """
    if data.startswith(OLE_MAGIC):
        book = inspect_xls(data)
    elif data.startswith(_ZIP_MAGIC):
        guard_zip(data)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            is_ods = "content.xml" in archive.namelist()
        book = inspect_ods(data) if is_ods else inspect_ooxml(data)
    else:
        raise MalformedSourceError(
            "the file is no workbook, whatever its name says",
            hint="a text table wants the ending .csv, a web page .html",
        )
    ending = next((end for end in _KINDS if name.lower().endswith(end)), None)
    if ending and _KINDS[ending] != book.kind:
        raise MalformedSourceError(
            f"the file is an .{book.kind} workbook, and its name says {ending}",
            hint="give it the ending that it should have",
        )
    return book


def read_sheet(data: bytes, name: str, options: ExcelOptions) -> SheetTable:
    """The table that the options name.

    Raises:
        SourceError: The workbook is refused, more than one sheet could be
            meant, or a cell cannot be read exactly; with sheet and cell.
    """
    book = inspect_book(data, name)
    place = choose_sheet(book, options)
    facts = book.sheets[place]
    box = _box(facts, options)
    try:
        notes = _judge(facts, box, options)
        grid = _grid(data, place, facts)
        table = _table(grid, box, options)
    except (MalformedSourceError, UnsupportedValueError, EmptySourceError) as error:
        raise error.at(sheet=facts.name) from error
    described = _describe(book, facts, box, options)
    return replace(table, notes=[*described, *notes, *table.notes], sheet=facts.name)


def filled_sheets(book: BookFacts) -> list[str]:
    """Names of the sheets that hold a cell, hidden ones among them."""
    return [facts.name for facts in book.sheets if facts.rows]


def choose_sheet(book: BookFacts, options: ExcelOptions) -> int:
    """The 0-based position of the sheet that is meant.

    Raises:
        AmbiguousSourceError: More than one holds cells, and none is named.
        InvalidOptionError: The one named is not there.
        EmptySourceError: No sheet holds a cell.
    """
    names = [facts.name for facts in book.sheets]
    if isinstance(options.sheet, int):
        if options.sheet > len(names):
            raise InvalidOptionError(
                f"the workbook has {len(names)} sheets, and number {options.sheet} is asked for",
                hint=nearest("", names),
            )
        return options.sheet - 1
    if options.sheet is not None:
        if options.sheet not in names:
            raise InvalidOptionError(
                f"the workbook has no sheet {options.sheet!r}", hint=nearest(options.sheet, names)
            )
        return names.index(options.sheet)
    filled = [place for place, facts in enumerate(book.sheets) if facts.rows]
    if not filled:
        raise EmptySourceError(
            "no sheet of the workbook holds a cell", hint="look at how the file was made"
        )
    if len(filled) > 1:
        listed = ", ".join(f"{names[place]!r}" for place in filled)
        raise AmbiguousSourceError(
            f"{len(filled)} sheets hold cells: {listed}",
            hint="name one: sheet='...' (or '*' for each as a table of its own)",
        )
    return filled[0]


def _grid(data: bytes, place: int, facts: SheetFacts) -> Grid:
    """Every cell from A1, as Python values; blank is None."""
    if facts.rows * facts.columns > MAX_CELLS:
        raise UnsupportedValueError(
            f"the cells reach to {reference(facts.rows, facts.columns)}, more than "
            f"{MAX_CELLS:,} cells",
            hint="delete stray cells far from the table, or save it as .csv",
        )
    try:
        sheet = CalamineWorkbook.from_filelike(io.BytesIO(data)).get_sheet_by_index(place)
        rows = sheet.to_python(skip_empty_area=False)
    except (CalamineError, OSError, ValueError, OverflowError, KeyError) as error:
        raise MalformedSourceError(
            f"the sheet cannot be read: {error}",
            hint="open it in a spreadsheet program and save it anew",
        ) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise MalformedSourceError(
            "the sheet is damaged in a way that its parser cannot cope with",
            hint="open it in a spreadsheet program and save it anew",
        ) from error
    width = max(facts.columns, max(map(len, rows), default=0))
    grid: Grid = [
        [None if cell == "" else cell for cell in row] + [None] * (width - len(row)) for row in rows
    ]
    grid += [[None] * width for _ in range(facts.rows - len(grid))]
    for at, text in facts.exact_text.items():
        row, column = _position(at)
        grid[row][column] = text
    return grid


def _position(at: str) -> tuple[int, int]:
    found = _REFERENCE.fullmatch(at)
    if found is None:
        raise MalformedSourceError(f"{at!r} is no cell", hint="the file is damaged")
    return int(found[2]) - 1, column_number(found[1]) - 1


def _box(facts: SheetFacts, options: ExcelOptions) -> Box:
    """First row and column, last row and column to read; 0-based, inclusive."""
    corners = options.corners()
    if corners is None:
        return 0, 0, facts.rows - 1, facts.columns - 1
    top, left, bottom, right = corners
    return top, left, min(bottom, facts.rows - 1), min(right, facts.columns - 1)


def _inside(box: Box, cells: Iterable[str]) -> list[str]:
    top, left, bottom, right = box
    found = []
    for at in cells:
        row, column = _position(at)
        if top <= row <= bottom and left <= column <= right:
            found.append(at)
    return found


def _judge(facts: SheetFacts, box: Box, options: ExcelOptions) -> list[tuple[str, str]]:
    """Refuse or note cells that do not say what they hold."""
    for cells, what in (
        (facts.inexact, "a number that no 64-bit float holds"),
        (facts.odd_dates, "a date or time that workbooks do not store reliably"),
        (dict.fromkeys(facts.unreadable, ""), "content that cannot be read reliably"),
    ):
        inside = _inside(box, cells)
        if inside:
            text = cells[inside[0]]
            raise UnsupportedValueError(
                f"the cell holds {what}" + (f" ({text})" if text else ""),
                hint="write it as text, or leave the cell out with range='...'",
                cell=inside[0],
            )
    errors, uncached = _inside(box, facts.errors), _inside(box, facts.uncached)
    if (errors or uncached) and options.errors == "refuse":
        at = (errors or uncached)[0]
        what = f"the error {facts.errors[at]}" if errors else "a formula without a stored value"
        raise UnsupportedValueError(
            f"the cell holds {what} ({len(errors) + len(uncached)} such cells in all)",
            hint="mend the cell, let a spreadsheet program compute and save, or take such cells "
            "as null: errors='null'",
            cell=at,
        )
    return [
        (topic, f"{len(cells)} kept as null: {', '.join(cells[:_SHOWN])}" + _more(cells))
        for topic, cells in (("error cells", errors), ("formulas without a value", uncached))
        if cells
    ]


def _more(cells: list[str]) -> str:
    return f" and {len(cells) - _SHOWN} more" if len(cells) > _SHOWN else ""


def _table(grid: Grid, box: Box, options: ExcelOptions) -> SheetTable:
    top, left, bottom, right = box
    rows = [row[left : right + 1] for row in grid[top : bottom + 1]]
    first = (options.header_row - 1 - top) if options.header_row else _first_filled(rows)
    if options.range and not options.header:
        first = 0  # a range says which rows there are, blank ones too
    if first is None or first >= len(rows):
        raise EmptySourceError(
            f"there is no cell in {_name(box)}", hint="name another range or header_row"
        )
    used = [
        place
        for place in range(len(rows[0]))
        if any(row[place] is not None for row in rows[first:])
    ]
    if not used:
        raise EmptySourceError(
            "there is no cell from the header row on", hint="name another header_row"
        )
    columns = range(used[0], used[-1] + 1)
    notes = [("header", f"row {top + first + 1}")] if options.header else []
    if options.header:
        given = [_heading(rows[first][place]) for place in columns]
        names, changes = unique_names(given)
        notes += [("header", change) for change in changes]
        records = rows[first + 1 :]
    else:
        names = tuple(f"column_{number}" for number in range(1, len(columns) + 1))
        records = rows[first:]
    series, encoded = [], []
    for name, place in zip(names, columns, strict=True):
        values, mixed = typed([row[place] for row in records])
        series.append(values.alias(name))
        if mixed:
            encoded.append(name)
            letters = column_letters(left + place + 1)
            notes.append(
                (
                    "types",
                    f"column {letters} ({name}) mixes kinds: each cell is text that tells which",
                )
            )
    cells = _name((top + first, left + used[0], top + len(rows) - 1, left + used[-1]))
    return SheetTable(pl.DataFrame(series), notes, encoded, cells)


def _heading(cell: Cell) -> str | None:
    """A header cell as a name: a year is `2024`, not `2024.0`."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return None if cell is None else str(cell)


def _first_filled(rows: Grid) -> int | None:
    return next((n for n, row in enumerate(rows) if any(cell is not None for cell in row)), None)


def _name(box: Box) -> str:
    top, left, bottom, right = box
    return f"{reference(top + 1, left + 1)}:{reference(bottom + 1, right + 1)}"


def _describe(
    book: BookFacts, facts: SheetFacts, box: Box, options: ExcelOptions
) -> list[tuple[str, str]]:
    """What a reader of the log wants to know of the workbook."""
    notes = [("sheet", facts.name if facts.state == "visible" else f"{facts.name} ({facts.state})")]
    if options.range:
        notes.append(("range", _name(box)))
    hidden = [s.name for s in book.sheets if s.state != "visible" and s is not facts]
    others = [s.name for s in book.sheets if s.rows and s is not facts]
    if hidden:
        notes.append(("hidden sheets", ", ".join(hidden)))
    if others:
        notes.append(("other sheets", ", ".join(others)))
    if facts.merged:
        text = f"{', '.join(facts.merged[:_SHOWN])}{_more(facts.merged)}"
        notes.append(("merged cells", f"{text}: the value is in the first cell of each"))
    if facts.formulas:
        stored = ", and the file asks for them to be computed anew" if book.recalculate else ""
        notes.append(("formulas", f"{facts.formulas} cells; the stored values are read{stored}"))
    if book.date_1904:
        notes.append(("dates", "counted from 1904"))
    return notes
