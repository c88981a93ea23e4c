"""The records of the batches, held against the chain."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from decimal import Decimal
from itertools import combinations
from math import isfinite
from pathlib import Path

from jobforge.errors import RecordError
from jobforge.pipeline.audit.chained import Told
from jobforge.pipeline.audit.findings import Findings
from jobforge.pipeline.audit.going_on import GoingOn
from jobforge.pipeline.chain import ChainEntry
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.models import BatchRecord, LayerTransitionLog, TransitionStatus
from jobforge.pipeline.records import parse_record
from jobforge.storage.debris import is_temporary
from jobforge.storage.paths import relative_to_root

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9][0-9.eE+-]*')
"""A string or a number of a JSON text."""


def check_records(
    config: PipelineConfig, told: Told, going_on: GoingOn, findings: Findings
) -> None:
    """Check that the record of each batch says what the chain says, and nothing else."""
    by_batch: dict[str, list[ChainEntry]] = defaultdict(list)
    for sealed in told.entries:
        by_batch[sealed.entry.batch_id].append(sealed.entry)
    for batch_id, entries in by_batch.items():
        path = config.catalog_lineage_path() / f"{batch_id}.json"
        _check_record(config, path, entries, going_on, findings)
    folder = config.catalog_lineage_path()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        batch_id = path.name.removesuffix(".json")
        if batch_id in by_batch or is_temporary(path.name):
            continue
        if batch_id not in {batch for batch, _ in going_on.transitions}:
            name = relative_to_root(path, config.data_root)
            findings.add("unknown", name, "the chain has no transition of this batch")


def _check_record(
    config: PipelineConfig,
    path: Path,
    entries: list[ChainEntry],
    going_on: GoingOn,
    findings: Findings,
) -> None:
    name = relative_to_root(path, config.data_root)
    try:
        data = path.read_bytes()
        record = parse_record(path, data, BatchRecord)
    except FileNotFoundError:
        findings.add("missing", name, "the record of the batch is missing", entries[0].number)
        return
    except (OSError, RecordError) as error:
        findings.add("record", name, str(error), entries[0].number)
        return
    if not is_as_written(data):
        findings.add("record", name, "it is not in the form that jobforge writes")
    _check_head(record, name, entries, findings)
    _check_waivers(record, name, entries, going_on, findings)
    _check_transitions(record, name, entries, going_on.transitions, findings)


def _check_transitions(
    record: BatchRecord,
    name: str,
    entries: list[ChainEntry],
    under_way: frozenset[tuple[str, str]],
    findings: Findings,
) -> None:
    """Each transition of a record has to be one of the chain, as it was sealed, and in order."""
    for entry in entries:
        log = entry.log
        there = record.transition(log.transition_id) if log is not None else None
        if log is not None and there is None:
            text = f"the transition to {log.target_layer} is missing"
            findings.add("record", name, text, entry.number)
        elif log is not None and there is not None and there != log:
            text = f"the transition to {log.target_layer} has {_differing(there, log)}"
            findings.add("record", name, text, entry.number)
    sealed = {entry.log.transition_id for entry in entries if entry.log is not None}
    for log in record.transitions:
        if log.transition_id in sealed:
            continue
        if (record.batch_id, log.transition_id) not in under_way:
            findings.add("record", name, f"the chain has no such transition to {log.target_layer}")
    for one, other in combinations(record.transitions, 2):
        if other.completed_at is not None and other.completed_at < one.started_at:
            findings.add("record", name, "its transitions are not in the order of their times")
            break


def _check_head(
    record: BatchRecord, name: str, entries: list[ChainEntry], findings: Findings
) -> None:
    """What a record says of the batch as a whole."""
    first = entries[0]
    ingested = [entry.sources for entry in entries if entry.log is not None and entry.sources]
    said = {
        "batch_id": (record.batch_id, first.batch_id),
        "table": (record.table, first.table),
        "domain": (record.domain, first.domain),
        "created_at": (record.created_at, first.batch_created_at),
        "cures": (record.cures, first.cures),
    }
    if ingested:
        said["sources"] = (record.sources, ingested[-1])
    for field, (there, wanted) in said.items():
        if there != wanted:
            findings.add("record", name, f"{field} is not what the chain says", first.number)
    if record.format_version not in {entry.format_version for entry in entries}:
        findings.add("record", name, "its format_version is another one", first.number)


def _check_waivers(
    record: BatchRecord,
    name: str,
    entries: list[ChainEntry],
    going_on: GoingOn,
    findings: Findings,
) -> None:
    """The waivers of a record have to be those of the chain, and in order."""
    sealed = [entry.waiver for entry in entries if entry.waiver is not None]
    there = [
        waiver
        for waiver in record.waivers
        if waiver in sealed or (record.batch_id, waiver) not in going_on.waivers
    ]
    # Of two at the same time, the first in the record may be the second to be sealed.
    if there not in (sealed, sorted(sealed, key=lambda waiver: waiver.waived_at)):
        findings.add("record", name, "waivers is not what the chain says", entries[0].number)


def _differing(there: LayerTransitionLog, sealed: LayerTransitionLog) -> str:
    """The fields in which two logs differ."""
    if there.status is TransitionStatus.RUNNING:
        return "no outcome"
    one, other = there.model_dump(), sealed.model_dump()
    return "another " + ", ".join(field for field in one if one[field] != other[field])


def is_as_written(data: bytes) -> bool:
    """Whether the text of a record is the one that jobforge makes of what it says."""
    text = json.dumps(json.loads(data), indent=2, ensure_ascii=False) + "\n"
    return text == _TOKEN.sub(_as_python, data.decode())


def _as_python(token: re.Match[str]) -> str:
    """A number as `json` of Python writes it, where a writer of records wrote it as it is."""
    text = token[0]
    if text.startswith('"') or text.lstrip("-").isdecimal():
        return text
    value = float(text)
    return repr(value) if isfinite(value) and text in _written(value) else text


def _written(value: float) -> set[str]:
    """Every text that the writers of records make of a number.

    They all give the fewest digits that tell it from others. Some write 0.00001 and
    others 1e-05, some 1e+16 and others 1e16: that changes from version to version.
    """
    exact = Decimal(repr(value))
    plain = f"{exact:f}"
    digits, _, exponent = f"{exact.normalize():e}".partition("e")
    return {
        repr(value),
        plain if "." in plain else f"{plain}.0",
        f"{digits}e{int(exponent)}",
        f"{digits}e{int(exponent):+d}",
    }
