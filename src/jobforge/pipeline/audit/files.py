"""The files of a data root, held against the chain."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from jobforge.errors import SourceError
from jobforge.pipeline.audit.chained import Left, Told, may_be_last
from jobforge.pipeline.audit.findings import Findings
from jobforge.pipeline.audit.going_on import GoingOn
from jobforge.pipeline.chain import ChainedFile
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.content import ALGORITHM, contents_of
from jobforge.pipeline.models import LayerTransitionLog
from jobforge.pipeline.root import root_record_path
from jobforge.storage.debris import is_temporary
from jobforge.storage.source import hash_file

_READERS = 4
"""Threads that read; hashing lets go of Python's lock."""


@dataclass(frozen=True)
class Seen:
    """How much was looked at."""

    files: int = 0
    size_bytes: int = 0
    hashed_bytes: int = 0


@dataclass(frozen=True)
class _Found:
    """A file as it is now: without a hash where it was not asked for or cannot be read."""

    size_bytes: int | None
    sha256: str | None = None
    why: str = ""


def check_files(
    config: PipelineConfig,
    told: Told,
    going_on: GoingOn,
    first: int,
    findings: Findings,
    progress: Callable[[str, int, int | None], None],
) -> Seen:
    """Check that every file is there as it was made, and no other one.

    Args:
        config: Where the data root is.
        told: What the chain says.
        going_on: Work that has no entry yet.
        first: Files of entries before this one are not read.
        findings: What does not fit is added here.
        progress: Told how many bytes were read, of how many.
    """
    wanted = list(told.expected.values())
    names = set(told.expected) | set(told.views)
    loose = [
        name
        for name in _loose(config, names)
        if not going_on.may_change(name) and not _is_unused_source(config, name)
    ]
    if not told.entries and loose == [_root_record(config)]:
        loose = []  # a first run makes it before its marker, and may have ended there
    total = sum(file.size_bytes for file, number in wanted if number >= first)
    seen = Seen()
    with ThreadPoolExecutor(_READERS) as pool:
        jobs = [
            pool.submit(_look, config.data_root / file.file, read=number >= first)
            for file, number in wanted
        ]
        found = {}
        for (file, _), job in zip(wanted, jobs, strict=True):
            found[file.file] = now = job.result()
            read = now.size_bytes or 0 if now.sha256 is not None else 0
            seen = replace(
                seen,
                files=seen.files + 1,
                size_bytes=seen.size_bytes + file.size_bytes,
                hashed_bytes=seen.hashed_bytes + read,
            )
            progress("verify", seen.hashed_bytes, total)
    elsewhere = {file.sha256: file.file for file, _ in wanted}
    strays = {}
    if any(now.size_bytes is None for now in found.values()):  # perhaps under another name
        strays = {_look(config.data_root / name, read=True).sha256: name for name in loose}
    logs = _logs(told)
    for file, number in wanted:
        if found[file.file].size_bytes is None and file.file in going_on.removed:
            continue  # on purpose, which the chain is about to say
        explain = _Explain(config, logs.get(file.file), elsewhere, strays)
        _check(file, number, found[file.file], explain, findings)
    _check_views(config, told, going_on, findings)
    for name in loose:
        findings.add("unknown", name, _unknown(config, name))
    return seen


def _is_unused_source(config: PipelineConfig, name: str) -> bool:
    """Whether a file is a kept source of an ingest that failed: its name is the hash of its bytes.

    `clean` removes those.
    """
    path = config.data_root / name
    if not path.is_relative_to(config.sources_path()):
        return False
    return _look(path, read=True).sha256 == path.name.split(".")[0]


def _look(path: Path, *, read: bool) -> _Found:
    try:
        size = path.stat().st_size if path.is_file() else None
        return _Found(size, hash_file(path) if read and size is not None else None)
    except (OSError, SourceError) as error:
        return _Found(0, None, str(error))


@dataclass(frozen=True)
class _Explain:
    """What is known of the files, to say what became of one."""

    config: PipelineConfig
    log: LayerTransitionLog | None
    by_hash: dict[str, str]
    strays: dict[str | None, str]

    def missing(self, file: ChainedFile) -> str:
        name = self.strays.get(file.sha256)
        return "the file is missing" + (f": its bytes are in {name}" if name else "")

    def changed(self, file: ChainedFile, found: str) -> str:
        other = self.by_hash.get(found)
        if other is not None and other != file.file:
            return f"it has the bytes of {other}"
        return "its bytes are not those that were published" + self._rows(file)

    def _rows(self, file: ChainedFile) -> str:
        """What of its rows is another, where that can be told."""
        log = self.log
        if log is None or log.contents is None or log.contents.algorithm != ALGORITHM:
            return ""
        try:
            frame = pl.scan_parquet(self.config.data_root / file.file, glob=False)
            now = contents_of(frame, by_record=log.contents.key == "record")
        except (Exception, pl.exceptions.PanicException):  # noqa: BLE001 - damage has many names
            return ", and cannot be read as rows"
        if now == log.contents:
            return ", though its rows hold the same"
        before, after = log.contents.columns, now.columns
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        rows = f"{now.rows} rows instead of {log.contents.rows}; " * (now.rows != log.contents.rows)
        return f": {rows}other values in {', '.join(names)}"


def _check(
    file: ChainedFile, number: int, found: _Found, explain: _Explain, findings: Findings
) -> None:
    if found.size_bytes is None:
        findings.add("missing", file.file, explain.missing(file), number)
    elif found.why:
        findings.add("changed", file.file, f"the file cannot be read: {found.why}", number)
    elif found.sha256 is None and found.size_bytes != file.size_bytes:
        text = f"it has {found.size_bytes} bytes, and {file.size_bytes} were published"
        findings.add("changed", file.file, text, number)
    elif found.sha256 is not None and found.sha256 != file.sha256:
        findings.add("changed", file.file, explain.changed(file, found.sha256), number)


def _check_views(config: PipelineConfig, told: Told, going_on: GoingOn, findings: Findings) -> None:
    """Files that are written anew have to be as the last transition left them."""
    for name, states in told.views.items():
        found = _look(config.data_root / name, read=True)
        if found.size_bytes is None:
            findings.add("missing", name, "the file is missing")
        elif not going_on.may_change(name) and (text := found.why or _not_as_left(found, states)):
            findings.add("changed", name, text)


def _not_as_left(found: _Found, states: list[Left]) -> str:
    """Why the state of a file is not the last one that transitions left it in."""
    same = [at for at, left in enumerate(states) if left.sha256 == found.sha256]
    if not same:
        return "no transition left it in this state"
    if any(may_be_last(states[at], states[at + 1 :]) for at in reversed(same)):
        return ""
    newest = states[same[-1]].number
    return f"it is as entry {newest} has it, and a later transition left it in another state"


def _logs(told: Told) -> dict[str, LayerTransitionLog]:
    """The transition that made each file of rows."""
    logs = [sealed.entry.log for sealed in told.entries if sealed.entry.log is not None]
    return {log.target_file: log for log in logs if log.target_file is not None}


def _loose(config: PipelineConfig, names: set[str]) -> Iterator[str]:
    """Files that no entry of the chain names."""
    root = config.data_root
    ours = {path.relative_to(root).as_posix() for path in _elsewhere(config)}
    filled = {parent.as_posix() for name in names for parent in Path(name).parents}
    filled |= {path.relative_to(root).as_posix() for path in _tops(config)}
    for folder, folders, files in os.walk(root, followlinks=True):
        here = Path(folder).relative_to(root)
        inside = []
        for name in sorted(name for name in folders if not is_temporary(name)):
            path = (here / name).as_posix()
            if path in ours:
                continue
            # A folder that jobforge fills may be a link to another disk. What is behind any
            # other link is no part of the root: the link itself is what nobody made.
            if path not in filled and (Path(folder) / name).is_symlink():
                yield path
            else:
                inside.append(name)
        folders[:] = inside
        for name in sorted(files):
            path = (here / name).as_posix()
            if path not in names and not is_temporary(name):
                yield path


def _root_record(config: PipelineConfig) -> str:
    return root_record_path(config).relative_to(config.data_root).as_posix()


def _tops(config: PipelineConfig) -> tuple[Path, ...]:
    """The folders of the root that may be links, whether anything is in them yet or not."""
    layers = (config.layer_path(layer) for layer in Layer)
    return (*layers, config.quarantine_path(), config.sources_path(), config.catalog_path())


def _elsewhere(config: PipelineConfig) -> tuple[Path, ...]:
    """Folders that are checked in another way, or hold nothing that anybody relies on."""
    return (
        config.chain_path(),
        config.catalog_lineage_path(),
        config.catalog_openlineage_path(),
        config.running_path(),
    )


def _unknown(config: PipelineConfig, name: str) -> str:
    if (config.data_root / name).is_symlink():
        return "no transition made this link"
    if "/_delta_log/" in name:
        return "no transition made this entry of the table's log"
    return "no transition made this file"
