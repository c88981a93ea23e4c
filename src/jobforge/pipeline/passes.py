"""One pass over the rows: everything that is wanted of them is computed and written together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from time import sleep

import polars as pl

from jobforge.errors import JobforgeError, TableDamagedError, TransitionError, WriteError
from jobforge.pipeline.content import Sums, sums
from jobforge.pipeline.models import WITHHELD
from jobforge.pipeline.work import Work, Written
from jobforge.quality.columns import columns

# Polars reads these before its first query: how many row groups of Parquet, and how many pieces of
# a CSV file, are fetched ahead. One takes a quarter off the peak memory of a layer with rules and
# 100 MB off that of staged, and nothing off their speed.
os.environ.setdefault("POLARS_ROW_GROUP_PREFETCH_SIZE", "1")
os.environ.setdefault("POLARS_CSV_CHUNK_PREFETCH_LIMIT", "1")
# A tenth less time to write than Polars' own level 3, at the same size: see docs/benchmarks.md.
_LEVEL = 1


@dataclass(frozen=True)
class Part:
    """A piece of work and where its rows are to be written.

    Args:
        work: What is wanted.
        target: File for its rows.
        rejects: File for its rejects, where it can have some.
        filtered: File for the records that filters leave out, where there are filters.
        groups: File for the records that go into each row of an aggregate.
        kept: Columns that are not to be written: they are those of the input.
        hashed: Whether to tell what the rows hold.
    """

    work: Work
    target: Path
    rejects: Path | None
    filtered: Path | None
    groups: Path | None = None
    kept: Mapping[str, str] = field(default_factory=dict)
    hashed: bool = False

    @cached_property
    def sums(self) -> Sums | None:
        """What tells what the rows hold; of the columns that are to be written alone."""
        if not self.hashed:
            return None
        work = self.work
        return sums(work.frame, by_record=work.by_record, without=frozenset(self.kept))

    def sinks(self) -> list[pl.LazyFrame]:
        """The frames that write files."""
        work = self.work
        wanted = [
            (work.rejects, self.rejects),
            (work.frame.drop(columns(self.kept)) if self.kept else work.frame, self.target),
            (work.filtered, self.filtered),
            (work.groups, self.groups),
        ]
        metadata = work.footer.metadata()
        return [
            sink(frame, path, metadata)
            for frame, path in wanted
            if frame is not None and path is not None
        ]

    def small(self) -> list[pl.LazyFrame]:
        """The small frames that are computed beside them."""
        nulls = [self.work.frame.select(pl.all().null_count())] if self.work.count_nulls else []
        return [*self.work.probes, *nulls, *([self.sums.frame] if self.sums else [])]

    def written(self, small: list[pl.DataFrame]) -> Written:
        """What the pass wrote."""
        rows = int(pl.scan_parquet(self.target, glob=False).select(pl.len()).collect().item())
        left = pl.scan_parquet(self.filtered, glob=False) if self.filtered is not None else None
        number = len(self.work.probes)
        nulls = small[number].row(0, named=True) if self.work.count_nulls else {}
        found = Written(
            self.target, rows, self.rejects, small[:number], left, self.groups, nulls=nulls
        )
        if self.sums is None:
            return found
        contents = None if self.kept else self.sums.contents(small[-1])
        return replace(found, sums=small[-1], contents=contents)


def compute(parts: Sequence[Part]) -> list[Written]:
    """Compute several pieces of work in one pass.

    Raises:
        Exception: Whatever the computation raised; see `translate`.
    """
    sinks = [part.sinks() for part in parts]
    small = [part.small() for part in parts]
    order = [frame for frames in sinks for frame in frames]
    order += [frame for frames in small for frame in frames]
    results = iter(pl.collect_all(order, engine="streaming")[sum(map(len, sinks)) :])
    return [
        part.written([next(results) for _ in frames])
        for part, frames in zip(parts, small, strict=True)
    ]


@contextmanager
def one_interrupt() -> Iterator[None]:
    """Let Ctrl-C in a computation of Polars be raised once, before anybody tidies up.

    Polars raises it, and Python raises it again a moment later: that would be as
    the block around begins to remove its files, which then stay.
    """
    try:
        yield
    except KeyboardInterrupt:
        try:
            for _ in range(2):  # Python looks for signals where a loop goes back
                sleep(0)
        except KeyboardInterrupt:
            pass
        raise


def sink(frame: pl.LazyFrame, path: Path, metadata: dict[str, str]) -> pl.LazyFrame:
    """The frame, written to a file when it is computed."""
    lazy: pl.LazyFrame = frame.sink_parquet(
        path, compression="zstd", compression_level=_LEVEL, metadata=metadata, lazy=True
    )
    return lazy


def encode(frame: pl.DataFrame, path: Path, metadata: dict[str, str]) -> None:
    """Write a frame as one row group, in the form of `sink`.

    Raises:
        OSError: It cannot be written.
    """
    frame.write_parquet(
        path,
        compression="zstd",
        compression_level=_LEVEL,
        row_group_size=max(frame.height, 1),
        metadata=metadata,
    )


_REFUSED = ("os error", "no space left", "out of space", "storage full")


def translate(work: Work, error: BaseException) -> JobforgeError:
    """The error of a pass as one of ours, with the step that is to blame where it is known."""
    located = work.locate(error) if work.locate is not None else None
    if located is not None:
        return located
    first = (str(error).splitlines() or [type(error).__name__])[0]
    words = first.lower()
    if work.footer.discreet and not isinstance(error, OSError):
        first = WITHHELD
    if isinstance(error, FileNotFoundError):
        return TableDamagedError(
            f"a file went missing while the layer was computed: {first}",
            hint="run again if `clean` or `erase` was at work; else restore it from a backup",
        )
    if isinstance(error, OSError) or any(said in words for said in _REFUSED):
        return WriteError(
            f"the layer file could not be written: {first}",
            hint="look at free space and permissions of the data root",
        )
    return TransitionError(
        f"Polars could not compute the layer: {first}",
        hint="this is likely a defect of jobforge or Polars: keep the source file and report it",
    )
