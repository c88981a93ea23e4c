"""`pack`: all that an auditor needs of a table or batch, in one zip file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import polars as pl
from pydantic import AwareDatetime, Field, NonNegativeInt

from jobforge._version import __version__
from jobforge.errors import InvalidOptionError
from jobforge.pipeline.audit.pack_evidence import Evidence, ReplayResult, gather
from jobforge.pipeline.audit.pack_files import evidence_files
from jobforge.pipeline.audit.pack_page import page
from jobforge.pipeline.audit.pack_texts import AS_WRITTEN, dmbok, readme
from jobforge.pipeline.audit.pack_zip import SUMS, write_zip
from jobforge.pipeline.audit.verify import Progress
from jobforge.pipeline.chain import Head
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.records import RECORD_FORMAT, Record, Sha256
from jobforge.pipeline.rejects.export import new_file
from jobforge.pipeline.rejects.listing import MASK
from jobforge.pipeline.root import check_outside
from jobforge.pipeline.transition import Clock, utc_now
from jobforge.storage.source import hash_file


class PackManifest(Record):
    """What a pack says of itself."""

    format_version: int = RECORD_FORMAT
    kind: str
    """`table`, or `batch`."""
    domain: str
    table: str
    batches: tuple[str, ...]
    created_at: AwareDatetime
    jobforge_version: str
    polars_version: str
    head: Head | None
    """The last entry of the chain as the pack was made."""
    sound: bool
    """Whether `verify` found the whole data root as it was published."""
    personal: bool
    """Whether values of personal columns are in the pack: as cells, see `as_written`."""
    as_written: str = AS_WRITTEN
    """What may hold such values all the same, because it is told as it was written."""
    replays: dict[str, str] = Field(default_factory=dict)
    """How a replay of each batch came out; `not run` where there was none."""
    problems: tuple[str, ...]
    """What could not be looked at."""


class Pack(Record):
    """A pack that was written."""

    path: Path
    sha256: Sha256
    size_bytes: NonNegativeInt
    files: tuple[str, ...]
    manifest: PackManifest


def pack(
    config: PipelineConfig,
    what: str,
    into: Path | str,
    *,
    replace: bool = False,
    personal: bool = False,
    replays: Sequence[ReplayResult] = (),
    progress: Progress = lambda *_: None,
    clock: Clock = utc_now,
) -> Pack:
    """Write what there is of a table or batch into a zip file. Reads only, but for that file.

    Args:
        config: Where the data root is.
        what: `table` or `domain/table`, or a batch id.
        into: Where the zip file is to be, outside of the data root.
        replace: Whether it may take the place of a file that is there.
        personal: Whether to put values of personal columns in; else they are masked.
        replays: What replays of its batches said; the verdict on others is `not run`.
        progress: Told of the files as they are verified, in bytes.
        clock: Gives the time in UTC.

    Returns:
        What was written. The same state gives the same bytes, but for the time.

    Raises:
        InvalidOptionError: `into` is no name of a zip file, or something is there.
        DataRootError: There is no data root, or `into` cannot be written.
        TableNotFoundError: There is no such table or batch.
        StorageError: A record cannot be read, or the file cannot be written.
    """
    target = _target(config, into, replace=replace)
    evidence = gather(config, what, personal=personal, replays=replays, progress=progress)
    manifest = _manifest(evidence, clock(), personal=personal)
    files = evidence_files(config, evidence, personal=personal)
    files["manifest.json"] = manifest.as_json()
    made_by = f"jobforge {__version__}"
    files["summary.html"] = page(evidence, manifest.created_at, made_by, personal=personal)
    files["README.txt"] = readme(evidence.scope.title, personal=personal, masked=MASK)
    files["DMBOK.txt"] = dmbok(tuple(files))
    write_zip(target, files, _latest(evidence, manifest.created_at), replace=replace)
    return Pack(
        path=target,
        sha256=hash_file(target),
        size_bytes=target.stat().st_size,
        files=tuple(sorted([*files, SUMS])),
        manifest=manifest,
    )


def _target(config: PipelineConfig, into: Path | str, *, replace: bool) -> Path:
    """Where the pack is to be.

    Raises:
        InvalidOptionError: It cannot be there.
    """
    hint = "name a new file: orders.zip"
    named: object = into
    if not isinstance(named, (str, Path)) or Path(named).suffix.lower() != ".zip":
        raise InvalidOptionError(f"{str(named)!r} is no name of a zip file", hint=hint)
    target = Path(named)
    check_outside(config, target)
    there = os.path.isfile(target)  # noqa: PTH113 - that of a path fails where it may not look
    if replace and there:
        return target
    try:
        return new_file(target)
    except InvalidOptionError as error:
        if there:
            hint = "name a new file, or say that it may be replaced (--replace)"
        raise InvalidOptionError(error.message, hint=hint) from error


def _manifest(evidence: Evidence, at: datetime, *, personal: bool) -> PackManifest:
    scope = evidence.scope
    return PackManifest(
        kind=scope.kind,
        domain=scope.domain,
        table=scope.table,
        batches=tuple(record.batch_id for record in scope.records),
        created_at=at,
        jobforge_version=__version__,
        polars_version=pl.__version__,
        head=evidence.verification.head,
        sound=evidence.verification.sound,
        personal=personal,
        replays={r.batch_id: evidence.verdict(r.batch_id) for r in scope.records},
        problems=evidence.problems,
    )


def _latest(evidence: Evidence, otherwise: datetime) -> datetime:
    """The time of the last thing that happened to the batches: that of the files in the pack."""
    times = [sealed.entry.at for sealed in evidence.entries]
    times += [record.created_at for record in evidence.scope.records]
    return max(times, default=otherwise)
