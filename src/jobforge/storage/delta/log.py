"""The log of a Delta table on disk: one JSON entry a version, oldest 0.

An entry is a file of JSON lines, named by its version as 20 digits
(https://github.com/delta-io/delta/blob/master/PROTOCOL.md, "Delta Log Entries").
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from jobforge.errors import TableDamagedError
from jobforge.storage.store import Commit, DataFile

LOG = "_delta_log"
KEY = "jobforge"
_ENTRY = re.compile(r"(\d{20})\.json")
_ADDED: dict[str, type] = {"path": str, "size": int, "modificationTime": int}
_LAST_CHECKPOINT = "_last_checkpoint"


def entry_path(folder: Path, number: int) -> Path:
    """Where the entry of a version stands."""
    return folder / LOG / f"{number:020}.json"


def entry_numbers(folder: Path) -> list[int]:
    """Versions that have an entry, ascending; none where there is no log.

    A listing that is made while others publish can miss an entry and have a
    later one; so a gap is looked at again before it counts.
    """
    numbers: list[int] = []
    for pause in (0.001, 0.01, 0.1, 0.0):
        try:
            names = [path.name for path in (folder / LOG).iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise TableDamagedError(
                f"the log of {folder} cannot be read: {error.strerror}",
                hint="look at its permissions",
            ) from error
        numbers = sorted(int(found[1]) for name in names if (found := _ENTRY.fullmatch(name)))
        if len(numbers) == (numbers[-1] + 1 if numbers else 0):
            break
        time.sleep(pause)
    return numbers


def read_entry(folder: Path, number: int) -> list[dict[str, Any]]:
    """The actions of one entry.

    Raises:
        TableDamagedError: It is missing, empty, cut off or no JSON.
    """
    path = entry_path(folder, number)
    try:
        data = path.read_bytes()
        actions = [json.loads(line) for line in data.splitlines() if line.strip()]
    except FileNotFoundError as error:
        raise damaged_entry(path, "is missing") from error
    except (OSError, ValueError) as error:
        raise damaged_entry(path, "cannot be read") from error
    if not actions:
        raise damaged_entry(path, "is empty")
    if not all(map(_well_formed, actions)):
        raise damaged_entry(path, "is not what a Delta log has")
    return actions


def _well_formed(action: object) -> bool:
    """Whether what is read of an action has the form that the protocol gives it."""
    if not isinstance(action, dict) or not all(isinstance(v, dict) for v in action.values()):
        return False
    for name, types in (("add", _ADDED), ("remove", {"path": str})):
        if name in action and not all(
            isinstance(action[name].get(key), kind) for key, kind in types.items()
        ):
            return False
    return True


def damaged_entry(path: Path, what: str) -> TableDamagedError:
    """The error for an entry of the log that is not what was published."""
    return TableDamagedError(
        f"the log entry {path} {what}",
        hint="restore it from a backup; the versions before it still open",
        version=int(path.stem),
    )


def commit_of(actions: list[dict[str, Any]]) -> Commit | None:
    """What jobforge wrote of a version, or None where somebody else made it."""
    for action in actions:
        about = action.get("commitInfo", {}).get(KEY)
        if about is not None:
            try:
                return Commit.model_validate(about)
            except ValueError:
                return None
    return None


def replay(folder: Path) -> Iterator[tuple[int, Commit | None, dict[str, DataFile]]]:
    """Every version with what it says of itself and its files by name, oldest first.

    Raises:
        TableDamagedError: An entry is missing or damaged.
    """
    files: dict[str, DataFile] = {}
    for expected, number in enumerate(entry_numbers(folder)):
        if number != expected:
            raise damaged_entry(entry_path(folder, expected), "is missing")
        actions = read_entry(folder, number)
        files = dict(files)
        for action in actions:
            if removed := action.get("remove"):
                files.pop(unquote(removed["path"]), None)
        for action in actions:
            if added := action.get("add"):
                name = unquote(added["path"])
                rows = json.loads(added.get("stats") or "{}").get("numRecords", 0)
                files[name] = DataFile(name, rows, added["size"], added["modificationTime"])
        yield number, commit_of(actions), files


def reads_as_it_is(folder: Path) -> bool:
    """Whether `deltalake` finds a folder by its path.

    It decodes `%41` to `A`, twice, and takes a backslash for a slash.
    """
    path = str(folder.resolve())
    return "\\" not in path and unquote(path) == path


@contextmanager
def view(folder: Path, scratch: Path | None, *, whole: bool = False) -> Iterator[Path]:
    """A folder that `deltalake` may write to, with the log of a table as it is now.

    Its entries are links to the published ones, back to the last checkpoint.
    What is written there is not published: who made it decides whether it is.

    Args:
        folder: The table.
        scratch: A folder for it; the system's own for temporary files where
            None is given, or where `deltalake` would not find it.
        whole: Every entry, for a version before the last checkpoint.
    """
    near = scratch if scratch is not None and reads_as_it_is(scratch) else None
    if near is not None:
        near.mkdir(exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="jobforge-", dir=near))
    try:
        log = place / LOG
        log.mkdir()
        source = (folder / LOG).resolve()
        first = 0 if whole else _last_checkpoint(source)
        # By number, not by what a listing finds: that may not be of one moment.
        names = [f"{number:020}.json" for number in entry_numbers(folder) if number >= first]
        if first:
            names += [path.name for path in source.glob(f"{first:020}.checkpoint*")]
        for name in names:
            (log / name).symlink_to(source / name)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def written(place: Path) -> dict[str, bytes]:
    """The files of a view's log that are new, by name."""
    return {
        path.name: path.read_bytes()
        for path in sorted((place / LOG).iterdir())
        if not path.is_symlink()
    }


def _last_checkpoint(log: Path) -> int:
    """The version of the newest checkpoint, or 0 where there is none."""
    try:
        version = int(json.loads((log / _LAST_CHECKPOINT).read_bytes())["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return version if any(log.glob(f"{version:020}.checkpoint*")) else 0
