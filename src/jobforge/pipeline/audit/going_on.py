"""Work that has begun and has no entry in the chain yet."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jobforge.errors import JobforgeError
from jobforge.pipeline import lineage, recovery, waiving
from jobforge.pipeline.audit.findings import Findings
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.models import Waiver
from jobforge.storage.debris import is_abandoned, is_temporary
from jobforge.storage.paths import relative_to_root


@dataclass(frozen=True)
class GoingOn:
    """Transitions and waivers that are under way, or whose process ended without an outcome.

    Args:
        transitions: Batch and transition of each.
        tables: Domain and table, as a path, of each.
        waivers: Batch and waiver of what is about to be sealed.
        removed: Files that they remove on purpose.
    """

    transitions: frozenset[tuple[str, str]]
    tables: frozenset[str]
    waivers: frozenset[tuple[str, Waiver]]
    removed: frozenset[str]

    def may_change(self, name: str) -> bool:
        """Whether a file, relative to the data root, is one that such a transition may write."""
        if not self.transitions:
            return False
        folders = f"/{name}"
        return name == "catalog/root.json" or any(
            f"/{table}/" in folders or folders.endswith(f"/{table}.json") for table in self.tables
        )


def find_going_on(config: PipelineConfig, findings: Findings) -> GoingOn:
    """What is under way; work that nobody will end is named."""
    _check_folder(config, findings)
    transitions = recovery.running(config)
    tables, removed = set[str](), set[str]()
    for batch_id, transition_id in transitions:
        with suppress(JobforgeError):  # a record that cannot be read is named elsewhere
            record = lineage.load(config, batch_id)
            if record is not None:
                tables.add(f"{record.domain}/{record.table}")
                log = record.transition(transition_id)
                removed |= {gone.file for gone in log.removed} if log is not None else set()
        path = config.running_path() / recovery.marker_name(batch_id, transition_id)
        if path.exists() and not recovery.is_alive(config, batch_id, transition_id):
            _say_unfinished(config, path, findings)
    waivers: set[tuple[str, Waiver]] = set()
    for path, planned in waiving.waiving(config):
        if planned is not None:
            waivers |= {(planned.batch_id, waiver) for waiver in planned.waivers}
        if is_abandoned(path):
            _say_unfinished(config, path, findings)
    return GoingOn(
        frozenset(transitions), frozenset(tables), frozenset(waivers), frozenset(removed)
    )


def find_left_behind(config: PipelineConfig, going_on: GoingOn, findings: Findings) -> None:
    """Name unfinished files that nobody writes any more, and that no marker leads to."""
    for path in recovery.left_behind(config):
        name = relative_to_root(path, config.data_root)
        if not going_on.may_change(name) and path.exists():
            text = "a process ended while it wrote this; `jobforge clean --yes` removes it"
            findings.add("unfinished", name, text)


def _say_unfinished(config: PipelineConfig, path: Path, findings: Findings) -> None:
    name = relative_to_root(path, config.data_root)
    text = "a process ended in the middle of its work; the next run settles it"
    findings.add("unfinished", name, text)


def _check_folder(config: PipelineConfig, findings: Findings) -> None:
    """Name what is in the folder of the markers and is none."""
    folder = config.running_path()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        # One that has just gone was a marker of work that is done.
        plain = (path.is_file() and not path.is_symlink()) or not os.path.lexists(path)
        if not (recovery.is_marker(path.name) and plain) and not is_temporary(path.name):
            name = relative_to_root(path, config.data_root)
            findings.add("unknown", name, "this is no marker of work")
