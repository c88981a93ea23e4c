"""Files that somebody removed while a question was answered, told from damaged ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pydantic import ValidationError

from jobforge.errors import (
    JobforgeError,
    NotAJobforgeFileError,
    PublishConflictError,
    SourceUnreadableError,
    TableDamagedError,
)
from jobforge.pipeline import chain, lineage, recovery
from jobforge.pipeline.config import PipelineConfig

_AS_IF_DAMAGED = (TableDamagedError, NotAJobforgeFileError, SourceUnreadableError)
"""What a file that goes away leads to, depending on how far it was read."""


@contextmanager
def removals_told_from_damage(config: PipelineConfig) -> Iterator[None]:
    """Answer a question from files that `erase` and `clean` may remove under it.

    Raises:
        PublishConflictError: A file was not as its record has it, and files were removed
            on purpose since the question was asked.
    """
    asked_at = chain.newest_number(config)
    try:
        yield
    except _AS_IF_DAMAGED as error:
        batch_id = _removed_since(config, asked_at)
        if batch_id is None:
            raise
        raise PublishConflictError(
            f"the batch {batch_id} removed files while they were read ({error.message})",
            hint="ask again",
            batch=batch_id,
        ) from error


def _removed_since(config: PipelineConfig, number: int) -> str | None:
    """The batch that removed files on purpose after an entry of the chain, or does it now."""
    # In this order: what ends meanwhile has its entry before its marker goes.
    for batch_id, transition_id in recovery.running(config):
        with suppress(JobforgeError):
            record = lineage.load(config, batch_id)
            for log in record.transitions if record is not None else ():
                if log.transition_id == transition_id and log.removed:
                    return batch_id
    for later in range(number + 1, chain.newest_number(config) + 1):
        with suppress(JobforgeError, ValidationError):
            entry = chain.ChainEntry.model_validate_json(chain.read_bytes(config, later))
            if entry.log is not None and entry.log.removed:
                return entry.batch_id
    return None
