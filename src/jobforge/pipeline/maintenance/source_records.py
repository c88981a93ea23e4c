"""Source records by name, and the rows that come from them."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from jobforge.errors import InvalidOptionError, RecordNotFoundError
from jobforge.pipeline.provenance import BATCH_ID, SOURCE_FILE, SOURCE_ROW

_TOO_MANY = 2**63


@dataclass(frozen=True)
class SourceRecord:
    """One record of a source file, by what every row of it carries.

    Args:
        batch_id: `_batch_id` of its rows.
        source_row: `_source_row` of its rows, from 1.
        source_file: `_source_file` of its rows; needed where the batch has more
            than one file.

    Raises:
        InvalidOptionError: One of them is no text, or no number from 1.
    """

    batch_id: str
    source_row: int
    source_file: str | None = None

    def __post_init__(self) -> None:
        row: object = self.source_row
        if not isinstance(row, int) or isinstance(row, bool) or not 1 <= row < _TOO_MANY:
            raise InvalidOptionError(f"source_row is {row!r}", hint="use a number from 1")
        for name in ("batch_id", "source_file"):
            text: object = getattr(self, name)
            if not isinstance(text, str) and (name == "batch_id" or text is not None):
                raise InvalidOptionError(f"{name} is {text!r}", hint="use text")

    def __str__(self) -> str:
        file = f" of {self.source_file}" if self.source_file else ""
        return f"batch {self.batch_id} record {self.source_row}{file}"


class Wanted:
    """Source records, as keys to look for.

    Args:
        records: Which.
    """

    def __init__(self, records: list[SourceRecord]) -> None:
        self.records = records
        keys: list[tuple[tuple[str, ...], list[tuple[str | int | None, ...]]]] = [
            (
                (BATCH_ID, SOURCE_ROW, SOURCE_FILE),
                [(r.batch_id, r.source_row, r.source_file) for r in records if r.source_file],
            ),
            (
                (BATCH_ID, SOURCE_ROW),
                [(r.batch_id, r.source_row) for r in records if not r.source_file],
            ),
        ]
        types = {BATCH_ID: pl.String, SOURCE_ROW: pl.Int64, SOURCE_FILE: pl.String}
        self._keys = [
            (on, pl.DataFrame(rows, schema={name: types[name] for name in on}, orient="row").lazy())
            for on, rows in keys
        ]
        self._seen: set[tuple[str, int, str]] = set()

    def nameless(self, frame: pl.LazyFrame) -> bool:
        """Whether rows of their batches do not name their record, and may hold what it held."""
        own = frame.filter(pl.col(BATCH_ID).is_in([r.batch_id for r in self.records]))
        if SOURCE_ROW in frame.collect_schema():
            own = own.filter(pl.col(SOURCE_ROW).is_null())
        return own.head(1).collect(engine="streaming").height > 0

    def hits(self, frame: pl.LazyFrame) -> int:
        """Rows of a frame that come from one of the records."""
        parts = [frame.join(keys, on=on, how="semi") for on, keys in self._keys]
        found = pl.concat(parts).select(BATCH_ID, SOURCE_ROW, SOURCE_FILE).unique()
        rows, kept = (f.select(pl.len()).lazy() for f in (frame, self.without(frame)))
        seen, *counts = pl.collect_all([found, rows, kept], engine="streaming")
        self._seen |= set(seen.iter_rows())
        return int(counts[0].item()) - int(counts[1].item())

    def sources(self) -> set[tuple[str, str]]:
        """Batch and source file of every record that was seen."""
        return {(batch, file) for batch, _, file in self._seen}

    def without(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """The frame without the rows of the records, in the same order."""
        for on, keys in self._keys:
            frame = frame.join(keys, on=on, how="anti", maintain_order="left")
        return frame

    def check(self) -> None:
        """Refuse records that were not seen, or that more than one file of a batch has.

        Raises:
            RecordNotFoundError: One is in no file.
            InvalidOptionError: One is in more than one source file.
        """
        files: dict[tuple[str, int], set[str]] = {}
        for batch, row, file in self._seen:
            files.setdefault((batch, row), set()).add(file)
        for record in self.records:
            known = files.get((record.batch_id, record.source_row), set())
            if not known or record.source_file not in {None, *known}:
                raise RecordNotFoundError(
                    f"no file of the table holds {record}",
                    hint="nothing was erased; _batch_id, _source_row and _source_file of a row "
                    "name its record, and rows without _source_row name none",
                )
            if record.source_file is None and len(known) > 1:
                raise InvalidOptionError(
                    f"{len(known)} source files have {record}",
                    hint="nothing was erased; say which: source_file="
                    + " or ".join(map(repr, sorted(known))),
                )
