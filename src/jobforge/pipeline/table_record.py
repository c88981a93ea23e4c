"""The record of a table, `catalog/tables/{domain}/{table}.json`: frozen, UTC, plain JSON.

Table and column metadata follow the knowledge areas of the DAMA Data
Management Body of Knowledge (DMBOK, 2nd edition): identification, technical,
business, lineage, governance.
"""

from __future__ import annotations

from pydantic import AwareDatetime, Field, NonNegativeInt

from jobforge.pipeline.config import Layer
from jobforge.pipeline.records import RECORD_FORMAT, Record


class ColumnMetadata(Record):
    """One column of one layer of a table."""

    name: str
    data_type: str
    """Polars type, as Polars writes it."""
    position: NonNegativeInt
    """0-based."""
    source_columns: tuple[str, ...] = ()
    """Columns of the layer before whose values it is made of, as far as they are known."""
    sources_known: bool | None = None
    """Whether those are all; null where it was not recorded. How each is used is in the log of
    the transition."""
    nullable: bool = True
    description: str | None = None
    glossary_term: str | None = None
    pii_class: str | None = None
    null_count: NonNegativeInt | None = None
    """Among the rows that were written last; null where they were not counted."""
    minimum: str | None = None
    """Not recorded: a value in the catalog could not be erased. See `jobforge.pipeline.profile`."""
    maximum: str | None = None


class LayerState(Record):
    """The current content of one layer of a table."""

    layer: Layer
    file: str
    """The file that was published last, relative to the data root."""
    batch_id: str
    """The batch that was published last."""
    version: int | None = None
    """Version of the table; null for staged, which has none."""
    rows: NonNegativeInt
    """Rows of the whole table; of the batch, for staged."""
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
