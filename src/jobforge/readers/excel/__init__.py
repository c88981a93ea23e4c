"""Workbooks: Excel and OpenDocument."""

from __future__ import annotations

from jobforge.readers.excel.options import ExcelOptions
from jobforge.readers.excel.reader import ExcelReader

__all__ = ["ExcelOptions", "ExcelReader"]
