"""The versioned tables of bronze, silver and gold, by layer and name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import polars as pl

from jobforge.errors import PublishConflictError, SchemaMismatchError
from jobforge.pipeline.config import Layer, Load, Loading, OnConflict, PipelineConfig
from jobforge.pipeline.footer import read_footer
from jobforge.pipeline.provenance import BATCH_ID
from jobforge.storage.delta import DeltaStore
from jobforge.storage.store import Change, Commit, DataFile, Version


def table_folder(config: PipelineConfig, layer: Layer, domain: str, table: str) -> Path:
    """The folder of one layer of a table."""
    return config.layer_path(layer) / domain / table


def table_store(
    config: PipelineConfig, layer: Layer, domain: str, table: str, scratch: Path | None = None
) -> DeltaStore:
    """The versions of one layer of a table; staged has none.

    Args:
        config: Where the data root is.
        layer: bronze, silver or gold.
        domain: Business domain of the table.
        table: Its name.
        scratch: A folder for a few links while a version is made.
    """
    return DeltaStore(table_folder(config, layer, domain, table), scratch)


def check_columns(store: DeltaStore, current: Version, schema: pl.Schema) -> None:
    """Refuse rows that cannot stand in one table with those that are there.

    Raises:
        SchemaMismatchError: Names, types or order of the columns differ.
    """
    known = store.scan(current).collect_schema()
    if list(known.items()) == list(schema.items()):
        return
    missing = [name for name in known if name not in schema]
    new = [name for name in schema if name not in known]
    other = [
        f"{name} is {schema[name]}, not {known[name]}"
        for name in schema
        if name in known and schema[name] != known[name]
    ]
    parts = [
        "missing " + ", ".join(map(repr, missing)) if missing else "",
        "new " + ", ".join(map(repr, new)) if new else "",
        "; ".join(other),
    ]
    what = "; ".join(part for part in parts if part) or "they stand in another order"
    raise SchemaMismatchError(
        f"the rows have other columns than version {current.number} of the table: {what}",
        hint="mend the batch, or let it become the table: load='replace'",
    )


Publisher = Callable[[DeltaStore, DataFile, pl.Schema, Commit, int | None], Version]
"""Makes a file part of the next version of its table."""


@dataclass(frozen=True)
class Joining:
    """How a file becomes part of its table.

    Args:
        publish: Makes the next version; gets the table, the file, its columns,
            what the version says of itself, and the newest version as the work
            began.
        check: Refuses, before the work, columns that could not join.
    """

    publish: Publisher
    check: Callable[[DeltaStore, int, pl.Schema], None] = lambda *_: None


def joining(loading: Loading, *, again: bool, alone: bool = False) -> Joining:
    """How a batch joins its table.

    An append goes on top of whatever is there by now. A replace is refused
    where somebody published since it began, or, where it was asked to try
    again, where somebody published who began later.

    Args:
        loading: What was asked for.
        again: Whether the batch was published in this layer before.
        alone: Whether an append, too, is refused where somebody published since
            it began: its rows were compared with those of the table.
    """
    if loading.load is Load.APPEND:
        return Joining(partial(_append, again=again, alone=alone), _check_newest)
    return Joining(partial(_replace, on_conflict=loading.on_conflict))


def _replace(
    store: DeltaStore,
    file: DataFile,
    schema: pl.Schema,
    commit: Commit,
    base: int | None,
    *,
    on_conflict: OnConflict | str,
) -> Version:
    """Make a file the whole table.

    Raises:
        PublishConflictError: Somebody published meanwhile; names their batch.
    """
    while True:
        latest = store.latest()
        for number in range((base or 0) + 1, (latest or 0) + 1):
            winner = store.commit(number)
            if on_conflict == OnConflict.FAIL or winner.started_at > commit.started_at:
                raise conflict(number, winner)
        with suppress(PublishConflictError):  # somebody was quicker just now: look again
            return _published(store, Change(commit, (file,), schema), latest)


def _append(
    store: DeltaStore,
    file: DataFile,
    schema: pl.Schema,
    commit: Commit,
    base: int | None,
    *,
    again: bool,
    alone: bool,
) -> Version:
    """Add a file to the table.

    Raises:
        SchemaMismatchError: The columns differ.
        PublishConflictError: The batch is in the table already, in a file with
            others; or somebody published meanwhile, and the rows may repeat a key.
    """
    while True:
        latest = store.latest()
        if alone and latest is not None and latest != base:
            raise conflict(latest, store.commit(latest))
        files = _appended(store, latest, file, schema, commit, again=again)
        with suppress(PublishConflictError):  # somebody was quicker just now: look again
            return _published(store, Change(commit, files, schema), latest)


def _published(store: DeltaStore, change: Change, after: int | None) -> Version:
    """The version that a change makes, without asking the table for what was just said to it."""
    number = store.publish(change, after)
    return Version(number, store.commit(number), change.files)


def _check_newest(store: DeltaStore, newest: int, schema: pl.Schema) -> None:
    check_columns(store, store.version(newest), schema)


def conflict(number: int, winner: Commit) -> PublishConflictError:
    """The error for work that another writer came before."""
    return PublishConflictError(
        f"the batch {winner.batch_id or 'of another program'} published version {number} meanwhile",
        hint="it stays; look at it, then promote again (on_conflict='retry' puts the later start "
        "on top)",
        version=number,
        batch=winner.batch_id,
    )


def _appended(
    store: DeltaStore,
    latest: int | None,
    file: DataFile,
    schema: pl.Schema,
    commit: Commit,
    *,
    again: bool,
) -> tuple[DataFile, ...]:
    """The files of the newest version with one more, in the place of the batch's own.

    Raises:
        SchemaMismatchError: The columns differ.
        PublishConflictError: The batch is in the table already, in a file with others.
    """
    if latest is None:
        return (file,)
    current = store.version(latest)
    check_columns(store, current, schema)
    others = tuple(
        known
        for known in current.files
        if not (again and _is_of_batch(store.folder / known.name, commit.batch_id))
    )
    if again and others:
        rest = store.scan(replace(current, files=others))
        same = rest.filter(pl.col(BATCH_ID) == commit.batch_id).head(1)
        if same.collect(engine="streaming").height:
            raise PublishConflictError(
                f"rows of batch {commit.batch_id} are in version {latest} already, in a file with "
                "those of other batches",
                hint="roll back to a version before them, then append again",
            )
    return (*others, file)


def _is_of_batch(path: Path, batch_id: str) -> bool:
    """Whether a file holds the rows of one batch alone."""
    footer = read_footer(path)
    return footer.batch_id == batch_id and not footer.batches
