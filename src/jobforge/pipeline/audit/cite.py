"""`cite`: a figure of a table, and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from jobforge._version import __version__
from jobforge.errors import VersionNotFoundError
from jobforge.pipeline import chain, reads
from jobforge.pipeline.audit.citation import Citation
from jobforge.pipeline.audit.cite_files import cited_files, damage_told
from jobforge.pipeline.audit.cite_records import origin_of
from jobforge.pipeline.audit.cite_rows import chosen_rows, figures
from jobforge.pipeline.audit.cite_statement import parse_statement
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.content import contents_of
from jobforge.pipeline.query import versioned
from jobforge.pipeline.transition import Clock, utc_now
from jobforge.pipeline.versions import table_store


def cite(
    config: PipelineConfig,
    sql: str,
    *,
    version: int | None = None,
    as_of: datetime | None = None,
    clock: Clock = utc_now,
) -> Citation:
    """Answer a statement, and say what the answer rests on. Reads only.

    Args:
        config: Where the data root is.
        sql: `SELECT expression FROM table [WHERE condition]`, in the dialect of Polars
            SQL: `revenue` or `gold.revenue`, `silver.orders`, `gold."sales/revenue"`.
        version: Number of the version; the newest unless given.
        as_of: The version that was the newest at this time; with a time zone.
        clock: Gives the time in UTC.

    Raises:
        InvalidQueryError: The statement is of another form, fails, or its result is
            no single row.
        UnknownColumnError: It names a column that the table does not have.
        TableNotFoundError: There is no such table, or it never reached the layer.
        VersionNotFoundError: There is no such version, or none that old.
        VersionRemovedError: Its files were removed by `clean` or `erase`.
        TableDamagedError: A file is not what was published, or cannot be read.
    """
    statement = parse_statement(sql)
    layer = versioned(statement.layer)
    opened = _open(config, statement.table, layer, version, as_of)
    files = cited_files(config, opened.files)
    with damage_told(config, files):
        rows = chosen_rows(opened.frame, statement)
        values = figures(rows, statement)
        contents = contents_of(rows, by_record=False)
        origin = origin_of(config, opened.domain, opened.table, opened.files, rows)
    return Citation(
        statement=statement.text,
        where=statement.where,
        values=values,
        table=opened.table,
        domain=opened.domain,
        layer=layer,
        version=opened.version,
        rows=contents.rows,
        records=origin.records,
        rows_without_records=origin.rows_without_records,
        sources=origin.sources,
        contents=contents,
        files=files,
        groups=origin.groups,
        head=chain.head(config),
        cited_at=clock(),
        jobforge_version=__version__,
        polars_version=pl.__version__,
    )


@dataclass(frozen=True)
class _Opened:
    """A version, with the names of its files relative to the data root."""

    domain: str
    table: str
    version: int
    files: tuple[str, ...]
    frame: pl.LazyFrame


def _open(
    config: PipelineConfig,
    table: str,
    layer: Layer,
    version: int | None,
    as_of: datetime | None,
) -> _Opened:
    seen = reads.look(config, table, layer, version, as_of)
    if seen.version is None:
        raise VersionNotFoundError(
            f"{layer} of {seen.domain}/{seen.table} has no versions yet",
            hint="an older jobforge wrote it; the next promote makes versions",
        )
    made = table_store(config, layer, seen.domain, seen.table).version(seen.version)
    folder = f"{layer}/{seen.domain}/{seen.table}"
    files = tuple(f"{folder}/{file.name}" for file in made.files)
    return _Opened(seen.domain, seen.table, seen.version, files, seen.frame)
