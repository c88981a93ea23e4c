"""CSV, TSV and other delimited text."""

from __future__ import annotations

from jobforge.readers.csv.options import CsvOptions
from jobforge.readers.csv.reader import CsvReader

__all__ = ["CsvOptions", "CsvReader"]
