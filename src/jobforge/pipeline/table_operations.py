"""What an engine is asked of whole tables, and does to them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.models import LayerTransitionLog
from jobforge.pipeline.transition import Clock

if TYPE_CHECKING:
    from jobforge.pipeline.column_trace import TableLineage
    from jobforge.pipeline.maintenance.clean import CleanPlan
    from jobforge.pipeline.maintenance.diff import TableDiff
    from jobforge.pipeline.maintenance.source_records import SourceRecord
    from jobforge.pipeline.profile import ColumnProfile
    from jobforge.pipeline.reads import TableVersion
    from jobforge.pipeline.schemas import SchemaVersion

# What an operation needs is imported with its first call: a run that moves rows needs none of it.


class TableOperations:
    """Reads, compares and maintains the tables of a data root.

    Args:
        config: Where the data root is.
        clock: Gives the current time in UTC.
    """

    def __init__(self, config: PipelineConfig, clock: Clock) -> None:
        self.config = config
        self._clock = clock

    def read(
        self,
        table: str,
        layer: Layer | str = Layer.GOLD,
        version: int | None = None,
        as_of: datetime | None = None,
    ) -> pl.LazyFrame:
        """The rows of a table as they were written; reading needs no write permission.

        Args:
            table: `table` or `domain/table`.
            layer: staged (its newest batch), bronze, silver or gold.
            version: Number of a version; the newest unless given.
            as_of: The version that was the newest at this time; with a time zone.

        Raises:
            TableNotFoundError: There is no such table, or it never reached the layer.
            VersionNotFoundError: There is no such version, or none that old.
            VersionRemovedError: Its files were removed by `clean` or `erase`.
            TableDamagedError: A log entry or file is missing or altered.
            InvalidOptionError: Both a version and a time are given, or the time has no zone.
        """
        from jobforge.pipeline import reads

        return reads.read(self.config, table, layer, version, as_of)

    def schema_history(self, table: str) -> list[SchemaVersion]:
        """Which columns the source of a table had, and which contract, from which batch on.

        Args:
            table: `table` or `domain/table`.

        Returns:
            A version for each change, oldest first, with what changed.

        Raises:
            TableNotFoundError: There is no such table.
            RecordError: The record is damaged.
        """
        from jobforge.pipeline import query

        return query.schema_versions(self.config, table)

    def profile(
        self,
        table: str,
        layer: Layer | str | None = None,
        version: int | None = None,
        *,
        personal: bool = False,
    ) -> list[ColumnProfile]:
        """Nulls, different values, least, greatest and quartiles of each column of a version.

        Args:
            table: `table` or `domain/table`.
            layer: The highest that the table has unless given.
            version: Number of a version; the newest unless given.
            personal: Whether to give the values of personal columns.

        Raises:
            TableNotFoundError: There is no such table, or it never reached the layer.
            VersionNotFoundError: There is no such version.
            TableDamagedError: A file is missing or altered.
        """
        from jobforge.pipeline.profile import profile

        return profile(self.config, table, layer, version, personal=personal)

    def column_lineage(
        self, table: str, column: str | None = None, layer: Layer | str | None = None
    ) -> TableLineage:
        """Which columns the columns of a table come from, layer by layer, back to the source.

        What cannot be known says so in `gap`; nothing is guessed.

        Args:
            table: `table` or `domain/table`.
            column: Every column unless given.
            layer: The highest that the table has unless given.

        Raises:
            TableNotFoundError: There is no such table, or it never reached the layer.
            UnknownColumnError: It has no such column.
            RecordError: A record is damaged, or a newer jobforge wrote it.
        """
        from jobforge.pipeline.column_trace import column_lineage

        return column_lineage(self.config, table, column, layer)

    def history(self, table: str, layer: Layer | str = Layer.GOLD) -> list[TableVersion]:
        """The versions of one layer of a table, oldest first.

        Raises:
            TableNotFoundError: There is no such table, or it never reached the layer.
            TableDamagedError: The log of the table cannot be read.
        """
        from jobforge.pipeline import reads

        return reads.history(self.config, table, layer)

    def diff(
        self,
        table: str,
        before: int,
        after: int,
        layer: Layer | str = Layer.GOLD,
        key: str | Sequence[str] | None = None,
    ) -> TableDiff:
        """Compare two versions of a table, by their data columns.

        Args:
            table: `table` or `domain/table`.
            before: Number of the one version.
            after: Number of the other.
            layer: bronze, silver or gold.
            key: Columns that tell one row from another; without them, a row that
                changed is one removed and one added.

        Raises:
            VersionNotFoundError: There is no such version.
            VersionRemovedError: The files of one were removed by `clean` or `erase`.
            UnknownColumnError: A key column is missing in one of them.
            InvalidOptionError: The key is null, or the same in two rows of one version.
        """
        from jobforge.pipeline.maintenance.diff import diff

        return diff(self.config, table, before, after, layer, key)

    def rollback(self, table: str, layer: Layer | str, version: int) -> LayerTransitionLog:
        """Make an earlier version the newest one, as a new version; nothing is deleted.

        Raises:
            VersionNotFoundError: There is no such version.
            VersionRemovedError: Its files were removed by `clean` or `erase`.
            InvalidOptionError: It holds what the newest version holds.
            PublishConflictError: Somebody published meanwhile.
        """
        from jobforge.pipeline.maintenance.rollback import rollback

        return rollback(self.config, table, layer, version, self._clock)

    def compact(self, table: str, layer: Layer | str = Layer.GOLD) -> LayerTransitionLog:
        """Write the files of a table into one, as a version with the same rows.

        Raises:
            InvalidOptionError: The table is one file already.
            PublishConflictError: Somebody published meanwhile.
        """
        from jobforge.pipeline.maintenance.compact import compact

        return compact(self.config, table, layer, self._clock)

    def plan_clean(
        self, keep_versions: int | None = None, older_than: timedelta | None = None
    ) -> CleanPlan:
        """What `clean` would remove; nothing is touched.

        Args:
            keep_versions: How many of the newest versions of each table to keep;
                all unless this or `older_than` is given.
            older_than: How far back every version is to open.

        Raises:
            InvalidOptionError: `keep_versions` is below 1, or `older_than` below zero.
        """
        from jobforge.pipeline.maintenance.clean import plan_clean

        return plan_clean(self.config, keep_versions, older_than, self._clock)

    def clean(
        self, keep_versions: int | None = None, older_than: timedelta | None = None
    ) -> CleanPlan:
        """Remove what `plan_clean` shows, and say what that was.

        Raises:
            InvalidOptionError: `keep_versions` is below 1, or `older_than` below zero.
            WriteError: A file cannot be removed.
        """
        from jobforge.pipeline.maintenance.clean import clean

        return clean(self.config, keep_versions, older_than, self._clock)

    def erase(
        self, table: str, records: Sequence[SourceRecord], why: str
    ) -> list[LayerTransitionLog]:
        """Remove source records from staged, every version of every layer, and quarantine.

        Args:
            table: `table` or `domain/table`.
            records: What is to be forgotten.
            why: The reason, for the record; put no personal data in it.

        Raises:
            RecordNotFoundError: One of them is in no file of the table.
            InvalidOptionError: No record or no reason is given.
            PublishConflictError: Somebody published meanwhile; erase again.
        """
        from jobforge.pipeline.maintenance.erase import erase

        return erase(self.config, table, records, why, self._clock)
