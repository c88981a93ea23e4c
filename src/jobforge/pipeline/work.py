"""What a layer wants written, what came of it, and what the layer says of that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from jobforge.errors import JobforgeError
from jobforge.pipeline.column_lineage.record import FrameLineage
from jobforge.pipeline.footer import Footer
from jobforge.pipeline.models import Contents, LayerTransitionLog, Note, SourceInfo
from jobforge.quality.account import RowAccount
from jobforge.quality.rules import RuleCount


@dataclass(frozen=True)
class Written:
    """What was written, not yet visible."""

    target: Path
    rows: int
    rejects: Path | None
    probes: list[pl.DataFrame]
    filtered: pl.LazyFrame | None = None
    """Source records that a declared filter left out, in a scratch file."""
    groups: Path | None = None
    """The scratch file of the source records that went into each row of an aggregate."""
    nulls: dict[str, int] = field(default_factory=dict)
    """Nulls of each column, where they were counted in the pass."""
    sha256: str | None = None
    """Of the file of its rows, where it was computed already."""
    sums: pl.DataFrame | None = None
    """What its contents are told from, where it was asked for."""
    contents: Contents | None = None
    """What the rows hold, where that is known."""

    def files(self) -> list[Path]:
        """The files that will be published."""
        others = [self.rejects, self.groups]
        return [self.target, *(file for file in others if file is not None)]


@dataclass(frozen=True)
class Verdict:
    """What a layer says of what was written.

    Where `refusal` is set, the table stays as it was, and only the rejects
    become visible.

    Args:
        account: Where the rows went.
        notes: What was noticed.
        refusal: Why nothing may be published.
        rules: What came of each rule.
        edges: Source records that left without a trace in quarantine.
    """

    account: RowAccount
    notes: tuple[Note, ...] = ()
    refusal: JobforgeError | None = None
    rules: tuple[RuleCount, ...] = ()
    edges: pl.LazyFrame | None = None


@dataclass(frozen=True)
class Work:
    """What a layer wants written, as frames that are not computed yet.

    Args:
        frame: The rows of the target.
        footer: What the file says of itself.
        judge: Called with what was written, before it becomes visible.
        rejects: Rows for quarantine.
        filtered: Source records that a declared filter leaves out.
        groups: Source records that go into each row of an aggregate, with its grain.
        probes: Small frames to compute in the same pass.
        locate: Called when computing failed, to name the step that is to blame; None
            where it is none of them.
        sources: The source files, where this is an ingest.
        lineage: Gives the origin of its columns; nothing is recorded where it is None.
        least_bytes: What writing will take at least, as far as one can tell.
        published: Called when the rows are visible and catalogued.
        by_record: Whether each row is the only one of its source record.
        count_nulls: Whether to count the nulls of each column in the same pass.
        kept: Columns that are columns of the input, and their names there, where rows
            leave and the others keep their order.
        carries: A frame with all rows and columns of the input, which are to be taken
            from it where both are written in one pass. Polars lets a slow branch of a
            shared frame lag behind a quick one, and what it has not seen yet waits in
            memory: so the slow work comes before the branches part.
        confirm: Where the input is taken on trust: waits for the proof, and gives
            the work as it is, with this very frame where the trust was right.
    """

    frame: pl.LazyFrame
    footer: Footer
    judge: Callable[[Written], Verdict]
    rejects: pl.LazyFrame | None = None
    filtered: pl.LazyFrame | None = None
    groups: pl.LazyFrame | None = None
    probes: tuple[pl.LazyFrame, ...] = ()
    locate: Callable[[BaseException], JobforgeError | None] | None = None
    sources: Callable[[], tuple[SourceInfo, ...]] = tuple
    lineage: Callable[[], FrameLineage] | None = None
    least_bytes: int = 0
    published: Callable[[LayerTransitionLog], None] | None = None
    by_record: bool = False
    count_nulls: bool = True
    kept: dict[str, str] = field(default_factory=dict)
    carries: pl.LazyFrame | None = None
    confirm: Callable[[], Work] | None = None
