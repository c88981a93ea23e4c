"""Waivers on their way into the record of a batch and the chain.

A waiver has a marker, `catalog/running/{batch}.{any}.waiver`, locked for as long as its
process lives. It holds what is about to be written into the record. Where the process died
between the record and the chain, the next run seals those waivers of the marker that the
record has, and no others: what somebody wrote into a record by hand stays without an entry.
"""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from pydantic import NonNegativeInt

from jobforge.errors import RecordError, StorageError
from jobforge.pipeline import chain, events, lineage
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.models import Waiver
from jobforge.pipeline.records import RECORD_FORMAT, Record, parse_record
from jobforge.storage.debris import Marker, mark, take_over
from jobforge.storage.paths import UUID
from jobforge.storage.rewrite import cannot_read

MARKER = re.compile(rf"{UUID}\.{UUID}\.waiver")


class PlannedWaivers(Record):
    """What a marker of a waiver holds.

    Args:
        batch_id: The batch.
        waivers: What its record is about to get.
        after: The newest entry of the chain before that.
    """

    format_version: int = RECORD_FORMAT
    batch_id: str
    waivers: tuple[Waiver, ...]
    after: NonNegativeInt


def waiving(config: PipelineConfig) -> list[tuple[Path, PlannedWaivers | None]]:
    """Every marker of a waiver, and what it holds; None where that cannot be read yet."""
    try:
        paths = sorted(config.running_path().iterdir())
    except OSError:
        return []
    found: list[tuple[Path, PlannedWaivers | None]] = []
    for path in paths:
        if MARKER.fullmatch(path.name):
            try:
                found.append((path, _planned(path)))
            except RecordError:
                found.append((path, None))
    return found


def _planned(path: Path) -> PlannedWaivers | None:
    """What a marker holds; None where it was not written to its end: then nothing was waived.

    Raises:
        RecordError: It cannot be read, or a newer jobforge wrote it.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise cannot_read(path, error) from error
    return parse_record(path, data, PlannedWaivers) if data.endswith(b"}\n") else None


def mark_waivers(config: PipelineConfig, batch_id: str) -> Marker:
    """Begin to waive rejects of a batch.

    Raises:
        DataRootError: The marker cannot be made.
    """
    return mark(config.running_path() / f"{batch_id}.{uuid.uuid4()}.waiver")


def settle_waivers(config: PipelineConfig, marker: Marker, clock: Callable[[], datetime]) -> None:
    """Seal what a marker meant to be waived, as far as it was, and end the marker.

    Raises:
        StorageError: The record or the chain cannot be read or written; the marker stays.
    """
    try:
        planned = _planned(marker.path)
        record = lineage.load(config, planned.batch_id) if planned is not None else None
        if planned is not None and record is not None:
            for waiver in planned.waivers:
                sealed = chain.is_waiver_sealed(config, record.batch_id, waiver, planned.after)
                if waiver in record.waivers and not sealed:
                    chain.add_waiver(config, record, waiver, clock)
        marker.done()
    finally:
        marker.release()


def recover_waivers(config: PipelineConfig, clock: Callable[[], datetime]) -> None:
    """Settle every waiver whose process is gone; what cannot be settled stays for later."""
    for path, _ in waiving(config):
        marker = take_over(path)
        if marker is None:
            continue
        told = _told(config, path)
        try:
            settle_waivers(config, marker, clock)
        except Exception as error:  # noqa: BLE001 - whatever it is, it stops nobody else
            first = (str(error).splitlines() or [""])[0]
            for about in told:
                events.tell("waiver.not_recovered", {**about, "error": first}, "warning")
        else:
            for about in told:
                events.tell("waiver.recovered", about, "warning")


def _told(config: PipelineConfig, path: Path) -> list[dict[str, object]]:
    """What events say of a marker: the transitions whose rejects it waives, as far as known."""
    batch_id = path.name.split(".")[0]
    found: dict[str, dict[str, object]] = {}
    record = None
    with contextlib.suppress(StorageError):
        record = lineage.load(config, batch_id)
    with contextlib.suppress(StorageError):
        planned = _planned(path)
        for waiver in planned.waivers if planned is not None else ():
            about: dict[str, object] = {"batch": batch_id, "layer": str(waiver.layer)}
            for log in record.transitions if record is not None else ():
                about = log.about if log.quarantine_file == waiver.quarantine_file else about
            found[waiver.quarantine_file] = about
    table = {} if record is None else {"table": f"{record.domain}/{record.table}"}
    return list(found.values()) or [{"batch": batch_id, **table}]
