"""`impact`: from a record of a source to what became of it in every layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobforge.errors import InvalidOptionError, RecordNotFoundError, nearest
from jobforge.pipeline import lineage
from jobforge.pipeline.audit.fates import Fates
from jobforge.pipeline.audit.places import places_of, with_rebuilt
from jobforge.pipeline.audit.private import NOTHING, hidden_of
from jobforge.pipeline.audit.routes import Rows, key_of
from jobforge.pipeline.audit.traced import Impact, RecordImpact, RecordName
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.models import BatchRecord
from jobforge.pipeline.rejects.snapshot import Snapshot, standing_moves
from jobforge.pipeline.rejects.state import curers
from jobforge.pipeline.root import check_root
from jobforge.pipeline.source_places import find_records


@dataclass(frozen=True)
class Question:
    """Which records of a source.

    Args:
        file: The source, by its name, or by the path that it was read from.
        line: A physical line, from 1; of a workbook a row of the sheet.
        record: A record number, from 1, in place of a line.
        batch_id: The batch; every one that read such a file unless given.
        personal: Whether to show the values of personal columns.
        verify: Whether to hash large sources before they are looked into.
    """

    file: str
    line: int | None = None
    record: int | None = None
    batch_id: str | None = None
    personal: bool = False
    verify: bool = False


def impact(config: PipelineConfig, asked: Question) -> Impact:
    """What became of records of a source, in every batch that read it.

    Raises:
        RecordNotFoundError: No batch read such a file, or no record stands there.
        InvalidOptionError: The line or record makes no sense.
        TableNotFoundError: There is no such batch.
        StorageError: A record or a file cannot be read.
    """
    _check(asked)
    check_root(config)
    snapshot = Snapshot.of(config)
    found: list[RecordImpact] = []
    why: list[str] = []
    for record, name in _batches(config, snapshot, asked):
        numbers, reason = _numbers(config, record, name, asked)
        why += [reason] if reason else []
        found += [_impact(config, snapshot, record, name, n, asked) for n in numbers]
    if not found:
        place = f"line {asked.line}" if asked.line is not None else f"record {asked.record}"
        raise RecordNotFoundError(
            f"{asked.file} has no record on {place}" + (f": {why[0]}" if why else ""),
            hint="name a record by its number, `_source_row`: --record",
        )
    return Impact(file=asked.file, line=asked.line, records=tuple(found))


def _check(asked: Question) -> None:
    if (asked.line is None) == (asked.record is None):
        raise InvalidOptionError(
            "say which record, in one way", hint="FILE:LINE, or FILE with --record"
        )
    number: object = asked.line if asked.line is not None else asked.record
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise InvalidOptionError(
            f"{'line' if asked.line is not None else 'record'} is {number!r}",
            hint="use a number from 1",
        )


def _batches(
    config: PipelineConfig, snapshot: Snapshot, asked: Question
) -> list[tuple[BatchRecord, str]]:
    """The batches that read a file, oldest first, and its name there.

    Raises:
        RecordNotFoundError: None did.
    """
    records: Sequence[BatchRecord] = snapshot.records
    if asked.batch_id is not None:
        records = [lineage.known(config, asked.batch_id)]
    found = [
        (record, info.name)
        for record in records
        for info in record.sources
        if asked.file in (info.name, info.path) or _same_path(asked.file, info.path)
    ]
    if not found:
        known = sorted({info.name for record in records for info in record.sources})
        raise RecordNotFoundError(
            f"no batch read a file {asked.file}",
            hint=nearest(Path(asked.file).name, known) if known else "nothing was ingested yet",
        )
    return found


def _same_path(asked: str, read: str) -> bool:
    """Whether two paths are those of one file, as far as their text tells."""
    return Path(asked).absolute() == Path(read).absolute()


def _numbers(
    config: PipelineConfig, record: BatchRecord, name: str, asked: Question
) -> tuple[Sequence[int], str]:
    """The records that are asked for, and why they cannot be told where they cannot."""
    if asked.line is not None:
        there = find_records(config, record, name, asked.line, verify=asked.verify)
        return there.records, there.why
    number = asked.record or 0
    # Records that the reader kept out count too.
    rows = next(info.rows for info in record.sources if info.name == name)
    return ([number], "") if number <= rows else ((), f"it has {rows:,} records")


def _impact(
    config: PipelineConfig,
    snapshot: Snapshot,
    record: BatchRecord,
    source_file: str,
    number: int,
    asked: Question,
) -> RecordImpact:
    name = RecordName(batch_id=record.batch_id, source_file=source_file, source_row=number)
    rows = Rows(snapshot)
    moves = standing_moves(record)
    down = list(reversed(moves.values()))
    hidden = NOTHING if asked.personal else hidden_of(rows, record, down)
    (place,) = places_of(config, record, source_file, [number], verify=asked.verify)
    staged = moves.get(Layer.STAGED)
    cells = rows.find(staged, [name]) if staged is not None and staged.target_file else None
    own: list[dict[str, Any]] = (cells or {}).get(key_of(name), [])
    rebuilt = hidden.masked(Layer.STAGED, own[0]) if own else None
    fates = Fates(config, rows, record, name, hidden)
    return RecordImpact(
        name=name,
        table=record.table,
        domain=record.domain,
        source=with_rebuilt(place, rebuilt, private=hidden.any_in(Layer.STAGED)),
        layers=tuple(fates.all()),
        cured_by=tuple(curers(snapshot, record)),
    )
