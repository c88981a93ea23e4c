"""`verify`: whether everything in a data root is still what was published, offline.

The chain says what there has to be: every finished transition, every file with its
hash. What is on the disk is held against it, and what is on the disk and not in the
chain is named too.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from jobforge.errors import InvalidOptionError
from jobforge.pipeline import chain, recovery, waiving
from jobforge.pipeline.audit.accounts import check_logs
from jobforge.pipeline.audit.chained import Told, read_chain
from jobforge.pipeline.audit.files import check_files
from jobforge.pipeline.audit.findings import Findings, Verification
from jobforge.pipeline.audit.going_on import find_going_on, find_left_behind
from jobforge.pipeline.audit.published import check_published
from jobforge.pipeline.audit.recorded import check_records
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.root import check_is_root
from jobforge.storage.debris import is_abandoned

_ROUNDS = 20
"""How often to look again while others work."""
_SHORTEST = 16
"""Digits of a hash that are enough to name one."""
Progress = Callable[[str, int, int | None], None]


def verify(
    config: PipelineConfig,
    *,
    since: datetime | int | None = None,
    against: str | None = None,
    progress: Progress = lambda *_: None,
) -> Verification:
    """Hold a data root against its chain.

    Nothing is written, and nothing is asked of any other machine. Transitions that
    are under way are left out.

    Args:
        config: Where the data root is.
        since: An entry's number, or a time: the bytes of files that entries before it
            made are not read again; that they are there, with their size, is checked.
        against: The hash of a head that was kept, at least 16 hexadecimal digits: the
            chain has to have that entry still.
        progress: Told of the files as they are read, in bytes.

    Returns:
        What was looked at, and everything that does not fit, in the order of the
        chain; records and files after that.

    Raises:
        DataRootError: There is no data root.
        InvalidOptionError: `since` or `against` makes no sense.
    """
    _check_options(since, against)
    check_is_root(config)
    if isinstance(since, int):
        _check_number(config, since)
    for _ in range(_ROUNDS):
        before = _state(config)
        found = _verified(config, since, against, progress)
        # Where somebody began or finished work meanwhile, half of it is from before that.
        if found.sound or before == _state(config):
            break
    return found


def _state(config: PipelineConfig) -> tuple[object, ...]:
    """What is another where somebody began or finished work."""
    running = recovery.running(config)
    # A marker is there for a moment before it is locked: then its process looks dead.
    alive = [recovery.is_alive(config, *work) for work in running]
    waivers = [(*known, is_abandoned(known[0])) for known in waiving.waiving(config)]
    return chain.newest_number(config), running, alive, waivers


def _verified(
    config: PipelineConfig,
    since: datetime | int | None,
    against: str | None,
    progress: Progress,
) -> Verification:
    findings = Findings()
    going_on = find_going_on(config, findings)
    told = read_chain(config, findings)
    if against is not None:
        _check_against(told, against, findings)
    check_logs(config, told, findings)
    check_records(config, told, going_on, findings)
    first = _first(told, since)
    seen = check_files(config, told, going_on, first, findings, progress)
    check_published(config, told, first, findings)
    find_left_behind(config, going_on, findings)
    last = told.entries[-1] if told.entries else None
    return Verification(
        head=chain.Head(number=last.entry.number, sha256=last.sha256) if last else None,
        entries=len(told.entries),
        files=seen.files,
        size_bytes=seen.size_bytes,
        hashed_bytes=seen.hashed_bytes,
        unread_files=sum(number < first for _, number in told.expected.values()),
        unread_before=first if first > 1 else None,
        findings=tuple(findings.all),
    )


def _check_options(since: object, against: object) -> None:
    number = isinstance(since, int) and not isinstance(since, bool) and since > 0
    time = isinstance(since, datetime) and since.tzinfo is not None
    if since is not None and not number and not time:
        raise InvalidOptionError(
            f"since is {since}",
            hint="use the number of an entry, or a time with its zone: 2026-01-31T00:00:00Z",
        )
    if against is None:
        return
    digits = against.strip().lower() if isinstance(against, str) else ""
    if len(digits) < _SHORTEST or digits.strip("0123456789abcdef"):
        raise InvalidOptionError(
            f"against is {against!r}",
            hint="use the hash that `jobforge verify --head` printed",
        )


def _check_number(config: PipelineConfig, since: int) -> None:
    last = chain.newest_number(config)
    if since > last and since > max(chain.chain_numbers(config), default=0):
        raise InvalidOptionError(
            f"there is no entry {since} of the chain: the head is {last}",
            hint="`jobforge verify --head` prints the last one",
        )


def _check_against(told: Told, against: str, findings: Findings) -> None:
    wanted = against.strip().lower()
    if not any(sealed.sha256.startswith(wanted) for sealed in told.entries):
        findings.add(
            "head",
            "catalog/chain",
            f"no entry has the hash {wanted}: the chain was cut, or is another one",
        )


def _first(told: Told, since: datetime | int | None) -> int:
    """The number of the first entry whose files are read."""
    if since is None or isinstance(since, int):
        return since or 1
    later = [sealed.entry.number for sealed in told.entries if sealed.entry.at >= since]
    return min(later, default=len(told.entries) + 1)
