"""The files of a pack: plain JSON, CSV, YAML and text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import polars as pl

from jobforge.contracts.contract import Contract
from jobforge.errors import JobforgeError
from jobforge.pipeline import chain
from jobforge.pipeline.accounts import BatchAccount
from jobforge.pipeline.audit.pack_evidence import NOT_RUN, Evidence
from jobforge.pipeline.audit.pack_private import without_texts, without_values
from jobforge.pipeline.config import PipelineConfig


def evidence_files(
    config: PipelineConfig, evidence: Evidence, *, personal: bool
) -> dict[str, bytes]:
    """Everything that was found, by name in the pack.

    Args:
        config: Where the data root is.
        evidence: What was found.
        personal: Whether values of personal columns may be told.

    Raises:
        RecordError: An entry of the chain cannot be read any more.
    """
    files = dict(evidence.originals)
    files["batches.csv"] = _table(_BATCHES, _batches(evidence))
    files |= dict(_contracts(evidence))
    for account in evidence.accounts:
        files[f"accounts/{account.batch_id}.json"] = account.as_json()
    files["accounts.csv"] = _table(_ACCOUNTS, _account_lines(evidence.accounts))
    for batch, rows in evidence.rejects.items():
        files[f"rejects/{batch}.csv"] = rows.write_csv(quote_style="necessary").encode()
    files["rejects.csv"] = _table(_REJECTS, _reject_counts(evidence))
    files["edges.csv"] = _table(
        ("batch_id", "layer", "step", "outcome", "records"),
        ((e.batch_id, e.layer, e.step, e.outcome, e.records) for e in evidence.edges),
    )
    files["files.csv"] = _table(_FILES, _data_files(config, evidence))
    own = {sealed.entry.number for sealed in evidence.entries}
    for number in own:
        name = chain.chain_entry_path(config, number).name
        files[f"chain/{name}"] = chain.read_bytes(config, number)
    files["chain/hashes.csv"] = _table(
        ("number", "sha256", "previous", "in_pack"),
        (
            (s.entry.number, s.sha256, s.entry.previous, "yes" if s.entry.number in own else "no")
            for s in evidence.chain
        ),
    )
    verification = evidence.verification
    files["verify.json"] = _json(
        {"sound": verification.sound, **verification.model_dump(mode="json")}
    )
    files["replays.json"] = _json(list(_replays(evidence, personal=personal)))
    return files


_BATCHES = (
    "batch_id", "created_at", "status", "operations", "sources", "source_sha256", "cures", "replay",
)  # fmt: skip
_ACCOUNTS = (
    "batch_id", "layer", "status", "rows_in", "rows_out", "way", "name", "rows", "stopped_by",
)  # fmt: skip
_REJECTS = ("batch_id", "layer", "rule", "state", "reasons")
_FILES = ("file", "sha256", "size_bytes", "entry", "state")


def _batches(evidence: Evidence) -> Iterator[Sequence[object]]:
    for record in evidence.scope.records:
        operations = dict.fromkeys(str(log.operation) for log in record.transitions)
        yield (
            record.batch_id,
            record.created_at.isoformat(),
            record.status,
            " ".join(operations),
            " | ".join(source.name for source in record.sources),
            " | ".join(source.sha256 for source in record.sources),
            record.cures,
            evidence.verdict(record.batch_id),
        )


def _contracts(evidence: Evidence) -> Iterator[tuple[str, bytes]]:
    """The contract of each schema version, in both forms."""
    scope = evidence.scope
    for version in evidence.schemas.versions if evidence.schemas is not None else ():
        if version.contract is None:
            continue
        name = f"contracts/v{version.number}"
        yield f"{name}.json", _json(version.contract)
        try:
            text = Contract.from_dict(version.contract).to_odcs(scope.table, scope.domain)
        except JobforgeError as error:  # a column of a type that the standard cannot say
            yield f"{name}.odcs.txt", f"it has no form in the standard: {error.message}\n".encode()
        else:
            yield f"{name}.odcs.yaml", text.encode()


def _account_lines(accounts: Iterable[BatchAccount]) -> Iterator[Sequence[object]]:
    for account in accounts:
        for layer in account.layers:
            about = (account.batch_id, layer.layer, layer.status, layer.rows_in, layer.rows_out)
            for line in layer.lines:
                yield (*about, line.way, line.name, line.rows, layer.stopped_by)
            if not layer.lines:
                yield (*about, None, None, None, layer.stopped_by)


def _reject_counts(evidence: Evidence) -> Iterator[Sequence[object]]:
    keys = ["layer", "rule", "state"]
    for batch, rows in evidence.rejects.items():
        for counted in rows.group_by(keys).agg(pl.len()).sort(keys).iter_rows():
            yield (batch, *counted)


def _data_files(config: PipelineConfig, evidence: Evidence) -> Iterator[Sequence[object]]:
    """Every file that the batches made, with the hash that the chain has of it."""
    removed = {
        gone.file
        for sealed in evidence.chain
        if sealed.entry.log is not None
        for gone in sealed.entry.log.removed
    }
    for sealed in evidence.entries:
        for file in sealed.entry.files:
            state = "there" if (config.data_root / file.file).is_file() else "missing"
            if state == "missing" and file.file in removed:
                state = "removed on purpose"
            yield file.file, file.sha256, file.size_bytes, sealed.entry.number, state


def _replays(evidence: Evidence, *, personal: bool) -> Iterator[dict[str, Any]]:
    for record in evidence.scope.records:
        replay = evidence.replays.get(record.batch_id)
        if replay is None:
            yield {"batch_id": record.batch_id, "verdict": NOT_RUN}
        else:
            told = replay.model_dump(mode="json")
            told = told if personal else without_values(told)
            yield without_texts(told) if evidence.discreet and not personal else told


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue().encode()
