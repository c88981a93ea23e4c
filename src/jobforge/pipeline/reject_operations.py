"""What an engine is asked of rejected rows and of the account of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from jobforge.contracts.short import Schema, parse_schema
from jobforge.pipeline.config import Layer, PipelineConfig, parse_layer
from jobforge.pipeline.layers.referenced import check_tables
from jobforge.pipeline.models import Waiver
from jobforge.pipeline.results import ReplayResult
from jobforge.pipeline.steps import Place, Transform, resolve_steps
from jobforge.pipeline.transition import Clock
from jobforge.readers.base import ReadOptions

if TYPE_CHECKING:
    from jobforge.pipeline.accounts import BatchAccount
    from jobforge.pipeline.quality_history import RuleRun
    from jobforge.pipeline.rejects.listing import RejectSummary

# What an operation needs is imported with its first call: a run that moves rows needs none of it.


class RejectOperations:
    """Lists, hands out, brings back and waives rejected rows."""

    config: PipelineConfig
    _clock: Clock

    def rejects(self, table: str | None = None) -> list[RejectSummary]:
        """What is in quarantine, oldest batch first, and how it stands.

        Args:
            table: `table` or `domain/table`; every table unless given.

        Raises:
            TableNotFoundError: There is no such table.
            StorageError: A record or a file cannot be read.
        """
        from jobforge.pipeline.rejects.listing import rejects

        return rejects(self.config, table)

    def reject_rows(
        self, batch_id: str, layer: Layer | str | None = None, *, personal: bool = False
    ) -> pl.DataFrame:
        """The rejected rows of a batch, one line for each reason.

        Args:
            batch_id: The batch.
            layer: The layer that rejected them; every one unless given.
            personal: Whether to show the values of personal columns.

        Returns:
            `layer`, `step`, `file`, `record`, `rule`, `column`, `value`, `reason`, `state`.

        Raises:
            TableNotFoundError: There is no such batch.
            StorageError: A record or a file cannot be read.
        """
        from jobforge.pipeline.rejects.listing import reject_rows

        return reject_rows(self.config, batch_id, _layer(layer), personal=personal)

    def export_rejects(
        self,
        batch_id: str,
        target: Path | str,
        layer: Layer | str | None = None,
        *,
        personal: bool = False,
    ) -> int:
        """Write the open rejects of a batch as CSV, for a person to correct.

        Args:
            batch_id: The batch.
            target: A file that is not there yet.
            layer: The layer that rejected them; every one unless given.
            personal: Whether to write the values of personal columns; else they
                are masked, and such a file cannot be brought back in.

        Returns:
            Rows written.

        Raises:
            RecordNotFoundError: Nothing is open.
            InvalidOptionError: The rows do not name their source record, CSV
                cannot hold the source, or `target` is there already.
            StorageError: A file cannot be read or written.
        """
        from jobforge.pipeline.rejects.export import export_rejects

        return export_rejects(self.config, batch_id, target, _layer(layer), personal=personal)

    def waive_rejects(
        self,
        batch_id: str,
        *,
        by: str,
        why: str,
        layer: Layer | str | None = None,
        records: Sequence[int] | None = None,
        source_file: str | None = None,
    ) -> list[Waiver]:
        """Decide that rejected rows stay out; the record of the batch says who and why.

        Args:
            batch_id: The batch.
            by: Who answers for it.
            why: The reason; put no personal data in it.
            layer: The layer that rejected them; every one unless given.
            records: `_source_row` of the rows; every open row unless given.
            source_file: `_source_file` of the rows, where the batch has several.

        Raises:
            InvalidOptionError: `by` or `why` says nothing.
            RecordNotFoundError: No such row is open; nothing is waived.
            TableNotFoundError: There is no such batch.
        """
        from jobforge.pipeline.rejects.waive import waive_rejects

        return waive_rejects(
            self.config, batch_id, by, why, self._clock, _layer(layer), records, source_file
        )

    def replay_rejects(
        self,
        source_path: Path | str,
        batch_id: str,
        schema: Schema | None = None,
        silver_transforms: Sequence[Transform] | None = None,
        gold_transforms: Sequence[Transform] | None = None,
        *,
        read: ReadOptions | None = None,
        to: Layer | str | None = None,
    ) -> ReplayResult:
        """Bring corrected rejects in: a batch of their own that names the one it cures.

        Its rows are appended to the layers that the batch reached. The account
        of that batch then shows the records that arrived as cured. The work is
        tried in a folder of its own first, so that what would stop it stops it
        before anything is written.

        Args:
            source_path: A corrected file that `export_rejects` wrote.
            batch_id: The batch whose rejects it corrects.
            schema: As for `promote_to_bronze`; that of the batch unless given.
            silver_transforms: The steps of silver, where the batch had some.
            gold_transforms: The steps of gold, where the batch had some.
            read: As for `ingest`.
            to: `silver` or `gold`, the last layer to bring them into; the
                highest that the batch reached unless given. Rows of their own
                do not belong into an aggregated gold.

        Raises:
            UsageError: The file does not fit the batch, a record is not open, a
                value is masked, steps are missing, or the batch is not in
                silver. Nothing is written.
            PublishConflictError: Somebody brings corrections to the batch in right now.
            JobforgeError: As the four methods do.
        """
        from jobforge.pipeline.rejects.replay import Correction, replay_rejects

        correction = Correction(
            source_path,
            batch_id,
            parse_schema(schema) if schema is not None else None,
            silver_transforms,
            gold_transforms,
            read,
            parse_layer(to) if to is not None else None,
        )
        for layer, transforms in ((Layer.SILVER, silver_transforms), (Layer.GOLD, gold_transforms)):
            place = Place(layer, str(source_path))
            check_tables(self.config, resolve_steps(transforms, place), place)
        outcomes = replay_rejects(self.config, correction, self._clock)
        logs = [outcome.log for outcome in outcomes.values()]
        return {
            "batch_id": logs[0].batch_id,
            "cures": batch_id,
            "paths": {layer: outcome.path for layer, outcome in outcomes.items()},
            "logs": logs,
        }

    def account(self, batch_id: str) -> BatchAccount:
        """Where every record of a batch went, from its source to its last layer.

        Args:
            batch_id: The batch.

        Raises:
            TableNotFoundError: There is no such batch.
            AccountError: The records contradict each other.
            StorageError: A record or a file cannot be read.
        """
        from jobforge.pipeline.accounts import account

        return account(self.config, batch_id)

    def rule_history(self, table: str | None = None) -> list[RuleRun]:
        """How many rows failed each rule, batch by batch: by table and rule, oldest first.

        Args:
            table: `table` or `domain/table`; every table unless given.

        Raises:
            TableNotFoundError: There is no such table.
            RecordError: A record cannot be read.
        """
        from jobforge.pipeline.quality_history import rule_history

        return rule_history(self.config, table)


def _layer(name: Layer | str | None) -> Layer | None:
    return None if name is None else parse_layer(name)
