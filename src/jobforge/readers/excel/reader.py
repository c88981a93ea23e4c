"""The reader for workbooks: `.xlsx`, `.xlsm`, `.xls`, `.ods`."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import ClassVar

import polars as pl

from jobforge.errors import InvalidOptionError
from jobforge.readers.base import ReadContext, ReadOptions, SourceNote, SourceTable
from jobforge.readers.excel.options import EVERY_SHEET, ExcelOptions
from jobforge.readers.isolate import call_in_child
from jobforge.storage.source import SourceFile

_CHILD = "jobforge.readers.excel.child"


class ExcelReader:
    """One sheet of a workbook.

    The workbook is read in a child process, which holds the file and its
    cells: some 120 bytes a cell beside the file itself.
    """

    name: ClassVar[str] = "excel"
    suffixes: ClassVar[tuple[str, ...]] = (".xlsx", ".xlsm", ".xls", ".ods")
    options: ClassVar[type[ReadOptions]] = ExcelOptions

    def read(self, source: SourceFile, options: ExcelOptions, context: ReadContext) -> SourceTable:
        """See `Reader.read`; types are decided over all rows (`readers.excel.cells`)."""
        if options.sheet == EVERY_SHEET:
            raise InvalidOptionError(
                "one table is made of one sheet, and sheet='*' names them all",
                hint="use PipelineEngine.ingest_sheets, or `jobforge ingest -O 'sheet=*'`",
            )
        context.scratch.mkdir(parents=True, exist_ok=True)
        target = context.scratch / f"{uuid.uuid4().hex}.arrow"
        request = {
            "what": "table",
            "path": str(source.path),
            "options": options.model_dump(mode="json"),
            "target": str(target),
        }
        context.progress(f"reading {source.name}", 0, source.size)
        answer = call_in_child(_CHILD, request, context.scratch)
        source.hashed(answer["sha256"])
        context.progress(f"reading {source.name}", source.size, source.size)
        notes = tuple(SourceNote(topic, text) for topic, text in answer["notes"])
        return SourceTable(
            pl.scan_ipc(target.absolute(), glob=False),
            int(answer["rows"]),
            notes,
            encoded=frozenset(answer["encoded"]),
        )


def sheet_names(path: Path, scratch: Path) -> list[str]:
    """Names of the sheets of a workbook that hold a cell.

    Args:
        path: The workbook.
        scratch: A folder for temporary files.

    Raises:
        SourceError: The file cannot be read.
    """
    source = SourceFile(path)
    request = {"what": "sheets", "path": str(source.path)}
    names: list[str] = call_in_child(_CHILD, request, scratch)["sheets"]
    return names
