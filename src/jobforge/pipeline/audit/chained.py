"""The chain, read from its first entry to its last, and what does not fit in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from jobforge.errors import RecordError
from jobforge.pipeline.audit.findings import Findings
from jobforge.pipeline.chain import (
    ChainedFile,
    ChainEntry,
    chain_entry_path,
    chain_numbers,
    is_whole,
    read_bytes,
    sha256,
)
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.records import parse_record
from jobforge.storage.debris import is_temporary
from jobforge.storage.paths import relative_to_root

_NONE = timedelta(0)
_SKEW = timedelta(days=1)
"""How far the clocks of two machines may be apart."""


@dataclass(frozen=True)
class Sealed:
    """An entry and the hash of its bytes."""

    entry: ChainEntry
    sha256: str


@dataclass(frozen=True)
class Left:
    """How a transition left a file that others write anew.

    Args:
        number: Of its entry.
        sha256: The hash of the file.
        started_at: When the transition began.
        sealed_at: When its entry was written.
        host: The machine whose clock that was.
    """

    number: int
    sha256: str
    started_at: datetime
    sealed_at: datetime
    host: str


@dataclass
class Told:
    """What a chain says there has to be.

    Args:
        entries: Those that can be read, in order.
        expected: Files that have to be there, and the number of the entry that made each.
        gone: Files that were removed on purpose.
        views: The states that a file had which transitions write anew, in order.
    """

    entries: list[Sealed] = field(default_factory=list)
    expected: dict[str, tuple[ChainedFile, int]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    views: dict[str, list[Left]] = field(default_factory=dict)


def read_chain(config: PipelineConfig, findings: Findings) -> Told:
    """Read every entry, and check that each is followed by the next."""
    told = Told()
    _check_folder(config, findings)
    numbers = chain_numbers(config)
    before: str | None = None
    broken = False
    for last, number in pairwise([0, *numbers]):
        name = relative_to_root(chain_entry_path(config, number), config.data_root)
        if number > last + 1:
            _say_missing(config, last + 1, number - 1, findings)
            before, broken = None, True
        try:
            data = read_bytes(config, number)
            entry = parse_record(chain_entry_path(config, number), data, ChainEntry)
        except RecordError as error:
            findings.add("chain", name, f"the entry cannot be read: {error.message}", number)
            before, broken = None, True
            continue
        if not is_whole(data):
            findings.add("chain", name, "its bytes are not those that were sealed", number)
        if entry.number != number:
            findings.add("chain", name, f"the entry says that it is number {entry.number}", number)
        # Behind an entry that is not there, nothing tells what its hash should be but this one.
        if entry.previous != before and not broken:
            what = "the first entry" if number == 1 else f"entry {number - 1}"
            text = f"{what} is not the one that this entry was written after"
            findings.add("chain", name, text, number)
        if told.entries and entry.at < told.entries[-1].entry.at:
            text = f"the clock went back: {entry.at} after {told.entries[-1].entry.at}"
            findings.add("clock", name, text, number)
        sealed = Sealed(entry, sha256(data))
        before, broken = sealed.sha256, False
        told.entries.append(sealed)
        _take(told, entry)
    return told


def _say_missing(config: PipelineConfig, first: int, last: int, findings: Findings) -> None:
    """Name a gap once, however wide: one stray file far away makes one of millions."""
    name = relative_to_root(chain_entry_path(config, first), config.data_root)
    text = f"entries {first:,} to {last:,} are missing" if last > first else "the entry is missing"
    findings.add("chain", name, text, first)


def _take(told: Told, entry: ChainEntry) -> None:
    """What there has to be after an entry."""
    for file in entry.files:
        told.expected[file.file] = (file, entry.number)
        told.gone.discard(file.file)
    log = entry.log
    if log is None:
        return
    for file in entry.views:
        left = Left(entry.number, file.sha256, log.started_at, entry.at, log.worker.host)
        told.views.setdefault(file.file, []).append(left)
    for removed in log.removed:
        told.expected.pop(removed.file, None)
        told.gone.add(removed.file)


def may_be_last(left: Left, later: Iterable[Left]) -> bool:
    """Whether a file may be as a transition left it, though later entries name another state.

    Each transition looks at the file after its own write, and seals what it saw. So who wrote
    last saw the last state, and a later entry has an earlier one only where its transition
    looked before that write: then it had begun before the entry of the last writer.
    """
    return all(
        other.sha256 == left.sha256
        or other.started_at <= left.sealed_at + (_SKEW if other.host != left.host else _NONE)
        for other in later
    )


def _check_folder(config: PipelineConfig, findings: Findings) -> None:
    """Name what is in the folder of the chain and is no entry."""
    folder = config.chain_path()
    known = {chain_entry_path(config, number).name for number in chain_numbers(config)}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name not in known and not is_temporary(path.name):
            name = relative_to_root(path, config.data_root)
            findings.add("unknown", name, "this is no entry of the chain")
