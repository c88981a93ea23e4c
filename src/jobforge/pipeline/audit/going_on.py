"""Work that has begun and has no entry in the chain yet."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from jobforge.errors import JobforgeError
from jobforge.pipeline import lineage, recovery
from jobforge.pipeline.audit.findings import Findings
from jobforge.pipeline.config import PipelineConfig
from jobforge.storage.paths import relative_to_root


@dataclass(frozen=True)
class GoingOn:
    """Transitions that are under way, or whose process ended without an outcome.

    Args:
        transitions: Batch and transition of each.
        tables: Domain and table, as a path, of each.
    """

    transitions: frozenset[tuple[str, str]]
    tables: frozenset[str]

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
    transitions = recovery.running(config)
    tables = set()
    for batch_id, transition_id in transitions:
        with suppress(JobforgeError):  # a record that cannot be read is named elsewhere
            record = lineage.load(config, batch_id)
            if record is not None:
                tables.add(f"{record.domain}/{record.table}")
        path = config.running_path() / recovery.marker_name(batch_id, transition_id)
        if path.exists() and not recovery.is_alive(config, batch_id, transition_id):
            name = relative_to_root(path, config.data_root)
            text = "a process ended in the middle of its work; the next run settles it"
            findings.add("unfinished", name, text)
    return GoingOn(frozenset(transitions), frozenset(tables))
