"""What `verify` says."""

from __future__ import annotations

from jobforge.pipeline.chain import Head
from jobforge.pipeline.records import Record


class Finding(Record):
    """One thing that does not fit."""

    kind: str
    """What sort of thing: `chain`, `clock`, `head`, `account`, `record`, `count`, `schema`,
    `version`, `missing`, `changed`, `unknown`, `unfinished`."""
    subject: str
    """The file that it is about, relative to the data root."""
    message: str
    entry: int | None = None
    """Number of the entry that says how it should be."""


class Verification(Record):
    """What was held against the chain, and what does not fit."""

    head: Head | None
    """The last entry; null where the data root has no chain."""
    entries: int
    files: int
    """Files that the chain says have to be there."""
    size_bytes: int
    """Their bytes."""
    hashed_bytes: int
    """Bytes that were read and hashed."""
    unread_files: int = 0
    """Files whose bytes were not read, because `since` left them out."""
    unread_before: int | None = None
    """Files of entries before this one were not read; null where all were."""
    findings: tuple[Finding, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether everything fits."""
        return not self.findings


class Findings:
    """What was found so far, in order."""

    def __init__(self) -> None:
        self.all: list[Finding] = []

    def add(self, kind: str, subject: str, message: str, entry: int | None = None) -> None:
        """Take something down that does not fit."""
        self.all.append(Finding(kind=kind, subject=subject, message=message, entry=entry))
