"""Which source records some rows of a version were made of, as far as that is known.

Rows with `_source_row` name their record. Rows of an aggregate with a declared
grain have their records in the file of groups, by the columns of the grain. Of
all others the batch is known, and nothing is made up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jobforge.errors import RecordError
from jobforge.pipeline import lineage
from jobforge.pipeline.audit.citation import CitedFile, CitedSource
from jobforge.pipeline.audit.cite_files import cited_files, damage_told
from jobforge.pipeline.audit.routes import makers_of
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.provenance import BATCH_ID, SOURCE_FILE, SOURCE_ROW
from jobforge.pipeline.rejects.snapshot import Snapshot
from jobforge.quality.columns import columns

_RECORD = (BATCH_ID, SOURCE_FILE, SOURCE_ROW)


@dataclass(frozen=True)
class Origin:
    """What some rows were made of."""

    records: int | None
    rows_without_records: int
    sources: tuple[CitedSource, ...]
    groups: tuple[CitedFile, ...]
    """The files by which rows of aggregates have their records."""


def origin_of(
    config: PipelineConfig, domain: str, table: str, files: Sequence[str], rows: pl.LazyFrame
) -> Origin:
    """The source records of rows.

    Args:
        config: Where the data root is.
        domain: Business domain of the table.
        table: Its name.
        files: The files of the version, relative to the data root.
        rows: Rows of them.

    Raises:
        TableDamagedError: A file of groups is gone, is not what was published, or cannot be read.
        RecordError: A record cannot be read, or is missing.
    """
    records = list(lineage.all_records(config))
    own = tuple(r for r in records if (r.domain, r.table) == (domain, table))
    snapshot = Snapshot(config, own)
    makers = {log.batch_id: log for log in makers_of(snapshot, files)}
    # A row of an aggregate may have kept the number of one of its records.
    grouped = [batch for batch, log in makers.items() if log.groups_file is not None and log.grain]
    identified = SOURCE_ROW in rows.collect_schema()
    by_row = pl.lit(value=identified) & ~pl.col(BATCH_ID).is_in(grouped).fill_null(value=False)
    by_row &= pl.col(SOURCE_ROW).is_not_null() if identified else pl.lit(value=True)
    named, nameless = rows.filter(by_row), rows.filter(~by_row)
    counted = nameless.group_by(BATCH_ID).len().sort(BATCH_ID).collect(engine="streaming")
    parts = [named.select(_RECORD)] if identified else []
    unknown: dict[str, int] = {}
    names: list[str] = []
    for batch, number in counted.iter_rows():
        log = makers.get(batch)
        if log is None or log.groups_file is None or not log.grain:
            unknown[batch] = number
            continue
        path = snapshot.path(log.groups_file)
        names.append(path.relative_to(config.data_root).as_posix())
        parts.append(_groups(path, log.grain, nameless.filter(pl.col(BATCH_ID) == batch)))
    groups = cited_files(config, names)
    with damage_told(config, groups):
        known = _counted(parts)
    _check_recorded({record.batch_id for record in records}, [*unknown, *(b for b, _ in known)])
    sources = [*_known_sources(snapshot, known), *_possible_sources(snapshot, unknown)]
    total = sum(known.values())
    return Origin(
        records=total if total or not unknown else None,
        rows_without_records=sum(unknown.values()),
        sources=tuple(sources),
        groups=groups,
    )


def _check_recorded(recorded: set[str], named: Sequence[str | None]) -> None:
    """Refuse to count by records that are gone.

    Raises:
        RecordError: The record of a batch is missing.
    """
    for batch in named:
        if batch is not None and batch not in recorded:
            raise RecordError(
                f"the record of batch {batch}, which rows of the table name, is missing",
                hint="restore it from a backup; `jobforge verify` says what else is gone",
            )


def _groups(path: Path, grain: Sequence[str], rows: pl.LazyFrame) -> pl.LazyFrame:
    """The records of the groups of a batch that have a row here."""
    keys = rows.select(columns(grain)).unique()
    groups = pl.scan_parquet(path, glob=False)
    return groups.join(keys, on=list(grain), how="semi", nulls_equal=True).select(_RECORD)


def _counted(parts: Sequence[pl.LazyFrame]) -> dict[tuple[str, str], int]:
    """Different records by batch and source file."""
    if not parts:
        return {}
    keys = [BATCH_ID, SOURCE_FILE]
    counted = pl.concat(parts).unique().group_by(keys).len().sort(keys)
    found = counted.collect(engine="streaming")
    return {(batch, file): number for batch, file, number in found.iter_rows()}


def _known_sources(snapshot: Snapshot, known: dict[tuple[str, str], int]) -> Iterator[CitedSource]:
    hashes = _hashes(snapshot)
    for (batch, name), number in known.items():
        digest = hashes.get(batch, {}).get(name)
        yield CitedSource(name=name, sha256=digest, batch_id=batch, records=number)


def _possible_sources(snapshot: Snapshot, unknown: dict[str, int]) -> Iterator[CitedSource]:
    """Every source file of batches whose rows name no record: any of them may have gone in."""
    hashes = _hashes(snapshot)
    for batch in unknown:
        for name, digest in sorted(hashes.get(batch, {}).items()):
            yield CitedSource(name=name, sha256=digest, batch_id=batch, records=None)


def _hashes(snapshot: Snapshot) -> dict[str, dict[str, str]]:
    """The SHA-256 of each source file, by batch and name."""
    return {
        record.batch_id: {source.name: source.sha256 for source in record.sources}
        for record in snapshot.records
    }
