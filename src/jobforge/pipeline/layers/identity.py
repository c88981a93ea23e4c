"""Counting rows by the source records that they name.

A record number is a place in a file, so a set of records is a row of marks: one
for each number costs a byte and a few nanoseconds, where a set of keys
costs 35 bytes and ten times the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Self

import polars as pl

from jobforge.pipeline.provenance import PROVENANCE_DTYPES, SOURCE_ROW

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Counts(NamedTuple):
    """Rows after a step.

    Where only rows are counted, the counts of identities are zero.
    """

    rows: int
    forged: int
    """Rows whose provenance the step changed."""
    different: int = 0
    """Different source records among them."""
    kept: int = 0
    """Different source records that the input has too."""

    @classmethod
    def of(cls, probe: pl.DataFrame) -> Self:
        """Counts from a computed probe."""
        return cls(*(int(value) for value in probe.row(0)))


def count_probe(frame: pl.LazyFrame, constants: dict[str, str]) -> pl.LazyFrame:
    """A frame of one row with the rows of another, to be computed in the same pass.

    Args:
        frame: Rows after a step, shared with the pass that writes them.
        constants: Provenance columns and the one value that each should have.
    """
    forged = pl.lit(0, dtype=pl.Int64)
    if constants:
        changed = pl.any_horizontal(
            pl.col(name).cast(pl.String, strict=False).ne_missing(pl.lit(value))
            for name, value in constants.items()
        )
        forged = changed.sum().cast(pl.Int64)
    return frame.select(pl.len().cast(pl.Int64).alias("rows"), forged.alias("forged"))


class Records:
    """The source records of the input of a layer.

    Args:
        known: The input, as it is written.
        key: Columns that identify a row within the batch.
    """

    def __init__(self, known: pl.LazyFrame, key: tuple[str, ...]) -> None:
        self._known = known
        self._key = key

    def count(self, frame: pl.LazyFrame) -> Counts:
        """Rows of a frame, and how many records they name, each counted once."""
        found = self._marked(frame) if self._key == (SOURCE_ROW,) else None
        return found or self._by_keys(frame)

    def _marked(self, frame: pl.LazyFrame) -> Counts | None:
        """By a mark for each record number; None where a number is beyond those of the input."""
        import numpy as np  # most runs prove their rows by the plan, and numpy costs 50 ms

        known = self._marks
        marks = np.zeros(known.size, np.bool_)
        rows = 0
        for batch in _numbers(frame):
            rows += len(batch)
            numbers = batch.drop_nulls().to_numpy()
            if numbers.size and not 0 <= numbers.min() <= numbers.max() < marks.size:
                return None
            marks[numbers] = True
        return Counts(rows, 0, int(marks.sum()), int((marks & known).sum()))

    @cached_property
    def _marks(self) -> npt.NDArray[np.bool_]:
        import numpy as np

        last = self._known.select(pl.col(SOURCE_ROW).max()).collect(engine="streaming").item()
        marks = np.zeros((last or 0) + 1, np.bool_)
        for batch in _numbers(self._known):
            marks[batch.drop_nulls().to_numpy()] = True
        return marks

    def _by_keys(self, frame: pl.LazyFrame) -> Counts:
        identities = keys_of(frame, self._key).unique()
        kept = identities.join(keys_of(self._known, self._key), on=self._key, how="semi")
        parts = [part.select(pl.len()) for part in (frame, identities, kept)]
        rows, different, common = (int(one.item()) for one in pl.collect_all(parts))
        return Counts(rows, 0, different, common)


def _numbers(frame: pl.LazyFrame) -> Iterator[pl.Series]:
    number = pl.col(SOURCE_ROW).cast(PROVENANCE_DTYPES[SOURCE_ROW], strict=False)
    for batch in frame.select(number).collect_batches(engine="streaming", maintain_order=False):
        yield batch.to_series()


def keys_of(frame: pl.LazyFrame, key: tuple[str, ...]) -> pl.LazyFrame:
    """The identities of rows that have one, in the types of provenance."""
    typed = frame.select(pl.col(name).cast(PROVENANCE_DTYPES[name], strict=False) for name in key)
    return typed.drop_nulls()
