"""The part of the workbook reader that runs in a child process."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from jobforge.readers.excel.options import ExcelOptions
from jobforge.readers.excel.sheet import filled_sheets, inspect_book, read_sheet
from jobforge.readers.isolate import answer


def work(request: dict[str, Any]) -> dict[str, Any]:
    """Read a sheet into an Arrow file, or list the sheets.

    Raises:
        SourceError: The workbook cannot be read exactly.
    """
    path = Path(request["path"])
    data = path.read_bytes()
    answered: dict[str, Any] = {"sha256": hashlib.sha256(data).hexdigest()}
    if request["what"] == "sheets":
        answered["sheets"] = filled_sheets(inspect_book(data, path.name))
        return answered
    options = ExcelOptions(**request["options"])
    table = read_sheet(data, path.name, options)
    table.frame.write_ipc(request["target"])
    answered["rows"] = table.frame.height
    answered["notes"] = table.notes
    answered["encoded"] = table.encoded
    answered["sheet"] = table.sheet
    answered["range"] = table.range
    return answered


if __name__ == "__main__":
    answer(work)
