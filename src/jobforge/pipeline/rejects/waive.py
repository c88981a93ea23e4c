"""Rejected rows that somebody decides to leave out for good."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from jobforge.errors import InvalidOptionError, RecordNotFoundError, WriteError
from jobforge.pipeline import chain, lineage, waiving
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.models import BatchRecord, RecordRef, Waiver
from jobforge.pipeline.provenance import SOURCE_FILE, SOURCE_ROW
from jobforge.pipeline.rejects.snapshot import Snapshot
from jobforge.pipeline.rejects.state import (
    RejectFile,
    RejectState,
    need_identity,
    reject_files,
    states,
)
from jobforge.pipeline.transition import Clock
from jobforge.storage.debris import Marker
from jobforge.storage.publish import SPACE
from jobforge.storage.sync import sync_file


def waive_rejects(
    config: PipelineConfig,
    batch_id: str,
    by: str,
    why: str,
    clock: Clock,
    layer: Layer | None = None,
    records: Sequence[int] | None = None,
    source_file: str | None = None,
) -> list[Waiver]:
    """Decide that rejected rows stay out: the record of the batch says who and why.

    The rows stay in quarantine; they no longer count as open.

    Args:
        config: Where the data root is.
        batch_id: The batch.
        by: Who answers for it.
        why: The reason; put no personal data in it.
        clock: Gives the time in UTC.
        layer: The layer that rejected them; every one unless given.
        records: `_source_row` of the rows; every open row unless given.
        source_file: `_source_file` of the rows, where the batch has several.

    Returns:
        A waiver for each layer that has such rows.

    Raises:
        InvalidOptionError: `by` or `why` says nothing, or the rows have no numbers.
        RecordNotFoundError: No such row is open; nothing is waived.
        TableNotFoundError: There is no such batch.
    """
    said: tuple[tuple[str, object], ...] = (("by", by), ("why", why))
    for option, text in said:
        if not isinstance(text, str) or not text.strip():
            raise InvalidOptionError(
                f"{option} is {text!r}", hint="say who answers for it, and why"
            )
    _check_records(records)
    waiving.recover_waivers(config, clock)
    made: list[Waiver] = []
    markers: list[Marker] = []

    def change(record: BatchRecord) -> BatchRecord:
        made.clear()
        snapshot = Snapshot.of(config)
        for file in reject_files(snapshot, record, layer):
            waiver = _waiver(snapshot, file, by, why, clock, records, source_file)
            made.extend([waiver] if waiver is not None else [])
        missing = set(records or ()) - {r.source_row for w in made for r in w.records or ()}
        if not made or missing:
            what = f"record {min(missing)}" if missing else "no rejected record"
            raise RecordNotFoundError(
                f"{what} of batch {batch_id} is {'not ' if missing else ''}open",
                hint="nothing was waived; `jobforge quarantine list` says how they stand",
            )
        if not markers:
            markers.append(waiving.mark_waivers(config, record.batch_id))
        _plan(config, markers[0], record, made)
        return record.model_copy(update={"waivers": (*record.waivers, *made)})

    try:
        lineage.amend(config, batch_id, change)
    finally:  # whatever broke it off, what the record says by now is sealed
        for marker in markers:
            waiving.settle_waivers(config, marker, clock)
    return made


def _plan(
    config: PipelineConfig, marker: Marker, record: BatchRecord, waivers: Sequence[Waiver]
) -> None:
    """Let the marker hold what the record is about to get, on the disk before the record is.

    Raises:
        WriteError: The operating system refused the write.
    """
    planned = waiving.PlannedWaivers(
        batch_id=record.batch_id, waivers=tuple(waivers), after=chain.newest_number(config)
    )
    try:
        marker.path.write_bytes(planned.as_json())
        sync_file(marker.path)
    except OSError as error:
        raise WriteError(
            f"{marker.path} could not be written: {error.strerror}", hint=SPACE
        ) from error


def _check_records(records: object) -> None:
    whole = isinstance(records, (list, tuple)) and all(
        isinstance(row, int) and not isinstance(row, bool) and row > 0 for row in records
    )
    if records is not None and (not whole or not records):
        raise InvalidOptionError(f"records is {records!r}", hint="use numbers from 1")


def _waiver(
    snapshot: Snapshot,
    file: RejectFile,
    by: str,
    why: str,
    clock: Clock,
    records: Sequence[int] | None,
    source_file: str | None,
) -> Waiver | None:
    """The waiver for one file; None where none of the rows is open in it."""
    standing = states(snapshot, file)
    rows = standing.filter(standing["state"] == RejectState.OPEN)
    refs = None
    besides: tuple[RecordRef, ...] = ()
    if records is None and source_file is None and SOURCE_ROW in standing.columns:
        settled = (RejectState.CURED, RejectState.WAIVED)
        besides = _refs(standing.filter(standing["state"].is_in(settled)))
    if records is not None or source_file is not None:
        need_identity(file)
        if records is not None:
            rows = rows.filter(rows[SOURCE_ROW].is_in(list(records)))
        if source_file is not None:
            rows = rows.filter(rows[SOURCE_FILE] == source_file)
        refs = _refs(rows)
        if records is not None and len({ref.source_row for ref in refs}) < len(refs):
            raise InvalidOptionError(
                "several source files have a record of that number",
                hint="nothing was waived; say which: source_file=...",
            )
    if not rows.height:
        return None
    return Waiver(
        waived_at=clock(),
        by=by,
        why=why,
        layer=file.log.target_layer,
        quarantine_file=str(file.log.quarantine_file),
        rows=rows.height,
        records=refs,
        besides=besides,
    )


def _refs(rows: pl.DataFrame) -> tuple[RecordRef, ...]:
    return tuple(
        RecordRef(source_file=name, source_row=number)
        for name, number in rows.select(SOURCE_FILE, SOURCE_ROW).iter_rows()
    )
