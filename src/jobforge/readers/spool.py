"""Rows on their way through a temporary Arrow file, so that memory does not grow with them.

A reader that has to look at every record in Python writes batches here and
hands a lazy scan of the file on. The format is Arrow IPC, uncompressed.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl

from jobforge.errors import WriteError

BATCH_ROWS = 16_384


class Spool:
    """A growing temporary table; use it as a context manager, then take its `frame`.

    Args:
        folder: Where to put the file; made where it is not there.
        schema: Polars types of the columns.
    """

    def __init__(self, folder: Path, schema: pl.Schema) -> None:
        import pyarrow as pa  # a file that is never spooled does without its 25 ms

        self._schema = schema
        self._path = folder / f"{uuid.uuid4().hex}.arrow"
        self._rows: list[Sequence[object]] = []
        self._arrow = schema.to_frame().to_arrow().schema
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._writer = pa.ipc.new_file(str(self._path), self._arrow)
        except OSError as error:
            raise WriteError(
                f"no temporary file could be made in {folder}: {error}",
                hint="look at free space and permissions of the data root",
            ) from error
        self.rows = 0

    def append(self, row: Sequence[object]) -> None:
        """Add one row."""
        self._rows.append(row)
        if len(self._rows) >= BATCH_ROWS:
            self._flush()

    def write(self, batch: pl.DataFrame) -> None:
        """Add many rows."""
        self._flush()
        self._put(batch)

    def frame(self) -> pl.LazyFrame:
        """The rows, in order, from the closed file."""
        if not self.rows:
            return self._schema.to_frame().lazy()
        return pl.scan_ipc(self._path.absolute(), glob=False)

    def _flush(self) -> None:
        if not self._rows:
            return
        batch = pl.DataFrame(self._rows, schema=self._schema, orient="row")
        self._rows.clear()
        self._put(batch)

    def _put(self, batch: pl.DataFrame) -> None:
        try:
            self._writer.write_table(batch.to_arrow().cast(self._arrow))
        except OSError as error:
            raise WriteError(
                f"the temporary file {self._path} could not be written: {error}",
                hint="look at free space in the data root",
            ) from error
        self.rows += batch.height

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._flush()
        self._writer.close()
