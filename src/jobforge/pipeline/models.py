"""The records of the catalog: frozen, UTC, each readable without jobforge as plain JSON.

Table and column metadata follow the knowledge areas of the DAMA Data
Management Body of Knowledge (DMBOK, 2nd edition): identification, technical,
business, lineage, governance.
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NonNegativeInt

from jobforge.errors import RecordError
from jobforge.pipeline.config import Layer
from jobforge.quality.account import RowAccount

RECORD_FORMAT = 1
"""Version of the form of every record here; a newer one is refused by name."""

SourceLayer = Literal["source", "staged", "bronze", "silver"]
"""Where the rows of a transition come from."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Record(BaseModel):
    """What all records share: they cannot be changed, and unknown fields are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


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


class Note(Record):
    """Something noticed that is no error."""

    topic: str
    text: str


class TransformRef(Record):
    """Which code a step ran."""

    name: str
    """Step name, unique within the transition."""
    qualified_name: str
    code_sha256: Sha256 | None
    """SHA-256 of the source text, else of the bytecode; null where neither can be had."""


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


class Worker(Record):
    """The process that runs a transition."""

    host: str
    pid: int


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
    target_file: str | None = None
    """Relative to the data root; null where nothing was published."""
    quarantine_file: str | None = None
    row_count_in: NonNegativeInt | None = None
    """Null where the transition failed before its input was counted."""
    row_count_out: NonNegativeInt | None = None
    account: RowAccount | None = None
    transforms_applied: tuple[TransformRef, ...] = ()
    notes: tuple[Note, ...] = ()
    started_at: AwareDatetime
    completed_at: AwareDatetime | None = None
    status: TransitionStatus
    errors: tuple[ErrorRecord, ...] = ()
    content_hash: str | None = None
    table_version: int | None = None
    worker: Worker
    jobforge_version: str
    polars_version: str


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

    def with_log(self, log: LayerTransitionLog) -> BatchRecord:
        """The record with one transition added, or replaced where its id is known."""
        known = [entry.transition_id for entry in self.transitions]
        if log.transition_id in known:
            transitions = tuple(
                log if entry.transition_id == log.transition_id else entry
                for entry in self.transitions
            )
        else:
            transitions = (*self.transitions, log)
        return self.model_copy(update={"transitions": transitions})


class ColumnMetadata(Record):
    """One column of one layer of a table."""

    name: str
    data_type: str
    """Polars type, as Polars writes it."""
    position: NonNegativeInt
    """0-based."""
    source_columns: tuple[str, ...] = ()
    """Columns of the layer before that it comes from, where that is known exactly."""
    nullable: bool = True
    description: str | None = None
    glossary_term: str | None = None
    pii_class: str | None = None
    null_count: NonNegativeInt | None = None
    minimum: str | None = None
    maximum: str | None = None


class LayerState(Record):
    """The current content of one layer of a table."""

    layer: Layer
    file: str
    """Relative to the data root."""
    batch_id: str
    rows: NonNegativeInt
    size_bytes: NonNegativeInt
    updated_at: AwareDatetime
    columns: tuple[ColumnMetadata, ...]


class TableMetadata(Record):
    """What is known of one table: identification, technical, business, lineage, governance."""

    format_version: int = RECORD_FORMAT
    table: str
    domain: str
    created_at: AwareDatetime
    updated_at: AwareDatetime
    layers: dict[Layer, LayerState] = Field(default_factory=dict)
    description: str | None = None
    purpose: str | None = None
    owner: str | None = None
    steward: str | None = None
    source_files: tuple[str, ...] = ()
    """Names of the source files of the batch that was ingested last."""
    retention: str | None = None
    classification: str | None = None


def check_format(path: Path, text: bytes) -> None:
    """Refuse a record of a newer jobforge by name.

    Raises:
        RecordError: It is one.
        ValueError: The text is no JSON.
    """
    raw = json.loads(text)
    version = raw.get("format_version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > RECORD_FORMAT:
        raise RecordError(
            f"{path} has record format {version}, and this jobforge reads up to {RECORD_FORMAT}",
            hint="upgrade jobforge",
        )


Kind = TypeVar("Kind", bound=Record)


def read_record(path: Path, kind: type[Kind]) -> Kind:
    """A record from its file.

    Raises:
        RecordError: It is damaged, or a newer jobforge wrote it.
    """
    try:
        text = path.read_bytes()
        check_format(path, text)
        return kind.model_validate_json(text)
    except (OSError, ValueError) as error:
        raise RecordError(
            f"the record {path} cannot be read ({str(error).splitlines()[0]})",
            hint="restore it from a backup; the data files are not affected",
        ) from error
