"""What a workbook says beyond the values of its cells."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobforge.readers.excel.options import column_letters

MAX_CELLS = 20_000_000
"""Cells that the box around the filled part of a sheet may have; some 2.5 GB in memory."""


@dataclass
class SheetFacts:
    """One sheet, as its own bytes describe it; cells by their reference, such as `B7`.

    Args:
        name: As the tab shows it.
        state: `visible`, `hidden` or `veryHidden`.
        rows: Rows down to the last that holds something.
        columns: Columns up to the last that holds something.
        formulas: How many cells have a formula.
        merged: Ranges of merged cells.
        errors: Cells with an error, and its text.
        uncached: Cells with a formula whose value was never stored.
        exact_text: Cells whose text a spreadsheet library would change, and the text.
        inexact: Cells whose written number no 64-bit float holds, and the text.
        odd_dates: Cells whose date serial is not the date that it looks like.
        unreadable: Cells that are written in a way that libraries misread.
    """

    name: str
    state: str = "visible"
    rows: int = 0
    columns: int = 0
    formulas: int = 0
    merged: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    uncached: list[str] = field(default_factory=list)
    exact_text: dict[str, str] = field(default_factory=dict)
    inexact: dict[str, str] = field(default_factory=dict)
    odd_dates: dict[str, str] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)

    def reach(self, row: int, column: int) -> None:
        """Take note of a cell that holds something (1-based row and column)."""
        self.rows = max(self.rows, row)
        self.columns = max(self.columns, column)


@dataclass
class BookFacts:
    """A workbook: its sheets in order, and what concerns all of them."""

    kind: str
    sheets: list[SheetFacts] = field(default_factory=list)
    date_1904: bool = False
    recalculate: bool = False
    """Whether the writer asked for formulas to be computed on opening: stored values are not
    computed ones."""


def reference(row: int, column: int) -> str:
    """The reference of a cell from its 1-based row and column."""
    return f"{column_letters(column)}{row}"
