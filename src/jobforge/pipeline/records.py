"""What all records share: their form on disk, its version, and how they are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from jobforge.errors import RecordError
from jobforge.storage.rewrite import cannot_read

RECORD_FORMAT = 2
"""Version of the form of every record here: older ones are read, a newer one is refused by name.

1: layers are single files. 2: bronze, silver and gold are versioned tables.
"""


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Record(BaseModel):
    """What all records share: they cannot be changed, and unknown fields are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def as_json(self) -> bytes:
        """The record as its file has it."""
        return (self.model_dump_json(indent=2) + "\n").encode()


def check_format(path: Path, text: bytes) -> None:
    """Refuse a record of a newer jobforge by name.

    Raises:
        RecordError: It is one.
        ValueError: The text is no JSON, or is nested too deeply to be a record.
    """
    try:
        raw = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    version = raw.get("format_version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > RECORD_FORMAT:
        raise RecordError(
            f"{path} has record format {version}, and this jobforge reads up to {RECORD_FORMAT}",
            hint="upgrade jobforge",
        )


Kind = TypeVar("Kind", bound=Record)


def read_record(path: Path, kind: type[Kind]) -> Kind:
    """A record from its file.

    Raises:
        RecordError: It is damaged, or a newer jobforge wrote it.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise cannot_read(path, error) from error
    return parse_record(path, text, kind)


def parse_record(path: Path, text: bytes, kind: type[Kind]) -> Kind:
    """A record from the bytes of its file.

    Raises:
        RecordError: It is damaged, or a newer jobforge wrote it.
    """
    try:
        check_format(path, text)
        return kind.model_validate_json(text)
    except ValueError as error:
        raise RecordError(
            f"the record {path} cannot be read ({str(error).splitlines()[0]})",
            hint="restore it from a backup; the data files are not affected",
        ) from error
