"""The account of a batch: from the records of its source to the rows of its last layer."""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise

from pydantic import Field, NonNegativeInt

from jobforge.errors import AccountError
from jobforge.pipeline import lineage
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.models import BatchRecord, LayerTransitionLog, TransitionStatus, Waiver
from jobforge.pipeline.records import Record
from jobforge.pipeline.rejects.snapshot import Snapshot, standing_moves
from jobforge.pipeline.rejects.state import RejectState, curers, reject_files, states
from jobforge.pipeline.root import check_root

_DONE = (TransitionStatus.SUCCESS, TransitionStatus.PARTIAL)


class Way(StrEnum):
    """How rows leave a layer, or come into being in it."""

    QUARANTINED = "quarantined"
    DEDUPLICATED = "deduplicated"
    FILTERED = "filtered"
    DROPPED = "dropped"
    AGGREGATED = "aggregated"
    GENERATED = "generated"


class AccountLine(Record):
    """Rows that left a layer under one name, or that it made."""

    way: Way
    name: str
    """The rule, filter, key or function."""
    rows: NonNegativeInt


class LayerAccount(Record):
    """One step of the waterfall."""

    layer: Layer
    status: TransitionStatus
    rows_in: NonNegativeInt
    rows_out: NonNegativeInt
    """0 where nothing was published."""
    lines: tuple[AccountLine, ...] = ()
    rejects: dict[RejectState, NonNegativeInt] = Field(default_factory=dict)
    """How its rejects stand by now; a state that no row has is left out."""
    waivers: tuple[Waiver, ...] = ()
    """Who decided to leave rejects of it out, and why, oldest first."""
    stopped_by: str | None = None
    """Why nothing was published, where that is so."""


class BatchAccount(Record):
    """Where every record of a batch went, layer by layer.

    The rows that come into a layer are those that left the layer before.
    """

    batch_id: str
    table: str
    domain: str
    source_records: NonNegativeInt
    layers: tuple[LayerAccount, ...]
    cures: str | None = None
    cured_by: tuple[str, ...] = ()
    """Batches that brought rejects of this one in, corrected."""

    @property
    def rows(self) -> int:
        """Rows in the highest layer that the batch reached."""
        done = [layer for layer in self.layers if layer.status in _DONE]
        return done[-1].rows_out if done else 0


def account(
    config: PipelineConfig, batch_id: str, snapshot: Snapshot | None = None
) -> BatchAccount:
    """The account of a batch, with how its rejects stand by now.

    Args:
        config: Where the data root is.
        batch_id: The batch.
        snapshot: All batch records; read unless given.

    Raises:
        DataRootError: There is no such folder.
        TableNotFoundError: There is no such batch.
        AccountError: The records contradict each other.
        StorageError: A record or a file cannot be read.
    """
    check_root(config)
    record = lineage.known(config, batch_id)
    snapshot = snapshot or Snapshot.of(config)
    files = {file.log.transition_id: file for file in reject_files(snapshot, record)}
    layers = []
    for log in standing_moves(record).values():
        file = files.get(log.transition_id)
        standing = {}
        if file is not None:
            counted = states(snapshot, file).group_by("state").len().sort("state")
            standing = {RejectState(name): rows for name, rows in counted.iter_rows()}
        layers.append(_layer(record, log, standing))
    _check(layers)
    return BatchAccount(
        batch_id=batch_id,
        table=record.table,
        domain=record.domain,
        source_records=layers[0].rows_in if layers else 0,
        layers=tuple(layers),
        cures=record.cures,
        cured_by=tuple(curers(snapshot, record)),
    )


def _layer(
    record: BatchRecord, log: LayerTransitionLog, rejects: dict[RejectState, int]
) -> LayerAccount:
    found = log.account
    lines: list[AccountLine] = []
    if found is not None:
        for way, counts in (
            (Way.QUARANTINED, found.quarantined),
            (Way.DEDUPLICATED, found.deduplicated),
            (Way.FILTERED, found.filtered),
            (Way.DROPPED, found.dropped),
            (Way.AGGREGATED, {"aggregated": found.aggregated} if found.aggregated else {}),
            (Way.GENERATED, found.generated),
        ):
            lines += [AccountLine(way=way, name=name, rows=n) for name, n in counts.items()]
    return LayerAccount(
        layer=log.target_layer,
        status=log.status,
        rows_in=log.row_count_in or 0,
        rows_out=log.row_count_out or 0,
        lines=tuple(lines),
        rejects=rejects,
        waivers=tuple(w for w in record.waivers if w.quarantine_file == log.quarantine_file),
        stopped_by=log.errors[0].message if log.errors else None,
    )


def _check(layers: list[LayerAccount]) -> None:
    """Refuse an account in which rows appear or vanish between two layers.

    Raises:
        AccountError: They do.
    """
    for before, after in pairwise(layers):
        if before.rows_out != after.rows_in and after.status in _DONE:
            raise AccountError(
                f"{before.rows_out} rows left {before.layer}, and {after.rows_in} came into "
                f"{after.layer}",
                hint="a file or a record was altered: restore them from a backup",
                layer=str(after.layer),
            )
