"""What an event is made from: plain values, known before any class of the client is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

State = Literal["START", "RUNNING", "COMPLETE", "FAIL"]
"""States of a run that jobforge has, by their OpenLineage names."""


@dataclass(frozen=True)
class Field:
    """A column of a dataset.

    Args:
        name: Its name.
        data_type: Its Polars type.
        description: What it means.
    """

    name: str
    data_type: str
    description: str | None = None


@dataclass(frozen=True)
class Dataset:
    """A table or a file.

    Args:
        path: Where it is, absolute.
        table: Whether it is a Delta table; else a file, or a folder of files.
        version: Which state of it; None where that is not known.
        fields: Its columns; empty where they are not known.
    """

    path: str
    table: bool
    version: str | None = None
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True)
class Metrics:
    """What was counted of an input.

    Args:
        rows: Rows that were judged.
        size_bytes: Size of the file.
        changed_at: When the file was changed last.
        nulls: Nulls of each column, where they were counted.
    """

    rows: int | None = None
    size_bytes: int | None = None
    changed_at: datetime | None = None
    nulls: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Assertion:
    """What came of one rule.

    Args:
        name: Name of the rule.
        kind: What sort of rule it is.
        passed: Whether no more rows failed it than may.
        stops: Whether too many of them stop the layer.
        limit: How many may fail.
        judged: Rows that were judged.
        failed: Rows that failed.
        column: The column that it is about; None where that is not exactly one.
        step: The step that it belongs to.
        on_fail: What happens to rows that fail.
    """

    name: str
    kind: str
    passed: bool
    stops: bool
    limit: str
    judged: int
    failed: int
    column: str | None
    step: str
    on_fail: str | None


@dataclass(frozen=True)
class Input:
    """A dataset that was read.

    Args:
        dataset: Which.
        metrics: What was counted; None where nothing was yet.
        assertions: What came of the rules that its rows were judged by.
    """

    dataset: Dataset
    metrics: Metrics | None = None
    assertions: tuple[Assertion, ...] = ()


@dataclass(frozen=True)
class Written:
    """What was written to an output.

    Args:
        rows: Rows, where they were counted.
        size_bytes: Bytes.
        files: Files.
    """

    rows: int | None
    size_bytes: int | None
    files: int


@dataclass(frozen=True)
class Origin:
    """A column of the first input, and what it does for something of the output.

    Args:
        column: Its name.
        kind: What it does, in the words of the facet: `identity`, `transformation`,
            `aggregation`, `filter`, `join`, ...
        direct: Whether its values become values of the output.
    """

    column: str
    kind: str
    direct: bool


@dataclass(frozen=True)
class Output:
    """A dataset that was written, or is to be.

    Args:
        dataset: Which.
        written: What of it is there; None where nothing is yet.
        origins: For each column, the columns of the first input that it comes
            from; without those of which that is not known.
        chosen_by: Columns of the first input that decide which rows there are;
            none where that is not known.
    """

    dataset: Dataset
    written: Written | None = None
    origins: dict[str, tuple[Origin, ...]] = field(default_factory=dict)
    chosen_by: tuple[Origin, ...] = ()


@dataclass(frozen=True)
class Code:
    """A step that ran.

    Args:
        step: Its name.
        qualified_name: Name of the function.
        sha256: Of its source text or bytecode; None where neither can be had.
    """

    step: str
    qualified_name: str
    sha256: str | None


@dataclass(frozen=True)
class RunState:
    """A run at one moment.

    Args:
        run_id: UUID of the run.
        parent_id: UUID of the run that it is a part of.
        job: Name of the job.
        parent_job: Name of the job that it is a part of.
        state: What has just happened.
        at: When, in UTC.
        engine_version: Version of Polars.
        version: Version of jobforge.
        inputs: What it reads; the first one is what its rows come from.
        outputs: What it writes.
        code: The steps that it runs.
        error: Why it failed.
    """

    run_id: str
    parent_id: str
    job: str
    parent_job: str
    state: State
    at: datetime
    engine_version: str
    version: str
    inputs: tuple[Input, ...] = ()
    outputs: tuple[Output, ...] = ()
    code: tuple[Code, ...] = ()
    error: str | None = None

    @property
    def over(self) -> bool:
        """Whether it has its outcome."""
        return self.state in ("COMPLETE", "FAIL")
