"""Options of the reader for workbooks."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from jobforge.readers.base import ReadOptions

EVERY_SHEET = "*"
_RANGE = re.compile(r"([A-Z]{1,3})([1-9][0-9]*):([A-Z]{1,3})([1-9][0-9]*)")


class ExcelOptions(ReadOptions):
    """Which cells of a workbook are the table; the defaults fit one plain sheet.

    Raises:
        InvalidOptionError: An option is unknown, or its value makes no sense.
    """

    sheet: int | str | None = None
    """Name of the sheet, or its 1-based number; needed where more than one holds cells."""
    header: bool = True
    """Whether the first row holds the column names."""
    header_row: int | None = Field(default=None, ge=1)
    """1-based sheet row of the header; the first row that holds a cell unless given."""
    range: str | None = None
    """Cells to read, as in `B3:F200`; every cell unless given."""
    errors: Literal["refuse", "null"] = "refuse"
    """Whether cells with an error (`#N/A`) or a formula that was never computed stop the ingest,
    or become null and are noted."""

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.range is not None and not _RANGE.fullmatch(self.range):
            raise ValueError("a range is written like B3:F200")
        if self.header_row is not None and (self.range is not None or not self.header):
            raise ValueError("header_row goes without a range, and with a header")
        if isinstance(self.sheet, int) and self.sheet < 1:
            raise ValueError("sheets are numbered from 1")
        return self

    def corners(self) -> tuple[int, int, int, int] | None:
        """First row, first column, last row and last column of the range, 0-based, inclusive."""
        found = _RANGE.fullmatch(self.range or "")
        if found is None:
            return None
        left, top, right, bottom = found.groups()
        return int(top) - 1, column_number(left) - 1, int(bottom) - 1, column_number(right) - 1


def column_number(letters: str) -> int:
    """1-based number of a column: A is 1, AA is 27."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def column_letters(number: int) -> str:
    """Letters of a 1-based column number."""
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters
