"""What an auditor asks of a data root, as methods of the engine."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from jobforge.pipeline import chain
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.transition import Clock
from jobforge.readers.base import Progress, no_progress

if TYPE_CHECKING:
    from jobforge.pipeline.audit.findings import Verification


class AuditOperations:
    """Whether a data root is still what was published, and where its rows are from.

    Args:
        config: Where the data root is.
        clock: Gives the current time in UTC.
    """

    config: PipelineConfig
    _clock: Clock

    def verify(
        self,
        *,
        since: datetime | int | None = None,
        against: str | None = None,
        progress: Progress = no_progress,
    ) -> Verification:
        """Hold every file and record of the data root against the chain, offline.

        Args:
            since: The number of an entry of the chain, or a time: the bytes of files
                that entries before it made are not read again.
            against: A hash that `head` gave earlier: the chain has to have that entry still.
            progress: Told how many bytes were read, of how many.

        Returns:
            What was looked at, and everything that does not fit; `sound` where
            nothing was found.

        Raises:
            DataRootError: There is no data root.
            InvalidOptionError: `since` or `against` makes no sense.
        """
        from jobforge.pipeline.audit.verify import verify

        return verify(self.config, since=since, against=against, progress=progress)

    def head(self) -> chain.Head | None:
        """The last entry of the chain and its hash, to be kept elsewhere; None without a chain.

        Raises:
            RecordError: It cannot be read.
        """
        return chain.head(self.config)
