"""A transition that was run again, held against its record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from jobforge._version import __version__
from jobforge.errors import AbandonedError, TableDamagedError
from jobforge.pipeline.audit.replay_files import whole
from jobforge.pipeline.audit.replay_result import Compared, LayerReplay, ReplayVerdict, What
from jobforge.pipeline.audit.replay_rows import Added, differing
from jobforge.pipeline.audit.replay_run import Ran
from jobforge.pipeline.content import contents_of
from jobforge.pipeline.footer import read_footer
from jobforge.pipeline.layers.adding import is_sum, may_add
from jobforge.pipeline.models import Contents, LayerTransitionLog, TransitionStatus
from jobforge.pipeline.rejects.snapshot import Snapshot

_FLOATS = (
    "only the last bits of floats differ: a sum of floats depends on the order in which they are "
    "added, and that is not the same in each run; sums of Decimal or whole numbers are"
)


def held_against(
    snapshot: Snapshot, log: LayerTransitionLog, ran: Ran, before: ReplayVerdict
) -> LayerReplay:
    """What came out, against what was recorded.

    Args:
        snapshot: The records of the data root of the batch.
        log: The transition as it was recorded.
        ran: The same, run again.
        before: The verdict on what it read.

    Raises:
        TableDamagedError: A recorded file is missing, or is not what was written.
    """
    compared = tuple(_files(snapshot, log, ran))
    wrong = [*_outcome(log, ran), *_counts(log, ran)]
    lost = [f"the recorded {_WORDS[one.what]} are gone" for one in compared if _gone(one)]
    wrong += [_said(one) for one in compared if not one.same and not _gone(one)]
    verdict, reasons = ReplayVerdict.IDENTICAL, [*wrong, *lost]
    if wrong:
        excuses = _excuses(log, ran, before, compared)
        verdict = ReplayVerdict.NOT_PROVABLE if excuses else ReplayVerdict.DIFFERS
        reasons += excuses
    elif lost:
        verdict = ReplayVerdict.NOT_PROVABLE
    return LayerReplay(
        layer=log.target_layer,
        transition_id=log.transition_id,
        verdict=verdict,
        reasons=tuple(reasons),
        notes=() if wrong else ran.doubts,
        compared=compared,
    )


def varies(log: LayerTransitionLog, found: LayerReplay, ran: Ran, other: Ran) -> bool:
    """Whether two replays of a transition differ from each other where they differ from its record.

    What is the same in both is no less a difference for what is not: a value that
    was altered beside a number that is another one each time.

    Args:
        log: The transition as it was recorded.
        found: What is known of the difference.
        ran: The transition, run again.
        other: The same once more.

    Raises:
        TableDamagedError: What came out cannot be read.
    """
    codes = [one.error.code if one.error is not None else None for one in (ran, other)]
    if codes[0] != codes[1]:
        return True
    if _counts(log, ran) and not _counts(ran.log, other):
        return False
    wrong = [one for one in found.compared if not one.same]
    twice = {}
    for what, was, now in _pairs(ran.log, other.log):
        if any(one.what == what for one in wrong):
            known = (ran.log.contents, other.log.contents) if what == "rows" else (None, None)
            pair = (was, ran.path(was))
            twice[what] = _compared(what, pair, other.path(now), known, (ran.log, other.log))
    return bool(wrong) and all(_covers(twice[one.what], one) for one in wrong)


def _covers(twice: Compared, found: Compared) -> bool:
    """Whether the difference of two replays is one where that from the record is."""
    if twice.same or (twice.last_bits_only and not found.last_bits_only):
        return False
    if not twice.columns:
        return True  # their rows cannot be told to belong together
    return bool(found.columns) and set(found.columns) <= set(twice.columns)


def _excuses(
    log: LayerTransitionLog, ran: Ran, before: ReplayVerdict, compared: tuple[Compared, ...]
) -> list[str]:
    """Why a difference says nothing of the record."""
    found = list(ran.doubts)
    if before is ReplayVerdict.NOT_PROVABLE:
        found.append("what it read could not be proved")
    if log.polars_version != pl.__version__:
        found.append(f"it ran with Polars {log.polars_version}, and this is {pl.__version__}")
    if log.jobforge_version != __version__:
        found.append(f"it ran with jobforge {log.jobforge_version}, and this is {__version__}")
    if ran.error is None and _nearly(compared):
        found.append(_FLOATS)
    return found


def _nearly(compared: tuple[Compared, ...]) -> bool:
    others = [one for one in compared if not one.same]
    return bool(others) and all(one.last_bits_only for one in others)


def _outcome(log: LayerTransitionLog, ran: Ran) -> list[str]:
    """Whether it ended as it did."""
    now = ran.error.code if ran.error is not None else None
    refused = log.status is TransitionStatus.FAILED and log.target_file is None
    was = log.errors[0].code if refused and log.errors else None
    if was == now:
        return []
    if was is None:
        return [f"it was published, and is refused now: {now} {ran.told}"]
    if now is None:
        return [f"it was refused with {was}, and is published now"]
    return [f"it was refused with {was}, and now with {now}: {ran.told}"]


def _counts(log: LayerTransitionLog, ran: Ran) -> list[str]:
    """Whether the rows went where they went, and as many."""
    published = log.target_file is not None
    died = log.status is TransitionStatus.FAILED and published
    if died and any(error.code == AbandonedError.code for error in log.errors):
        return []  # its process may have ended before it had counted
    found = []
    if not died and log.status is not ran.log.status:
        found.append(f"it is recorded as {log.status}, and is {ran.log.status} now")
    for what, was, now in (
        ("in", log.row_count_in, ran.log.row_count_in),
        ("out", log.row_count_out, ran.log.row_count_out),
    ):
        if was != now:
            found.append(f"{_number(was)} rows {what} are recorded, and {_number(now)} counted now")
    if log.account != ran.log.account:
        found.append("the row account is another one")
    if log.rules != ran.log.rules:
        found.append("the rules count other rows")
    return found


def _number(rows: int | None) -> str:
    return "no" if rows is None else f"{rows:,}"


def _pairs(
    log: LayerTransitionLog, now: LayerTransitionLog
) -> list[tuple[What, str | None, str | None]]:
    """The files of a transition, and those that came out."""
    return [
        ("rows", log.target_file, now.target_file),
        ("rejects", log.quarantine_file, now.quarantine_file),
        ("left out", log.edges_file, now.edges_file),
        ("groups", log.groups_file, now.groups_file),
    ]


def _files(snapshot: Snapshot, log: LayerTransitionLog, ran: Ran) -> list[Compared]:
    found = []
    for what, was, now in _pairs(log, ran.log):
        if was is None and now is None:
            continue
        there = _there(snapshot, was, log.content_hash if what == "rows" else None)
        known = (log.contents, ran.log.contents) if what == "rows" else (None, None)
        found.append(_compared(what, (was, there), ran.path(now), known, (log, ran.log)))
    return found


def _there(snapshot: Snapshot, file: str | None, content_hash: str | None) -> Path | None:
    if file is None or snapshot.removal_of(file) is not None:
        return None
    return whole(snapshot, file, content_hash)


def _compared(
    what: What,
    recorded: tuple[str | None, Path | None],
    replayed: Path | None,
    known: tuple[Contents | None, Contents | None],
    logs: tuple[LayerTransitionLog, LayerTransitionLog],
) -> Compared:
    """Two files by what they hold; by what the logs say of that, where these can be compared.

    Raises:
        TableDamagedError: The recorded one cannot be read.
    """
    file, there = recorded
    was, now = known
    if was is None or now is None or (was.algorithm, was.key) != (now.algorithm, now.key):
        with _readable(there):
            was = _contents(there) if there is not None else None
        now = _contents(replayed) if replayed is not None else None
    hashes = (was.hash if was is not None else None, now.hash if now is not None else None)
    if hashes[0] == hashes[1] and hashes[0] is not None:
        return Compared(what=what, same=True, recorded_hash=hashes[0], replayed_hash=hashes[1])
    found = Compared(what=what, same=False, recorded_hash=hashes[0], replayed_hash=hashes[1])
    if (file is not None and there is None) or (there is None and replayed is None):
        return found
    with _readable(there):
        return found.model_copy(update=_difference(there, replayed, logs))


@contextmanager
def _readable(path: Path | None) -> Iterator[None]:
    """Say of which recorded file the rows cannot be read.

    Raises:
        TableDamagedError: They cannot.
    """
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise TableDamagedError(
            f"{path} cannot be read: {first}",
            hint="restore it from a backup; nothing can be compared with it as it is",
            file=str(path),
        ) from error


def _added(log: LayerTransitionLog, now: LayerTransitionLog) -> Added:
    """How many floats a value of a column may be the sum of; 0 where no step adds any."""
    floats = max(now.row_count_in or 0, 1) if may_add(now) else 0
    return lambda name: floats if is_sum(log, name) else 0


def _difference(
    there: Path | None, replayed: Path | None, logs: tuple[LayerTransitionLog, LayerTransitionLog]
) -> dict[str, object]:
    """Which rows differ, as fields of `Compared`."""
    frames = [pl.scan_parquet(p, glob=False) if p is not None else None for p in (there, replayed)]
    one, other = frames
    if one is None or other is None:
        rows = one if one is not None else other
        assert rows is not None  # noqa: S101 - one of the two is there
        return {"differing": int(rows.select(pl.len()).collect().item())}
    schemas = one.collect_schema(), other.collect_schema()
    if list(schemas[0].items()) != list(schemas[1].items()):
        was, now = schemas
        names = sorted(
            {name for each in schemas for name in each if was.get(name) != now.get(name)}
        )
        told = [f"{n} ({was.get(n, 'none')}, now {now.get(n, 'none')})" for n in names]
        return {"columns": tuple(told) or ("their order",)}
    discreet = any(read_footer(p).discreet for p in (there, replayed) if p is not None)
    found = differing(one, other, show=not discreet, added=_added(*logs), grain=logs[0].grain)
    return {
        "differing": found.rows,
        "columns": found.columns,
        "first": found.first,
        "last_bits_only": found.last_bits,
        "withheld": discreet,
    }


def _contents(path: Path) -> Contents:
    """What a file holds; any frame can be asked in this way, whatever its rows are of."""
    return contents_of(pl.scan_parquet(path, glob=False), by_record=False)


def _gone(one: Compared) -> bool:
    """Whether nobody can say what was recorded: it was removed, and no hash of it was kept."""
    return not one.same and one.recorded_hash is None and one.differing is None and not one.columns


_WORDS = {
    "rows": "rows",
    "rejects": "rejects",
    "left out": "records that were left out",
    "groups": "records of the groups",
}


def _said(one: Compared) -> str:
    what = _WORDS[one.what]
    if one.differing is None and one.columns:
        return f"the {what} have other columns: {', '.join(one.columns)}"
    names = f" in {', '.join(one.columns)}" if one.columns else ""
    return (
        f"the {what} differ" if one.differing is None else f"{one.differing:,} {what} differ{names}"
    )
