"""The data root's own record: `catalog/root.json` says which jobforge may write there."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import AwareDatetime

from jobforge._version import __version__
from jobforge.errors import DataRootError, InvalidOptionError
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.records import RECORD_FORMAT, Record, parse_record, read_record
from jobforge.storage.rewrite import rewrite


class RootRecord(Record):
    """How a data root is laid out."""

    format_version: int = RECORD_FORMAT
    created_at: AwareDatetime
    jobforge_version: str
    """The one that made the root, or brought it to this format."""


def root_record_path(config: PipelineConfig) -> Path:
    """Where the record stands."""
    return config.catalog_path() / "root.json"


def check_root(config: PipelineConfig) -> None:
    """Refuse a folder that is no data root, or one of a newer jobforge; reads only.

    Raises:
        DataRootError: There is no such folder, or this user may not read it.
        RecordError: A newer jobforge made it, or its record is damaged.
    """
    if not _is_folder(config.data_root):
        raise DataRootError(
            f"there is no data root {config.data_root}",
            hint="name another with --data-root, or make one: `jobforge run FILE --table NAME`",
        )
    for place in (config.data_root, config.catalog_path(), config.chain_path()):
        if _is_folder(place) and not _is_open(place):
            raise _unreadable(place)
    path = root_record_path(config)
    if path.is_file():
        read_record(path, RootRecord)


def _is_folder(place: Path) -> bool:
    try:
        return place.is_dir()
    except PermissionError as error:  # a folder above it is closed
        raise _unreadable(place) from error


def _is_open(folder: Path) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(folder, os.R_OK | os.X_OK, effective_ids=effective)


def _unreadable(place: Path) -> DataRootError:
    return DataRootError(f"{place} may not be read by this user", hint="look at its permissions")


def check_is_root(config: PipelineConfig) -> None:
    """Refuse a folder in which no jobforge has ever worked; reads only.

    Raises:
        DataRootError: There is no such folder, or it is no data root.
        RecordError: A newer jobforge made it, or its record is damaged.
    """
    check_root(config)
    layers = (config.layer_path(layer) for layer in Layer)
    # One of an old jobforge, or one that lost its record, has layers or a catalog still.
    if not any(place.exists() for place in (config.catalog_path(), *layers)):
        raise DataRootError(
            f"{config.data_root} is no data root: it has no catalog/root.json",
            hint="name another with --data-root, or make one: `jobforge run FILE --table NAME`",
        )


def check_outside(config: PipelineConfig, path: Path) -> None:
    """Refuse a path in the data root for what is none of its files.

    Raises:
        InvalidOptionError: It is there, or is no path.
    """
    root = config.data_root.resolve()
    try:
        inside = path.resolve().is_relative_to(root)
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, or a NUL
        raise InvalidOptionError(
            f"{str(path)!r} is no path: {error}", hint="name a place elsewhere"
        ) from error
    if inside:
        raise InvalidOptionError(
            f"{path} is in the data root, where `verify` would not know it",
            hint="name a place elsewhere",
        )


def prepare_root(config: PipelineConfig, at: AwareDatetime) -> None:
    """Write the record of a new data root, or of one that an older jobforge made.

    Raises:
        RecordError: A newer jobforge made it, or its record is damaged.
        DataRootError: It cannot be written.
    """
    path = root_record_path(config)
    if path.is_file() and read_record(path, RootRecord).format_version == RECORD_FORMAT:
        return

    def change(data: bytes | None) -> bytes | None:
        known = parse_record(path, data, RootRecord) if data is not None else None
        if known is not None and known.format_version == RECORD_FORMAT:
            return None
        made = RootRecord(
            created_at=known.created_at if known else at, jobforge_version=__version__
        )
        return made.as_json()

    rewrite(path, change)
