"""All batch records at one moment: which files stand for which, and which batch cures which."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from jobforge.errors import TableDamagedError
from jobforge.pipeline import lineage
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.models import MOVES, BatchRecord, LayerTransitionLog


@dataclass(frozen=True)
class Snapshot:
    """The records of a data root, read once for a question.

    Args:
        config: Where the data root is.
        records: Every batch record, or those of one table: corrections and
            erasures are of the table that they are about.
    """

    config: PipelineConfig
    records: tuple[BatchRecord, ...]

    @classmethod
    def of(cls, config: PipelineConfig) -> Snapshot:
        """The records as they are now.

        Raises:
            RecordError: One is damaged, or a newer jobforge wrote it.
        """
        return cls(config, tuple(lineage.all_records(config)))

    @cached_property
    def _instead(self) -> dict[str, str]:
        """For each file that an erasure wrote anew, the file that took its place."""
        return {
            str(added.instead_of): added.file
            for record in self.records
            for log in record.transitions
            for added in log.added
            if added.instead_of is not None and added.instead_of != added.file
        }

    def path(self, file: str) -> Path:
        """Where what a record names stands by now: an erasure writes files anew.

        Raises:
            TableDamagedError: It is not there.
        """
        seen = {file}
        while file in self._instead and not (self.config.data_root / file).is_file():
            file = self._instead[file]
            if file in seen:
                break
            seen.add(file)
        path = self.config.data_root / file
        if not path.is_file():
            raise TableDamagedError(
                f"{path}, which a record names, is not there",
                hint="restore it from a backup; if it was erased on purpose, restore the "
                "records of the erasure",
            )
        return path

    def was_rewritten(self, file: str) -> bool:
        """Whether an erasure wrote a file anew."""
        return file in self._instead

    def instead(self, file: str) -> str | None:
        """The file that an erasure wrote in the place of one; None where none did."""
        return self._instead.get(file)

    def removal_of(self, file: str) -> LayerTransitionLog | None:
        """The transition that removed a file on purpose, or put another in its place."""
        if (self.config.data_root / file).exists():
            return None
        for record in self.records:
            for log in record.transitions:
                if any(gone.file == file for gone in log.removed):
                    return log
        return None

    def corrections(self, batch_id: str) -> list[BatchRecord]:
        """Batches that were to bring rejects of a batch in, corrected; oldest first."""
        return [record for record in self.records if record.cures == batch_id]


def standing_moves(record: BatchRecord) -> dict[Layer, LayerTransitionLog]:
    """The transitions by which a batch came to the highest layer that has its rows.

    They are followed backwards from file to file, so that an attempt that
    failed, or a layer that was promoted again and fed nobody yet, does not mix
    in. Where the next layer was tried and never published, that last attempt
    is the end.
    """
    moves = [log for log in record.transitions if log.operation in MOVES]
    by_file = {log.target_file: log for log in moves if log.target_file is not None}
    order = list(Layer)
    published = [log for layer in order for log in moves if _published(log, layer)]
    chain = published[-1:]
    while chain and chain[0].inputs and chain[0].inputs[0].file in by_file:
        chain.insert(0, by_file[chain[0].inputs[0].file])
    top = order.index(chain[-1].target_layer) if chain else -1
    above = [log for log in moves if order.index(log.target_layer) == top + 1]
    return {log.target_layer: log for log in [*chain, *above[-1:]]}


def _published(log: LayerTransitionLog, layer: Layer) -> bool:
    return log.target_layer is layer and log.target_file is not None
