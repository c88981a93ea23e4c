"""Entries of a Delta log, as `deltalake` reads and makes them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import polars as pl
from deltalake import CommitProperties, DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from jobforge._version import __version__
from jobforge.errors import JobforgeError, TableDamagedError, WriteError
from jobforge.storage.delta.log import KEY
from jobforge.storage.delta.types import log_schema
from jobforge.storage.publish import SPACE
from jobforge.storage.store import Change, DataFile

Result = TypeVar("Result")

_FOREVER = "interval 36500 days"
_PROPERTIES = {
    # Without these, time travel ends after thirty days.
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": _FOREVER,
    "delta.deletedFileRetentionDuration": _FOREVER,
    # An open reads at most this many entries after the last checkpoint.
    "delta.checkpointInterval": "10",
}
# A table that begins with a column of this type gets the protocol (reader 3, writer 7)
# that no later type of a column has to raise; raising it later can make a table unreadable.
_FIRST = {"name": "_", "type": "timestamp_ntz", "nullable": True, "metadata": {}}
_FEATURES = ["timestampNtz"]


def asked(question: Callable[[], Result], folder: Path) -> Result:
    """What `deltalake` answers; what it raises, a Rust panic too, as an error of ours.

    Raises:
        TableDamagedError: It cannot read the log of the table in `folder`.
        WriteError: There is no space left.
    """
    try:
        return question()
    except (KeyboardInterrupt, SystemExit, JobforgeError):
        raise
    except BaseException as error:
        if "os error 28" in str(error) or "No space left" in str(error):
            raise WriteError(
                f"there is no space left for the log of {folder}", hint=SPACE
            ) from error
        raise TableDamagedError(
            f"the log of {folder} cannot be read: {(str(error).splitlines() or [''])[0]}",
            hint="restore the log from a backup",
        ) from error


def first_entry() -> bytes:
    """Entry 0 of a new table, which has no rows: as `deltalake` would make it, in no time.

    See "Actions" in https://github.com/delta-io/delta/blob/master/PROTOCOL.md.
    """
    moment = int(time.time() * 1000)
    protocol = {
        "minReaderVersion": 3,
        "minWriterVersion": 7,
        "readerFeatures": _FEATURES,
        "writerFeatures": _FEATURES,
    }
    metadata: dict[str, object] = {
        "id": str(uuid.uuid4()),
        "name": None,
        "description": None,
        "format": {"provider": "parquet", "options": {}},
        "schemaString": json.dumps({"type": "struct", "fields": [_FIRST]}),
        "partitionColumns": [],
        "createdTime": moment,
        "configuration": _PROPERTIES,
    }
    about = {
        "timestamp": moment,
        "operation": "CREATE TABLE",
        "operationParameters": {},
        "engineInfo": f"jobforge:{__version__}",
    }
    actions = ({"commitInfo": about}, {"protocol": protocol}, {"metaData": metadata})
    return "".join(json.dumps(action) + "\n" for action in actions).encode()


def read_files(place: Path, number: int) -> tuple[DataFile, ...]:
    """The files of a version, in the order in which their rows stand.

    Raises:
        TableDamagedError: `deltalake` cannot read the log.
    """
    table = asked(lambda: DeltaTable(str(place), version=number), place)
    return tuple(sorted(_added(table).values(), key=lambda file: (file.order, file.name)))


def _added(table: DeltaTable) -> dict[str, DataFile]:
    columns = pl.DataFrame(table.get_add_actions(flatten=True))
    wanted = columns.select("path", "num_records", "size_bytes", "modification_time")
    return {row[0]: DataFile(row[0], row[1] or 0, row[2], row[3]) for row in wanted.iter_rows()}


def _actions(current: dict[str, DataFile], change: Change) -> list[AddAction | RemoveAction]:
    """What has to be added and removed, so that a table has exactly the files of a change.

    A file that stays is in neither: an entry may not add and remove one path.
    """
    wanted = {file.name: file for file in change.files}
    moment = int(time.time() * 1000)
    newest = max([moment, *(file.order + 1 for file in [*current.values(), *wanted.values()])])
    kind = not change.same_content
    actions: list[AddAction | RemoveAction] = [
        RemoveAction(name, kind, moment, file.size_bytes, {})
        for name, file in current.items()
        if name not in wanted
    ]
    for position, file in enumerate(change.files):
        if file.name not in current:
            order = file.order or newest + position
            stats = json.dumps({"numRecords": file.rows})
            actions.append(AddAction(file.name, file.size_bytes, {}, order, kind, stats))
    return actions


def commit_to(table: DeltaTable, change: Change) -> None:
    """Commit a change to the log that a table was opened from.

    Raises:
        WriteError: The entry would take files away that are to stay.
    """
    current = _added(table)
    actions = _actions(current, change)
    schema, left_out = log_schema(change.schema)
    commit = change.commit.model_copy(
        update={
            "rows": sum(file.rows for file in change.files),
            "size_bytes": sum(file.size_bytes for file in change.files),
            "files": len(change.files),
            "left_out": left_out,
        }
    )
    # Other columns can only come with an overwrite, which removes every file by itself.
    mode = "append" if table.schema() == schema else "overwrite"
    if mode == "overwrite":
        if any(file.name in current for file in change.files):
            raise WriteError(
                "the version would have other columns than files that stay in it",
                hint="let the batch become the table: load='replace'",
            )
        actions = [action for action in actions if isinstance(action, AddAction)]
    properties = CommitProperties(
        custom_metadata={KEY: commit.model_dump(mode="json")}, max_commit_retries=0
    )
    table.create_write_transaction(actions, mode, schema, commit_properties=properties)
