"""The reader for workbooks: `.xlsx`, `.xlsm`, `.xls`, `.ods`."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import polars as pl

from jobforge.errors import InvalidOptionError
from jobforge.readers.base import ReadContext, ReadOptions, SourceNote, SourceTable
from jobforge.readers.excel.facts import reference
from jobforge.readers.excel.options import EVERY_SHEET, ExcelOptions
from jobforge.readers.isolate import call_in_child
from jobforge.readers.places import NOWHERE, RecordPlace, no_record
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
            resolved=_resolved(answer["sheet"], answer["range"], options),
        )

    def places(
        self,
        source: SourceFile,
        options: ExcelOptions,
        records: Sequence[int],
        context: ReadContext,
    ) -> list[RecordPlace]:
        """See `Locating.places`: sheet, row and cells, which options with a range tell.

        There is no `raw`: a workbook holds no text of a record.
        """
        options = self._decided(source, options, context)
        first, left, bottom, right = _records_box(options)
        found = []
        for number in records:
            row = first + number - 1
            if number < 1 or row > bottom:
                raise no_record(source.name, number)
            cells = f"{reference(row, left)}:{reference(row, right)}"
            found.append(RecordPlace(number, sheet=str(options.sheet), row=row, cells=cells))
        return found

    def records_at(
        self, source: SourceFile, options: ExcelOptions, line: int, context: ReadContext
    ) -> range:
        """See `Locating.records_at`; a line is a row of the sheet."""
        first, _, bottom, _ = _records_box(self._decided(source, options, context))
        record = line - first + 1
        return range(record, record + 1) if first <= line <= bottom else NOWHERE

    def _decided(
        self, source: SourceFile, options: ExcelOptions, context: ReadContext
    ) -> ExcelOptions:
        """Options that name the sheet and the very cells of the table."""
        if isinstance(options.sheet, str) and options.range is not None:
            return options
        table = self.read(source, options, context)
        return options.model_copy(update=dict(table.resolved))


def _resolved(sheet: str, cells: str, options: ExcelOptions) -> dict[str, object]:
    """Options that name what was read; a sheet whose name stands for every sheet, by its number."""
    named = options.sheet if sheet == EVERY_SHEET else sheet
    return {"sheet": named, "range": cells, "header_row": None}


def _records_box(options: ExcelOptions) -> tuple[int, int, int, int]:
    """First row and column of the records, last row and column; from 1, inclusive."""
    top, left, bottom, right = options.corners() or (0, 0, 0, 0)
    return top + 1 + options.header, left + 1, bottom + 1, right + 1


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
