"""Apache Parquet."""

from __future__ import annotations

from jobforge.readers.parquet.reader import ParquetOptions, ParquetReader

__all__ = ["ParquetOptions", "ParquetReader"]
