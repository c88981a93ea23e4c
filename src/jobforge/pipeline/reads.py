"""The rows of a table, as they are or as they were at a version or time. Reads only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from jobforge.errors import (
    InvalidOptionError,
    NotAJobforgeFileError,
    TableDamagedError,
    VersionNotFoundError,
    VersionRemovedError,
)
from jobforge.pipeline import lineage
from jobforge.pipeline.adoption import known_store
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.footer import LayerFile, open_layer_file, read_footer
from jobforge.pipeline.query import find_layer, versioned
from jobforge.pipeline.table_record import LayerState, TableMetadata
from jobforge.pipeline.versions import table_store
from jobforge.storage.store import Commit, Version


@dataclass(frozen=True)
class TableVersion:
    """One version of one layer of a table.

    Args:
        number: 1 and up.
        about: Operation, batch, transition, times, rows, bytes and files.
        opens: Whether all its files are there.
    """

    number: int
    about: Commit
    opens: bool


def history(
    config: PipelineConfig, table: str, layer: Layer | str = Layer.GOLD
) -> list[TableVersion]:
    """The versions of one layer of a table, oldest first.

    Args:
        config: Where the data root is.
        table: `table` or `domain/table`.
        layer: bronze, silver or gold; staged is an archive and has no versions.

    Raises:
        TableNotFoundError: There is no such table, or it never reached the layer.
        InvalidConfigError: There is no such layer, or it has no versions.
        TableDamagedError: The log of the table cannot be read.
    """
    found, wanted = find_layer(config, table, layer)
    store = known_store(config, versioned(wanted), found.domain, found.table)
    opens = store.opening()
    return [TableVersion(number, commit, number in opens) for number, commit in store.commits()]


def read(
    config: PipelineConfig,
    table: str,
    layer: Layer | str = Layer.GOLD,
    version: int | None = None,
    as_of: datetime | None = None,
) -> pl.LazyFrame:
    """The rows of a table, as they were written.

    Args:
        config: Where the data root is.
        table: `table` or `domain/table`.
        layer: staged, bronze, silver or gold. Of staged, the newest batch.
        version: Number of the version; the newest unless given.
        as_of: The version that was the newest at this time; with a time zone.

    Raises:
        TableNotFoundError: There is no such table, or it never reached the layer.
        VersionNotFoundError: There is no such version, or none that old.
        VersionRemovedError: Its files were removed by `clean` or `erase`.
        TableDamagedError: A log entry or file is missing or altered.
        InvalidOptionError: Both a version and a time are given, or the time has no zone.
    """
    return look(config, table, layer, version, as_of).frame


def check_version(version: object) -> int:
    """A number of a version.

    Raises:
        InvalidOptionError: It is no whole number.
    """
    if not isinstance(version, int) or isinstance(version, bool):
        raise InvalidOptionError(f"the version is {version!r}", hint="use a number from 1")
    return version


def open_version(
    config: PipelineConfig, table: TableMetadata, layer: Layer, version: Version
) -> pl.LazyFrame:
    """The rows of a version.

    Raises:
        VersionRemovedError: Its files were removed by `clean` or `erase`.
        TableDamagedError: A file is missing or altered.
    """
    store = table_store(config, layer, table.domain, table.table)
    try:
        return store.scan(version)
    except TableDamagedError as error:
        _explain(config, table, layer, version, error)
        raise


@dataclass(frozen=True)
class Seen:
    """The rows of one layer of a table, with what is known of them."""

    table: str
    domain: str
    layer: Layer
    version: int | None
    """Null for staged, which has no versions."""
    rows: int
    frame: pl.LazyFrame
    contract: dict[str, object] | None = None
    """What its newest file says of its contract."""


def look(
    config: PipelineConfig,
    table: str,
    layer: Layer | str | None = None,
    version: int | None = None,
    as_of: datetime | None = None,
) -> Seen:
    """The rows of a table, as they were written, with what is known of them.

    Args:
        config: Where the data root is.
        table: `table` or `domain/table`.
        layer: staged, bronze, silver or gold; the highest that the table has
            unless given. Of staged, the newest batch.
        version: Number of the version; the newest unless given.
        as_of: The version that was the newest at this time; with a time zone.

    Raises:
        TableNotFoundError: There is no such table, or it never reached the layer.
        VersionNotFoundError: There is no such version, or none that old.
        VersionRemovedError: Its files were removed by `clean` or `erase`.
        TableDamagedError: A log entry or file is missing or altered.
        InvalidOptionError: Both a version and a time are given, or the time has no zone.
    """
    found, wanted = find_layer(config, table, layer)
    state = found.layers[wanted]
    if wanted is Layer.STAGED or state.version is None:
        if version is not None or as_of is not None:
            versioned(wanted)
            raise VersionNotFoundError(
                f"{wanted} of {found.domain}/{found.table} has no versions yet",
                hint="an older jobforge wrote it; the next promote makes versions",
            )
        opened = _file(config, state)
        contract = opened.footer.contract
        return Seen(found.table, found.domain, wanted, None, state.rows, opened.frame, contract)
    asked = check_version(version) if version is not None else None
    store = known_store(config, wanted, found.domain, found.table, asked)
    made = store.version(_number(store.commits, asked, as_of))
    frame = open_version(config, found, wanted, made)
    rows = sum(file.rows for file in made.files)
    contract = read_footer(store.folder / made.files[-1].name).contract if made.files else None
    return Seen(found.table, found.domain, wanted, made.number, rows, frame, contract)


def first_rows(frame: pl.LazyFrame, rows: int) -> pl.DataFrame:
    """The first rows of a frame.

    Raises:
        TableDamagedError: Its files cannot be read.
    """
    try:
        return frame.head(rows).collect(engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise TableDamagedError(
            f"the rows cannot be read ({(str(error).splitlines() or [''])[0]})",
            hint="a file was altered: restore it from a backup",
        ) from error


def _file(config: PipelineConfig, state: LayerState) -> LayerFile:
    try:
        return open_layer_file(config.data_root / Path(state.file), state.layer)
    except NotAJobforgeFileError as error:
        raise TableDamagedError(
            error.message, hint="restore it from a backup; other batches still open"
        ) from error


def _number(
    commits: Callable[[], list[tuple[int, Commit]]], version: int | None, as_of: datetime | None
) -> int | None:
    """The number of the version that was asked for; None for the newest."""
    if as_of is None:
        return check_version(version) if version is not None else None
    if not isinstance(as_of, datetime):
        raise InvalidOptionError(f"as_of is {as_of!r}", hint="pass a datetime with a time zone")
    if version is not None:
        raise InvalidOptionError("both version and as_of are given", hint="give one of them")
    if as_of.tzinfo is None:
        raise InvalidOptionError(
            "as_of has no time zone", hint="datetime(2026, 1, 31, tzinfo=UTC), for example"
        )
    found = None
    known = commits()
    # Clocks can go backwards, versions cannot: a version counts from the latest time so far.
    newest = datetime.min.replace(tzinfo=UTC)
    for number, commit in known:
        newest = max(newest, commit.published_at)
        if newest <= as_of:
            found = number
    if found is None:
        first = f"the first is of {known[0][1].published_at.isoformat()}" if known else ""
        raise VersionNotFoundError(f"there was no version at {as_of.isoformat()}", hint=first)
    return found


def _explain(
    config: PipelineConfig,
    table: TableMetadata,
    layer: Layer,
    version: Version,
    error: TableDamagedError,
) -> None:
    """Say so where a file of a version is missing because it was removed on purpose."""
    folder = f"{layer}/{table.domain}/{table.table}"
    files = {f"{folder}/{file.name}" for file in version.files}
    for record in lineage.all_records(config):
        for log in record.transitions:
            gone = [removed.file for removed in log.removed if removed.file in files]
            if gone and not (config.data_root / gone[0]).exists():
                raise VersionRemovedError(
                    f"version {version.number} of {folder} no longer opens: {log.operation} "
                    f"removed its files on {log.started_at:%Y-%m-%d} (batch {record.batch_id})",
                    hint=f"version {error.place['opens']} and newer ones may still open"
                    if "opens" in error.place
                    else "`jobforge history TABLE --layer LAYER` lists the versions",
                    version=version.number,
                ) from error
