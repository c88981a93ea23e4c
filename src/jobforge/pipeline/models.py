"""The record of a batch, `catalog/lineage/{batch_id}.json`: frozen, UTC, plain JSON."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, JsonValue, NonNegativeInt

from jobforge.errors import JobforgeError
from jobforge.pipeline.column_lineage.record import FrameLineage
from jobforge.pipeline.config import Layer
from jobforge.pipeline.records import RECORD_FORMAT, Record, Sha256
from jobforge.pipeline.transform_ref import TransformRef
from jobforge.quality.account import RowAccount
from jobforge.quality.rules import RuleCount
from jobforge.readers.places import Checkpoint

# Polars lists some of the values that it could not convert; records keep none.
_VALUES = re.compile(r"( out of \d+ values): \[.*", re.DOTALL)

WITHHELD = "(its text is withheld: the contract has personal columns)"
"""Stands for the text of a foreign error that may hold a value of a personal column."""

SourceLayer = Literal["source", "staged", "bronze", "silver", "gold"]
"""Where the rows of a transition come from; its own layer, where it only makes a version of it."""


class Operation(StrEnum):
    """What a transition does to the table of its layer."""

    INGEST = "ingest"
    """A source becomes a file of the staged archive."""
    REPLACE = "replace"
    """A batch becomes the table."""
    APPEND = "append"
    """The rows of a batch join the table."""
    ADOPT = "adopt"
    """A file of an older jobforge becomes the first version."""
    ROLLBACK = "rollback"
    """An earlier version becomes the newest."""
    COMPACT = "compact"
    """The files of the table become one."""
    ERASE = "erase"
    """Named source records leave every file."""
    CLEAN = "clean"
    """Files that no version to be kept needs are removed."""


ARCHIVED = r"^sources/[0-9a-f]{2}/[0-9a-f]{64}(\.[a-z0-9]{1,11}){0,2}$"
MOVES = (Operation.INGEST, Operation.REPLACE, Operation.APPEND, None)
"""Operations that move a batch; null in records of format 1."""


class TransitionStatus(StrEnum):
    """How a transition stands."""

    RUNNING = "running"
    """Begun; its outcome is not recorded yet."""
    SUCCESS = "success"
    """Published; no row left for quarantine."""
    PARTIAL = "partial"
    """Published; some rows were kept out and are in quarantine."""
    FAILED = "failed"
    """Nothing new is visible in the target layer."""


class ProvenanceColumns(Record):
    """The values of the provenance columns of one row."""

    source_row: int | None = Field(default=None, ge=1)
    """1-based record number in the source file."""
    source_file: str
    ingested_at: AwareDatetime
    batch_id: str
    layer: Layer


class SourceInfo(Record):
    """One source file as it was read."""

    name: str
    """As `_source_file` has it."""
    path: str
    """As the caller gave it."""
    sha256: Sha256
    size_bytes: NonNegativeInt
    modified_at: AwareDatetime
    rows: NonNegativeInt
    folder: str | None = None
    """The folder that `path` is taken from, where it is a relative one."""
    reader: str | None = None
    """Name of the format that it was read as; null in records of an older jobforge."""
    options: dict[str, JsonValue] | None = None
    """Every option of the format, with what was found in the file in place of what was not given:
    so it can be read again. Null where one of them is no JSON."""
    detected: dict[str, str] = Field(default_factory=dict)
    """What else the file showed of how it is to be read: `compression`, `member` of an archive,
    `byte_order_mark`, `shape` of JSON, a regular `structure` of delimited text."""
    checkpoints: tuple[Checkpoint, ...] = ()
    """Where some of its records begin, evenly spread, so that any is found soon; none of a small
    file."""

    archived: Annotated[str, Field(pattern=ARCHIVED)] | None = None
    """Where its bytes were kept, relative to the data root; null where they were not. An erasure
    of one of its records removes them."""

    @property
    def place(self) -> Path:
        """Where the file was."""
        return Path(self.folder or "") / self.path


class Note(Record):
    """Something noticed that is no error."""

    topic: str
    text: str


class ContractRef(Record):
    """Which contract a transition went by."""

    version: str
    sha256: Sha256
    """Of what it declares."""
    personal: bool | None = None
    """Whether it classes a column as personal; null in older records."""


class InputRef(Record):
    """One input of a transition."""

    table: str
    domain: str
    layer: Layer
    file: str
    """Relative to the data root; absolute where it lies outside."""
    version: int | None = None


class ErrorRecord(Record):
    """An error as it was raised."""

    code: str
    kind: str
    message: str
    hint: str
    place: dict[str, str | int]

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """The record of an error; one that is not ours has the code of the root."""
        if isinstance(error, JobforgeError):
            return cls(
                code=error.code,
                kind=type(error).__name__,
                message=_VALUES.sub(r"\1", error.message),
                hint=error.hint,
                place=dict(error.place),
            )
        kind, code = type(error).__name__, JobforgeError.code
        return cls(code=code, kind=kind, message=_VALUES.sub(r"\1", str(error)), hint="", place={})


class Worker(Record):
    """The process that runs a transition."""

    host: str
    pid: int
    started_at: AwareDatetime | None = None
    """Start of the process, which tells it from a later one of the same number."""


class Contents(Record):
    """What the rows of a file hold, whatever their order; see `jobforge.pipeline.content`."""

    algorithm: str
    """Hashes of other algorithms cannot be compared with these."""
    key: Literal["record", "row"]
    """Whether a row is told from others by its source record, or by all it holds."""
    rows: NonNegativeInt
    columns: dict[str, str]
    """Sum of the hashes of each column, 16 hexadecimal digits; of the records, `_source_row`."""
    hash: Sha256
    """Of all of that, and of the types."""


class FileRef(Record):
    """A file that was removed on purpose, or written in the place of one."""

    file: str
    """Relative to the data root."""
    size_bytes: NonNegativeInt
    content_hash: str | None = None
    """`sha256:` and the hash of its bytes."""
    instead_of: str | None = None
    """The file whose place it takes."""


class LayerTransitionLog(Record):
    """What one move of a batch from one layer to the next did."""

    transition_id: str
    batch_id: str
    table: str
    domain: str
    source_layer: SourceLayer
    target_layer: Layer
    source_files: tuple[str, ...]
    """Names of the source files of the batch."""
    inputs: tuple[InputRef, ...] = ()
    """Layer files that were read; none for an ingest."""
    planned: tuple[str, ...] = ()
    """Names that no other transition uses, for the file and the rejects that it may publish."""
    target_file: str | None = None
    """Relative to the data root; null where nothing was published."""
    quarantine_file: str | None = None
    row_count_in: NonNegativeInt | None = None
    """Null where the transition failed before its input was counted."""
    row_count_out: NonNegativeInt | None = None
    account: RowAccount | None = None
    rules: tuple[RuleCount, ...] = ()
    """What came of each cast, check, expectation, filter and key, in order."""
    contract: ContractRef | None = None
    edges_file: str | None = None
    """Names the source records that left without a trace in quarantine."""
    grain: tuple[str, ...] = ()
    """Columns that tell one row of an aggregate from another, as they were declared."""
    groups_file: str | None = None
    """Names the source records that went into each row, by the columns of the grain."""
    operation: Operation | None = None
    """Null in records of format 1."""
    transforms_applied: tuple[TransformRef, ...] = ()
    column_lineage: FrameLineage | None = None
    """Where the columns come from; null for staged, and where it was not recorded."""
    notes: tuple[Note, ...] = ()
    started_at: AwareDatetime
    completed_at: AwareDatetime | None = None
    status: TransitionStatus
    errors: tuple[ErrorRecord, ...] = ()
    content_hash: str | None = None
    """`sha256:` and the hash of the bytes of the target file."""
    contents: Contents | None = None
    """What the rows of the target file hold; null where it was not asked for."""
    table_version: int | None = None
    """The version of the layer's table that the transition made; null for staged."""
    removed: tuple[FileRef, ...] = ()
    """Files that it removes, named before the first of them goes."""
    added: tuple[FileRef, ...] = ()
    """Files that it wrote in the place of removed ones."""
    left_out: dict[str, str] = Field(default_factory=dict)
    """Columns that other Delta readers do not see, and why."""
    worker: Worker
    jobforge_version: str
    polars_version: str

    @property
    def about(self) -> dict[str, object]:
        """What every event says: which transition of what it is of."""
        return {
            "batch": self.batch_id,
            "transition": self.transition_id,
            "table": f"{self.domain}/{self.table}",
            "layer": str(self.target_layer),
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Every file that it wrote, meant to write or removed."""
        files = (*self.planned, self.target_file, self.quarantine_file, self.edges_file)
        files = (*files, self.groups_file)
        refs = (*self.added, *self.removed)
        return (*(file for file in files if file is not None), *(ref.file for ref in refs))


class RecordRef(Record):
    """One record of a source file of the batch."""

    source_file: str
    source_row: int = Field(ge=1)
    """1-based record number in the file."""


class Waiver(Record):
    """Rejected rows that somebody decided to leave out for good."""

    waived_at: AwareDatetime
    by: str
    """Who answers for it."""
    why: str
    layer: Layer
    """The layer that rejected them."""
    quarantine_file: str
    """Where they are, relative to the data root; they stay there."""
    rows: NonNegativeInt
    records: tuple[RecordRef, ...] | None = None
    """Which; null for every row of the file but those in `besides`."""
    besides: tuple[RecordRef, ...] = ()
    """Rows of the file that were cured or waived already."""


class BatchRecord(Record):
    """All transitions of one batch, in order, failures included."""

    format_version: int = RECORD_FORMAT
    batch_id: str
    table: str
    domain: str
    created_at: AwareDatetime
    """First ingest time of the batch."""
    sources: tuple[SourceInfo, ...] = ()
    transitions: tuple[LayerTransitionLog, ...] = ()
    cures: str | None = None
    """The batch whose rejected records this one brings in, corrected."""
    waivers: tuple[Waiver, ...] = ()

    @property
    def status(self) -> TransitionStatus:
        """How the batch stands: as the last transition of each layer it reached says."""
        last: dict[Layer, TransitionStatus] = {}
        for log in self.transitions:
            last[log.target_layer] = log.status
        for status in (
            TransitionStatus.RUNNING,
            TransitionStatus.FAILED,
            TransitionStatus.PARTIAL,
        ):
            if status in last.values():
                return status
        return TransitionStatus.SUCCESS

    def transition(self, transition_id: str) -> LayerTransitionLog | None:
        """The transition of an id, or None where the batch has no such."""
        return next((log for log in self.transitions if log.transition_id == transition_id), None)

    def with_log(self, log: LayerTransitionLog) -> BatchRecord:
        """The record with one transition added, or replaced where its id is known."""
        if self.transition(log.transition_id) is not None:
            transitions = tuple(
                log if entry.transition_id == log.transition_id else entry
                for entry in self.transitions
            )
        else:
            transitions = (*self.transitions, log)
        return self.model_copy(update={"transitions": transitions, "format_version": RECORD_FORMAT})
