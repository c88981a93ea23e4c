"""What a transition had beside the rows of its batch: contract, referenced keys, its table."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from jobforge.contracts.checks import unique_columns
from jobforge.contracts.contract import Contract
from jobforge.errors import InvalidSchemaError, JobforgeError, StorageError
from jobforge.pipeline import reads, schemas
from jobforge.pipeline.audit.replay_code import NotRecoverableError
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.footer import open_layer_file, read_footer
from jobforge.pipeline.layers.base import contract_of
from jobforge.pipeline.models import InputRef, LayerTransitionLog, Operation, TransitionStatus
from jobforge.pipeline.rejects.snapshot import Snapshot
from jobforge.pipeline.steps import Transform
from jobforge.pipeline.versions import table_store
from jobforge.quality.references import References
from jobforge.storage.delta import DeltaStore
from jobforge.storage.publish import make_folder
from jobforge.storage.store import Change, Commit, Version


def contract_for(snapshot: Snapshot, log: LayerTransitionLog) -> Contract | None:
    """The contract that a transition to bronze went by.

    Raises:
        NotRecoverableError: It is nowhere as the record has it.
    """
    if log.contract is None:
        if log.status is TransitionStatus.FAILED and log.target_file is None:
            raise NotRecoverableError("the schema of an attempt that failed is not recorded")
        return None
    other = None
    for declared in _contracts(snapshot, log):
        try:
            found = Contract.from_dict(declared)
        except InvalidSchemaError:
            continue
        if found.sha256 == log.contract.sha256:
            return found
        other = other or found.sha256
    wanted = f"{log.contract.version}, {log.contract.sha256[:12]}"
    if other is not None:
        raise NotRecoverableError(
            f"the contract that is kept ({other[:12]}) is not the one that it went by ({wanted})"
        )
    raise NotRecoverableError(f"the contract that it went by ({wanted}) is not kept anywhere")


def _contracts(snapshot: Snapshot, log: LayerTransitionLog) -> Iterator[dict[str, object]]:
    """Contracts that are kept: in the files of the transition, and in the history of the table."""
    for file in (log.target_file, log.quarantine_file):
        if file is None:
            continue
        try:
            kept = read_footer(snapshot.path(file)).contract
        except StorageError:
            continue
        if kept is not None:
            yield kept
    history = schemas.load(snapshot.config, log.domain, log.table)
    for version in history.versions if history is not None else ():
        if version.contract is not None:
            yield version.contract


def with_keys(
    config: PipelineConfig, log: LayerTransitionLog, steps: Sequence[Transform]
) -> list[Transform]:
    """The steps, with the keys that they refer to as these were.

    Raises:
        NotRecoverableError: The version that they were read from no longer opens.
    """
    inputs = iter(log.inputs[1:])
    found: list[Transform] = []
    for step in steps:
        if isinstance(step, References) and isinstance(step.to, str):
            read = next(inputs, None)
            if read is None:
                raise NotRecoverableError(f"the record does not say what {step.name} read")
            found.append(_resolved(config, step, read))
        else:
            found.append(step)
    return found


def _resolved(config: PipelineConfig, step: References, read: InputRef) -> References:
    place = f"{read.layer} of {read.domain}/{read.table}"
    if read.version is None:
        raise NotRecoverableError(f"{step.name} read {place}, which has no versions")
    try:
        rows = reads.read(config, f"{read.domain}/{read.table}", read.layer, read.version)
        return step.resolved(rows)
    except JobforgeError as error:
        raise NotRecoverableError(
            f"{step.name} read version {read.version} of {place}: {error.message}"
        ) from error


def put_base(
    config: PipelineConfig, log: LayerTransitionLog, scratch: PipelineConfig, given: Path
) -> None:
    """Let a table have what it had when the rows of an append were judged by it.

    They are where a key has to be unique in the whole table; a batch that was
    refused may have been refused for the columns that the table had.

    Raises:
        NotRecoverableError: The version that it had no longer opens.
    """
    if log.operation is not Operation.APPEND:
        return
    failed = log.status is TransitionStatus.FAILED
    if not failed and not (log.target_layer is Layer.SILVER and _has_keys(given)):
        return
    store = table_store(config, log.target_layer, log.domain, log.table)
    try:
        number = _before(store, log)
        if number:
            _copy(store, store.version(number), scratch, log)
    except StorageError as error:
        raise NotRecoverableError(
            f"the table that it was appended to no longer opens as it was: {error.message}"
        ) from error


def _has_keys(given: Path) -> bool:
    contract = contract_of(open_layer_file(given, Layer.BRONZE))
    return contract is not None and bool(unique_columns(contract))


def _before(store: DeltaStore, log: LayerTransitionLog) -> int | None:
    """The version that a transition found: an append that compares keys is refused on another."""
    if log.table_version is not None:
        return log.table_version - 1
    older = [number for number, commit in store.commits() if commit.published_at <= log.started_at]
    return max(older, default=None)


def _copy(
    store: DeltaStore, version: Version, scratch: PipelineConfig, log: LayerTransitionLog
) -> None:
    schema = store.scan(version).collect_schema()
    there = table_store(scratch, log.target_layer, log.domain, log.table)
    make_folder(there.folder)
    for file in version.files:
        old, new = store.folder / file.name, there.folder / file.name
        try:
            new.hardlink_to(old)
        except OSError:  # another file system
            shutil.copyfile(old, new)
    files = tuple(replace(file, order=0) for file in version.files)
    about = version.commit
    commit = Commit(
        operation=Operation.ADOPT,
        batch_id=about.batch_id,
        transition_id=about.transition_id,
        started_at=about.started_at,
        published_at=about.published_at,
    )
    there.publish(Change(commit, files, schema), None)
