"""What `trace` and `impact` say: rows, records and places as plain values."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import PlainSerializer

from jobforge.pipeline.audit.cells import plain
from jobforge.pipeline.config import Layer
from jobforge.pipeline.models import ContractRef
from jobforge.pipeline.records import Record
from jobforge.pipeline.transform_ref import TransformRef

Cell = Annotated[Any, PlainSerializer(plain, when_used="json")]
"""Whatever a table can hold; times that Python's own types cannot hold are ISO 8601 text."""


class RecordName(Record):
    """A source record, by what every row of it carries."""

    batch_id: str
    source_file: str
    source_row: int
    """Record number in the file, from 1."""


class StepChange(Record):
    """What one step made of a cell."""

    step: str
    before: Cell
    after: Cell


class CellChange(Record):
    """A cell that is another than those that it is made of, or than the one that had its name."""

    column: str
    before: dict[str, Cell]
    """The cell of the layer before that had its name, and those that it is made of, as far as they
    are known, by their columns."""
    after: Cell
    steps: tuple[str, ...]
    """The step that did it; where several work on the column and it cannot be told which of them
    did, all of them, in order."""
    each: tuple[StepChange, ...] = ()
    """Where several did, and it can be told: what each of them made of it, in order."""


class RowInLayer(Record):
    """A row as one layer has it, and how it came there."""

    layer: Layer
    table: str
    domain: str
    batch_id: str
    file: str
    """Relative to the data root."""
    version: int | None
    """The version of the table that brought it; null for staged."""
    values: dict[str, Cell] | None
    """Null where the file was removed on purpose, by `clean`."""
    changes: tuple[CellChange, ...] = ()
    transforms: tuple[TransformRef, ...] = ()
    """The steps of the transition, in order."""
    rules: tuple[str, ...] = ()
    """The rules that judged it, and let it through."""
    contract: ContractRef | None = None
    transition_id: str


class SourcePlace(Record):
    """Where a record stands in its source file, and its text."""

    source_file: str
    """As `_source_file` has it."""
    path: str | None
    """As it was read; null where the data root does not know."""
    sha256: str | None
    record: int
    state: str
    """`original` (the file is there with that hash), `archived`, `changed` or `missing`."""
    verified: str | None
    """How it is told that the file has those bytes: `sha256`, or `size and time`."""
    first_line: int | None = None
    last_line: int | None = None
    """Physical lines, from 1."""
    offset: int | None = None
    length: int | None = None
    """Bytes."""
    sheet: str | None = None
    row: int | None = None
    cells: str | None = None
    raw: str | None = None
    """The text of the record exactly as the file has it."""
    rebuilt: dict[str, Cell] | None = None
    """The record as staged has it, where its text cannot be had."""
    why: str = ""
    """Why something of this is not told."""


class RecordTrace(Record):
    """A source record and its rows, from the highest layer down to staged."""

    name: RecordName
    layers: tuple[RowInLayer, ...]
    source: SourcePlace


class RowTrace(Record):
    """A row of a table and where it is from."""

    row: RowInLayer
    reach: Literal["record", "group", "batch"]
    """Whether it is of one record, of the records of its group, or can be followed to its batch
    alone."""
    key: dict[str, Cell]
    """Its group, by the columns of the grain."""
    records: int | None
    """How many source records went into it; null where that is not known."""
    files: tuple[str, ...]
    """The source files that they are in; of a batch, all its files."""
    traces: tuple[RecordTrace, ...]
    """Some of the records, or all of them, as it was asked for."""
    why: str = ""
    """Why it can be followed to its batch alone."""


class Trace(Record):
    """The rows that were asked for."""

    table: str
    domain: str
    layer: Layer
    version: int | None
    matched: int
    """How many rows fit; `rows` has the first of them."""
    rows: tuple[RowTrace, ...]


Fate = Literal[
    "row", "quarantined", "deduplicated", "filtered", "dropped", "aggregated", "left out",
    "erased", "removed", "unknown",
]  # fmt: skip


class LeftRows(Record):
    """Rows of a record that left a layer in one way."""

    fate: Fate
    by: tuple[str, ...]
    """The rules, filter or function."""
    reasons: tuple[str, ...] = ()
    """In words."""
    state: str | None = None
    """Of rejected rows: open, cured, waived or duplicate."""
    rows: int | None = None
    """How many; null where that is not on record."""
    file: str | None = None
    """The file of quarantine; relative to the data root."""


class LayerFate(Record):
    """What became of a record in one layer."""

    layer: Layer
    fate: Fate
    """`row`: it is there; `aggregated`: in the rows of `keys`; `left out`: there is no row of its
    group; `erased`: on purpose, from every layer; `unknown`: the layer does not say which records
    it is of; else the way in which it left."""
    by: tuple[str, ...] = ()
    """The rules, filter or function that it left by; of a group that was left out, the function
    that aggregates, and every step after it that left out rows."""
    reasons: tuple[str, ...] = ()
    """In words."""
    state: str | None = None
    """Of a rejected row: open, cured, waived or duplicate."""
    rows: int = 0
    """Rows of the layer that are of it."""
    keys: tuple[dict[str, Cell], ...] = ()
    left: tuple[LeftRows, ...] = ()
    """What left besides what `fate` says, where a step made several rows of the record. A filter
    or function is named only where no row of its own is left in the layer or in quarantine."""
    file: str | None = None
    """The file of the layer, or of quarantine; relative to the data root."""
    current: bool | None = None
    """Whether the newest version of the table has it; null where there is nothing to have."""
    replaced_by: str | None = None
    """What took its place, the last time that something did: version, operation and batch. Neither
    a compaction nor an erasure of other records does: they put its rows into other files."""


class RecordImpact(Record):
    """What became of a source record."""

    name: RecordName
    table: str
    domain: str
    source: SourcePlace
    layers: tuple[LayerFate, ...]
    """From staged up, as far as it came."""
    cured_by: tuple[str, ...] = ()
    """Batches that brought it in, corrected."""


class Impact(Record):
    """What became of the records on a line, batch by batch."""

    file: str
    line: int | None
    records: tuple[RecordImpact, ...]
