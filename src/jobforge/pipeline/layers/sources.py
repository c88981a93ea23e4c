"""Source files of one batch as one frame with provenance."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from jobforge.errors import (
    MalformedSourceError,
    ReservedColumnError,
    SourceError,
    UnsupportedValueError,
)
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.models import Note, SourceInfo
from jobforge.pipeline.provenance import (
    PROVENANCE_DTYPES,
    REJECTED_COLUMNS,
    SOURCE_ROW,
    data_columns,
    provenance_last,
    stamp,
)
from jobforge.pipeline.source_archive import archive_name, keep
from jobforge.pipeline.transition import Move
from jobforge.quality.quarantine import REASONS, STEP
from jobforge.readers.base import ReadContext, ReadOptions, SourceNote, SourceTable
from jobforge.readers.discovery import Found, FoundFile
from jobforge.readers.registry import Choice, choose
from jobforge.storage.source import SourceFile

_RESERVED = (*PROVENANCE_DTYPES, REASONS, STEP)


@dataclass(frozen=True)
class Opened:
    """A file of the batch, how it is read, and what came of it."""

    entry: FoundFile
    file: SourceFile
    choice: Choice
    table: SourceTable


@dataclass(frozen=True)
class Staging:
    """The sources of a batch, ready to be written."""

    frame: pl.LazyFrame
    rejects: pl.LazyFrame | None
    rows: int
    rejected: int
    infos: tuple[SourceInfo, ...]
    notes: tuple[Note, ...]
    files: tuple[SourceFile, ...]
    confirm: Callable[[], Staging] | None = None
    """Set where rows, hashes and notes are not known yet: waits for them, and gives what is true,
    with this very frame where the files are what they were taken for."""

    def check_unchanged(self) -> None:
        """Refuse sources that changed while they were read.

        Raises:
            SourceChangedError: One of them did.
        """
        for file in self.files:
            file.check_unchanged()

    def keep(self, config: PipelineConfig) -> None:
        """Keep the bytes of the sources, where that is asked for.

        Raises:
            SourceChangedError: One of them changed since it was read.
            StorageError: The data root cannot be written.
        """
        for info, file in zip(self.infos, self.files, strict=True):
            keep(config, info, file.path)


def stage_sources(
    found: Found,
    config: PipelineConfig,
    move: Move,
    at: datetime,
    options: ReadOptions | None,
    context: ReadContext,
) -> Staging:
    """Read every file of a batch and put the provenance on its rows.

    Raises:
        SourceError: A file cannot be read exactly, has a provenance column, or
            its columns are not those of the first; the error names the file.
    """
    read = []
    for entry in found.files:
        file = SourceFile(entry.path)
        try:
            choice = choose(file.name, options)
            read.append(Opened(entry, file, choice, choice.read(file, context)))
        except SourceError as error:
            raise error.at(file=str(entry.path)) from error

    def put_together(opened: list[Opened]) -> Staging:
        own = [
            replace(one, table=_without_reserved(one.entry, one.table, options, move))
            for one in opened
        ]
        return _put_together(own, config, move, at, options)

    staging = put_together(read)
    if all(one.table.proof is None for one in read):
        return staging

    def confirm() -> Staging:
        proven = [replace(one, table=_proven(one.entry, one.table)) for one in read]
        settled = put_together(proven)
        pairs = zip(read, proven, strict=True)
        right = all(before.table.frame is after.table.frame for before, after in pairs)
        return replace(settled, frame=staging.frame) if right else settled

    return replace(staging, confirm=confirm)


def _proven(entry: FoundFile, table: SourceTable) -> SourceTable:
    try:
        return table if table.proof is None else table.proof()
    except SourceError as error:
        raise error.at(file=str(entry.path)) from error


def _put_together(
    opened: list[Opened],
    config: PipelineConfig,
    move: Move,
    at: datetime,
    options: ReadOptions | None,
) -> Staging:
    """The tables of a batch as one frame."""
    types = _common_types([(one.entry, one.table) for one in opened])
    frames, rejects = [], []
    for entry, table in ((one.entry, one.table) for one in opened):
        frames.append(_with_provenance(table.frame.cast(pl.Schema(types)), entry, config, move, at))
        if table.rejects is not None and table.rejected:
            rejects.append(_kept_out(table.rejects, entry, move, at))
    return Staging(
        frame=frames[0] if len(frames) == 1 else pl.concat(frames),
        rejects=pl.concat(rejects) if rejects else None,
        rows=sum(one.table.rows for one in opened),
        rejected=sum(one.table.rejected for one in opened),
        infos=tuple(_info(one, config) for one in opened),
        notes=(*_asked(options), *_notes(opened)),
        files=tuple(one.file for one in opened),
    )


def _without_reserved(
    entry: FoundFile, table: SourceTable, options: ReadOptions | None, move: Move
) -> SourceTable:
    """The table with its own columns out of the way of the provenance columns."""
    rename = dict(options.rename) if options is not None else {}
    names = table.frame.collect_schema().names()
    own = [name for name in names if not (name == SOURCE_ROW and table.rejects is not None)]
    for old in rename:
        if old not in own:
            raise ReservedColumnError(
                f"rename: the source has no column {old!r}",
                hint="look at the header of the file",
                file=str(entry.path),
            )
    renamed = [rename.get(name, name) for name in own]
    exported = [name for name in renamed if name in REJECTED_COLUMNS]
    if exported and move.cures is None:
        raise ReservedColumnError(
            f"the source has a column {exported[0]!r}, as an export of rejects has",
            hint="bring corrections in with `jobforge quarantine replay`; where it is none, pass "
            f"another name for the column: rename={{{exported[0]!r}: 'source{exported[0]}'}}",
            file=str(entry.path),
            column=exported[0],
        )
    reserved = [name for name in renamed if name in _RESERVED]
    if reserved:
        raise ReservedColumnError(
            f"the source has a column {reserved[0]!r}, a name that jobforge keeps for itself",
            hint=f"pass another name for it: rename={{{reserved[0]!r}: 'source{reserved[0]}'}}",
            file=str(entry.path),
            column=reserved[0],
        )
    if any("\0" in name for name in renamed):
        raise UnsupportedValueError(
            "a column name has a NUL byte, which Parquet files do not keep",
            hint="pass another name for it: rename={...}",
            file=str(entry.path),
        )
    twice = [name for name in renamed if renamed.count(name) > 1]
    if twice:
        raise ReservedColumnError(
            f"rename: two columns would be called {twice[0]!r}",
            hint="choose another name",
            file=str(entry.path),
        )
    if not rename:
        return table
    noted = [SourceNote("rename", f"{old} is called {new}") for old, new in rename.items()]
    return replace(table, frame=table.frame.rename(rename), notes=(*table.notes, *noted))


def _common_types(tables: list[tuple[FoundFile, SourceTable]]) -> dict[str, pl.DataType]:
    """Types to cast to before files are put together; only all-null columns ever change."""
    schemas = [(entry, _own_schema(table)) for entry, table in tables]
    first_entry, first = schemas[0]
    types: dict[str, pl.DataType] = {}
    for entry, schema in schemas[1:]:
        if list(schema) != list(first):
            moved = (a for a, b in zip(schema, first, strict=False) if a != b)
            other = sorted(set(schema) ^ set(first)) or [f"the place of {next(moved)}"]
            raise MalformedSourceError(
                f"the columns of {entry.name} are not those of {first_entry.name}: they differ in "
                + ", ".join(repr(name) for name in other[:5]),
                hint="files of one batch have the same columns in the same order; "
                "ingest the others as a table of their own",
                file=str(entry.path),
            )
    for name in first:
        kinds = {schema[name] for _, schema in schemas}
        kinds.discard(pl.Null())
        if len(kinds) > 1:
            entry, other_schema = next(
                (e, s) for e, s in schemas if s[name] not in (first[name], pl.Null())
            )
            raise MalformedSourceError(
                f"column {name!r} is {first[name]} in {first_entry.name} and "
                f"{other_schema[name]} in {entry.name}",
                hint="files of one batch have the same types; ingest them one by one",
                file=str(entry.path),
                column=name,
            )
        _check_encoded(name, tables)
        if len(schemas) > 1 and kinds:
            types[name] = kinds.pop()
    return types


def _check_encoded(name: str, tables: list[tuple[FoundFile, SourceTable]]) -> None:
    """Plain text and text that stands for something else do not go into one column."""
    encoded = [entry for entry, table in tables if name in table.encoded]
    plain = [
        entry
        for entry, table in tables
        if name not in table.encoded and table.frame.collect_schema()[name] == pl.String
    ]
    if encoded and plain:
        raise MalformedSourceError(
            f"column {name!r} is plain text in {plain[0].name}, and in {encoded[0].name} it holds "
            "values of other or different kinds as text",
            hint="files of one batch have the same types; ingest them one by one",
            file=str(encoded[0].path),
            column=name,
        )


def _own_schema(table: SourceTable) -> pl.Schema:
    schema = table.frame.collect_schema()
    return pl.Schema({name: schema[name] for name in data_columns(schema.names())})


def _with_provenance(
    frame: pl.LazyFrame, entry: FoundFile, config: PipelineConfig, move: Move, at: datetime
) -> pl.LazyFrame:
    names = frame.collect_schema().names()
    if not config.row_numbers:
        frame = frame.drop(SOURCE_ROW, strict=False)
    elif SOURCE_ROW not in names:
        frame = frame.with_row_index(SOURCE_ROW, offset=1).with_columns(
            pl.col(SOURCE_ROW).cast(PROVENANCE_DTYPES[SOURCE_ROW])
        )
    stamped = stamp(frame, entry.name, move.batch_id, move.target_layer, at)
    return provenance_last(stamped, stamped.collect_schema().names())


def _kept_out(rejects: pl.LazyFrame, entry: FoundFile, move: Move, at: datetime) -> pl.LazyFrame:
    """Records that the reader kept out, in the form of every quarantine file."""
    reason = pl.struct(
        pl.col("_rule").alias("rule"),
        pl.lit(None, dtype=pl.String).alias("column"),
        pl.lit(None, dtype=pl.String).alias("value"),
        pl.col("_reason").alias("reason"),
    )
    shaped = rejects.with_columns(
        pl.concat_list(reason).alias(REASONS), pl.lit("read").alias(STEP)
    ).drop("_rule", "_reason")
    stamped = stamp(shaped, entry.name, move.batch_id, move.target_layer, at)
    return provenance_last(stamped, stamped.collect_schema().names())


def _info(opened: Opened, config: PipelineConfig) -> SourceInfo:
    entry, file, table = opened.entry, opened.file, opened.table
    # Where the hash is not known yet, a number that nothing else has stands in its place.
    sha256 = file.sha256 if table.proof is None else secrets.token_hex(32)
    return SourceInfo(
        name=entry.name,
        path=str(entry.path),
        sha256=sha256,
        size_bytes=file.size,
        modified_at=datetime.fromtimestamp(file.modified_seconds, UTC),
        rows=table.rows + table.rejected,
        folder=None if entry.path.is_absolute() else str(Path.cwd()),
        reader=opened.choice.reader.name,
        options=opened.choice.as_read(table),
        detected=dict(table.detected),
        checkpoints=table.checkpoints,
        archived=archive_name(entry.name, sha256) if config.keep_source else None,
    )


def _asked(options: ReadOptions | None) -> tuple[Note, ...]:
    """The options that the caller set, so that the log says how the source was read."""
    if options is None or not options.model_fields_set:
        return ()
    asked = options.model_dump_json(exclude_unset=True)
    return (Note(topic="options", text=asked),)


def _notes(opened: list[Opened]) -> tuple[Note, ...]:
    """Notes of all files; with many files each says which one it is about."""
    many = len(opened) > 1
    return tuple(
        Note(topic=note.topic, text=f"{entry.name}: {note.text}" if many else note.text)
        for entry, table in ((one.entry, one.table) for one in opened)
        for note in table.notes
    )
