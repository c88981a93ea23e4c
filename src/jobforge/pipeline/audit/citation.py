"""What is known of a figure: its value, and the rows, records and files that it rests on."""

from __future__ import annotations

from pydantic import AwareDatetime, NonNegativeInt

from jobforge.pipeline.chain import Head
from jobforge.pipeline.config import Layer
from jobforge.pipeline.models import Contents
from jobforge.pipeline.records import RECORD_FORMAT, Record, Sha256

SEPARATOR = " · "
NO_CHAIN = "no chain"
_SHOWN = 16
"""Digits of a hash in a line: enough for `verify --against`."""


class CitedValue(Record):
    """One figure."""

    expression: str
    """As it was written."""
    data_type: str
    """Polars type. Whole numbers are computed with 128 bits, so that no sum can overflow."""
    value: str | None
    """As text, exactly; null for no value."""
    shown: str
    """As a reader likes it: with thousands separators, text in quotes."""


class CitedSource(Record):
    """A source file behind a figure."""

    name: str
    sha256: Sha256 | None
    """Null where the record of the batch does not name the file."""
    batch_id: str
    records: NonNegativeInt | None
    """Records of it that went in; null where that is not known, and any may have."""


class CitedFile(Record):
    """A file that was read."""

    file: str
    """Relative to the data root."""
    sha256: Sha256
    """Of its bytes, as they were read and as they were published."""
    entry: int | None
    """The entry of the chain that has this hash; null where the chain is younger than the file."""


class Citation(Record):
    """A figure, with everything that it rests on."""

    format_version: int = RECORD_FORMAT
    statement: str
    where: str | None
    """The condition of the statement; null where every row counts."""
    values: tuple[CitedValue, ...]
    table: str
    domain: str
    layer: Layer
    version: int
    rows: NonNegativeInt
    """Rows of the table that the condition lets through."""
    records: NonNegativeInt | None
    """Different source records that those were made of; null where none is known."""
    rows_without_records: NonNegativeInt
    """Rows among them of which only the batch is known."""
    sources: tuple[CitedSource, ...]
    contents: Contents
    """What the rows hold, provenance that differs from run to run left out."""
    files: tuple[CitedFile, ...]
    """The files of the version."""
    groups: tuple[CitedFile, ...] = ()
    """The files that say which records went into the rows of an aggregate."""
    head: Head | None
    """The last entry of the chain; null where there is no chain."""
    cited_at: AwareDatetime
    jobforge_version: str
    polars_version: str

    def line(self) -> str:
        """All that matters, as one line to put under the figure."""
        said = ", ".join(f"{value.expression} = {value.shown}" for value in self.values)
        table = f"{self.layer} {self.domain}/{self.table} v{self.version}"
        parts = [
            said,
            table if self.where is None else f"{table} where {self.where}",
            self._origin(),
            f"content sha256:{self.contents.hash[:_SHOWN]}",
            f"chain {self.head.number} {self.head.sha256[:_SHOWN]}" if self.head else NO_CHAIN,
            f"jobforge {self.jobforge_version}, {_moment(self.cited_at)}",
        ]
        return on_one_line(SEPARATOR.join(parts))

    def _origin(self) -> str:
        rows = _count(self.rows, "row")
        files = _count(len({(source.name, source.sha256) for source in self.sources}), "file")
        if not self.rows:
            return rows
        if self.records is None:
            batches = _count(len({source.batch_id for source in self.sources}), "batch", "batches")
            return f"{rows} of {batches} with {files}, records unknown"
        told = f"{rows} of {_count(self.records, 'source record')} in {files}"
        if self.rows_without_records:
            told += f", records unknown for {_count(self.rows_without_records, 'row')}"
        return told


def on_one_line(text: str) -> str:
    """A text without line breaks and signs that nobody sees, whatever a condition or value has."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _moment(at: AwareDatetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
