"""Many small files into one, as a version with the same rows."""

from __future__ import annotations

import polars as pl

from jobforge.errors import ContentChangedError, InvalidOptionError, PublishConflictError
from jobforge.pipeline import reads
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.footer import Footer, read_footer
from jobforge.pipeline.maintenance.begin import begin, check_bytes, open_table
from jobforge.pipeline.models import LayerTransitionLog, Operation
from jobforge.pipeline.transition import Clock, utc_now
from jobforge.pipeline.versions import Joining, Publisher, conflict
from jobforge.pipeline.work import Verdict, Work, Written
from jobforge.pipeline.writing import carry_out
from jobforge.quality.account import RowAccount
from jobforge.storage.delta import DeltaStore
from jobforge.storage.store import Change, Commit, DataFile, Version


def compact(
    config: PipelineConfig, table: str, layer: Layer | str, clock: Clock = utc_now
) -> LayerTransitionLog:
    """Write the rows of a table into one file.

    Args:
        config: Where the data root is.
        table: `table` or `domain/table`.
        layer: bronze, silver or gold.
        clock: Gives the time in UTC.

    Returns:
        The log of the transition.

    Raises:
        InvalidOptionError: The table has one file already.
        ContentChangedError: The rows would not be the same; nothing is published.
        PublishConflictError: Somebody published meanwhile.
    """
    found, wanted, store = open_table(config, table, layer)
    old = store.version()
    if len(old.files) == 1:
        raise InvalidOptionError(
            f"{wanted} of {found.domain}/{found.table} is one file already",
            hint="there is nothing to do",
        )
    frame = reads.open_version(config, found, wanted, old)
    check_bytes(config, found, [store.folder / file.name for file in old.files])
    transition = begin(config, found, wanted, Operation.COMPACT, clock, version=old)

    def judge(written: Written) -> Verdict:
        before, after = _content(frame), _content(pl.scan_parquet(written.target, glob=False))
        if before != after:
            raise ContentChangedError(
                "the rows of the compacted file are not those of the table",
                hint="this is likely a defect of jobforge or Polars: report it",
            )
        return Verdict(RowAccount(rows_in=old.commit.rows, rows_out=written.rows))

    footers = [read_footer(store.folder / file.name) for file in old.files]
    work = Work(
        frame,
        _joint(footers, transition.move.batch_id),
        judge,
        least_bytes=old.commit.size_bytes // 2,
    )
    return carry_out(transition, lambda _: work, Joining(_publisher(old))).log


def _publisher(old: Version) -> Publisher:
    def publish(
        store: DeltaStore, file: DataFile, schema: pl.Schema, commit: Commit, _: int | None
    ) -> Version:
        try:
            change = Change(commit, (file,), schema, same_content=True)
            return store.version(store.publish(change, old.number))
        except PublishConflictError as error:
            raise conflict(old.number + 1, store.commit(old.number + 1)) from error

    return publish


def _content(frame: pl.LazyFrame) -> tuple[int, int]:
    """Rows, and a sum of the hashes of all rows: the same for the same rows in any order."""
    hashed = pl.struct(pl.all()).hash().sum()
    found = frame.select(pl.len(), hashed.alias("hash")).collect(engine="streaming")
    return found.row(0)


def _joint(footers: list[Footer], batch_id: str) -> Footer:
    """What a file says that holds the rows of several."""
    sources = {(s.name, s.sha256): s for footer in footers for s in footer.sources}
    batches = dict.fromkeys(b for footer in footers for b in footer.batches or (footer.batch_id,))
    return footers[0].model_copy(
        update={
            "batch_id": batch_id,
            "batches": tuple(batches),
            "sources": tuple(sources.values()),
            "traceable": all(footer.traceable for footer in footers),
        }
    )
