"""Corrected rejects go back in, as a batch that names the one it cures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from jobforge.contracts.contract import Contract
from jobforge.errors import (
    DataRootError,
    InvalidOptionError,
    InvalidTransformError,
    JobforgeError,
    PublishConflictError,
    RecordNotFoundError,
    TableDamagedError,
)
from jobforge.pipeline import lineage, spans
from jobforge.pipeline.collecting import collected
from jobforge.pipeline.config import Layer, Loading, PipelineConfig
from jobforge.pipeline.footer import read_footer
from jobforge.pipeline.layers import BronzeLayer, GoldLayer, SilverLayer, StagedLayer
from jobforge.pipeline.layers.referenced import with_keys
from jobforge.pipeline.models import BatchRecord, LayerTransitionLog
from jobforge.pipeline.provenance import BATCH_ID, SOURCE_ROW, generate_batch_id
from jobforge.pipeline.rejects.correction import check_corrections, source_schema
from jobforge.pipeline.rejects.snapshot import Snapshot, standing_moves
from jobforge.pipeline.rejects.state import RejectFile, need_identity, reject_files
from jobforge.pipeline.steps import Place, Transform, resolve_steps
from jobforge.pipeline.transition import Clock, Outcome
from jobforge.pipeline.trial import trial_root
from jobforge.pipeline.versions import check_columns, table_store
from jobforge.readers.base import ReadOptions
from jobforge.storage.debris import mark, take_over


@dataclass(frozen=True)
class Correction:
    """What brings corrected records in.

    Args:
        source: The corrected file.
        batch_id: The batch whose rejects it corrects.
        contract: For bronze; that of the batch unless given.
        silver: Steps of silver; needed where the batch had some.
        gold: Steps of gold; needed where the batch had some.
        read: Options of the format.
        to: The last layer to bring them into; the highest that the batch
            reached unless given.
    """

    source: Path | str
    batch_id: str
    contract: Contract | None = None
    silver: Sequence[Transform] | None = None
    gold: Sequence[Transform] | None = None
    read: ReadOptions | None = None
    to: Layer | None = None


def replay_rejects(
    config: PipelineConfig, correction: Correction, clock: Clock
) -> dict[Layer, Outcome]:
    """Bring corrected records in as a new batch, through the layers that the batch reached.

    The work is tried in a folder of its own first: what it would be stopped by
    stops it before anything is written to the data root.

    Raises:
        TableNotFoundError: There is no such batch.
        UsageError: The file does not fit the batch, a row corrects no reject
            that waits for it, steps are missing, or the batch is not in silver.
        PublishConflictError: Somebody brings corrections to the batch in right now.
        JobforgeError: As the four layers do.
    """
    record = lineage.known(config, correction.batch_id)
    with _alone(config, record.batch_id):
        snapshot = Snapshot.of(config)
        files = reject_files(snapshot, record)
        if not files:
            raise RecordNotFoundError(
                f"batch {record.batch_id} has no rejects",
                hint="`jobforge quarantine list` says which batches have",
            )
        for file in files:
            need_identity(file)
        target = _target(snapshot, record, correction)
        _check_present(config, record)
        _check_steps(record, correction, target)
        check_corrections(snapshot, record, files, correction.source, correction.read)
        work = _Work(record, source_schema(snapshot, record), correction, clock, target)
        contract = _contract(files, correction)
        _try(config, work, contract)
        with spans.of_run(config, "replay", f"{record.domain}/{record.table}"):
            return work.run(config, contract)


@dataclass(frozen=True)
class _Work:
    """The transitions that bring corrections in, one layer after the other."""

    record: BatchRecord
    source: pl.Schema
    correction: Correction
    clock: Clock
    target: Layer

    def run(self, config: PipelineConfig, contract: Contract) -> dict[Layer, Outcome]:
        record, correction, clock = self.record, self.correction, self.clock
        loading = Loading("append")
        staged = StagedLayer(clock).run(
            correction.source,
            config,
            record.table,
            record.domain,
            generate_batch_id(),
            correction.read,
            cures=record.batch_id,
        )
        bronze = BronzeLayer(clock).run(
            staged.path, config, contract, loading, corrects=self.source
        )
        silver = SilverLayer(clock).run(bronze.path, config, correction.silver, loading)
        made = {Layer.STAGED: staged, Layer.BRONZE: bronze, Layer.SILVER: silver}
        if self.target is Layer.GOLD:
            made[Layer.GOLD] = GoldLayer(clock).run(silver.path, config, correction.gold, loading)
        return made


@contextmanager
def _alone(config: PipelineConfig, batch_id: str) -> Iterator[None]:
    """Keep others from bringing corrections to the same batch in meanwhile.

    Raises:
        PublishConflictError: Somebody does.
    """
    path = config.running_path() / f"{batch_id}.replay"
    busy = PublishConflictError(
        f"somebody brings corrections to batch {batch_id} in right now",
        hint="look at what they brought in, then replay what is still open",
    )
    marker = take_over(path)
    if marker is None and path.exists():
        raise busy
    if marker is None:
        try:
            marker = mark(path)
        except DataRootError as error:
            if isinstance(error.__cause__, FileExistsError):
                raise busy from error
            raise
    try:
        yield
    finally:
        marker.done()


def _target(snapshot: Snapshot, record: BatchRecord, correction: Correction) -> Layer:
    """The last layer to bring the rows into.

    Raises:
        InvalidOptionError: It is none of silver and gold, the batch is not
            there, or its rows in gold are aggregates.
    """
    moves = standing_moves(record)
    gold = moves.get(Layer.GOLD)
    wanted = correction.to
    if wanted not in (None, Layer.SILVER, Layer.GOLD):
        raise InvalidOptionError(f"to is {str(wanted)!r}", hint="use 'silver' or 'gold'")
    if wanted is Layer.SILVER or (wanted is None and gold is None):
        return Layer.SILVER
    if gold is None or gold.target_file is None:
        raise InvalidOptionError(
            f"batch {record.batch_id} is not in gold", hint="bring it into silver: to='silver'"
        )
    if not _names_records(snapshot, gold):
        raise InvalidOptionError(
            f"gold of batch {record.batch_id} is aggregated, and rows of their own do not belong "
            "there",
            hint="bring the corrections into silver (to='silver'), and make gold anew from there",
            table=record.table,
        )
    return Layer.GOLD


def _names_records(snapshot: Snapshot, gold: LayerTransitionLog) -> bool:
    """Whether the rows of a batch in gold name their source records, as those of its rejects do.

    A compaction and a `clean` may have removed the file that the batch brought: then its
    log tells, or the rows that the newest version has of it.

    Raises:
        InvalidOptionError: Nothing tells it any more.
    """
    try:
        return read_footer(snapshot.path(str(gold.target_file))).traceable
    except TableDamagedError:
        if gold.groups_file is not None:
            return False
        if gold.contents is not None and gold.contents.key == "record":
            return True
    store = table_store(snapshot.config, Layer.GOLD, gold.domain, gold.table)
    version = store.version()
    table = store.scan(version)
    mine = table.filter(pl.col(BATCH_ID) == gold.batch_id)
    named = pl.col(SOURCE_ROW).is_not_null().any() if _has_numbers(table) else pl.lit(value=False)
    files = (store.folder / file.name for file in version.files)
    rows, any_named = collected(mine.select(pl.len(), named), files).row(0)
    if not rows:
        raise InvalidOptionError(
            f"batch {gold.batch_id} is no longer in gold of {gold.domain}/{gold.table}, and the "
            "file that it brought was removed",
            hint="bring the corrections into silver (to='silver'), and make gold anew from there",
            table=gold.table,
        )
    return bool(any_named)


def _has_numbers(table: pl.LazyFrame) -> bool:
    return SOURCE_ROW in table.collect_schema()


def _check_steps(record: BatchRecord, correction: Correction, target: Layer) -> None:
    """Refuse to bring rows in by another way than the rest of their batch came."""
    asked = [(Layer.SILVER, correction.silver)]
    asked += [(Layer.GOLD, correction.gold)] if target is Layer.GOLD else []
    for layer, given in asked:
        log = standing_moves(record).get(layer)
        known = [step.name for step in log.transforms_applied] if log is not None else []
        steps = resolve_steps(given, Place(layer, record.table))
        if [step.name for step in steps] != known:
            names = ", ".join(known) or "no steps"
            raise InvalidTransformError(
                f"{layer} of batch {record.batch_id} was made with {names}",
                hint="rows of one batch go one way: pass the same steps, "
                f"PipelineEngine.replay_rejects({layer}_transforms=[...])",
                table=record.table,
            )


def _check_present(config: PipelineConfig, record: BatchRecord) -> None:
    """Refuse corrections to a batch that is not in silver: they would stand there alone."""
    log = standing_moves(record).get(Layer.SILVER)
    where = f"silver of {record.domain}/{record.table}"
    if log is None or log.target_file is None:
        raise InvalidOptionError(
            f"batch {record.batch_id} has not reached {where}",
            hint="promote it first, or ingest the corrected source as a batch of its own",
            table=record.table,
        )
    if not log.row_count_out:
        return
    store = table_store(config, Layer.SILVER, record.domain, record.table)
    version = store.version()
    mine = store.scan(version).filter(pl.col(BATCH_ID) == record.batch_id).head(1)
    if not collected(mine, (store.folder / file.name for file in version.files)).height:
        raise InvalidOptionError(
            f"batch {record.batch_id} is no longer in {where}",
            hint="another batch took its place: ingest the corrected source as a batch of its own",
            table=record.table,
        )


def _contract(files: list[RejectFile], correction: Correction) -> Contract:
    if correction.contract is not None:
        return correction.contract
    declared = next((f.footer.contract for f in files if f.footer.contract), None)
    return Contract.from_dict(declared) if declared else Contract({})


def _try(config: PipelineConfig, work: _Work, contract: Contract) -> None:
    """Do the work in a folder of its own, and compare the columns with those of the tables.

    Raises:
        SchemaMismatchError: They differ.
        JobforgeError: As the four layers do.
    """
    correction = work.correction
    fixed = replace(
        correction,
        silver=_with_keys(config, work, Layer.SILVER, correction.silver),
        gold=_with_keys(config, work, Layer.GOLD, correction.gold),
    )
    with trial_root(row_numbers=config.row_numbers) as trial:
        try:
            made = replace(work, correction=fixed).run(trial, contract)
        except JobforgeError as error:
            # Nobody finds the files of a trial, and nothing of it is in quarantine.
            error.place = {key: v for key, v in error.place.items() if key != "quarantine"}
            error.hint = "nothing was written; mend the corrected file, and replay it again"
            raise
        for layer, outcome in made.items():
            if layer is Layer.STAGED:
                continue
            store = table_store(config, layer, work.record.domain, work.record.table)
            if store.latest() is not None:
                schema = pl.scan_parquet(outcome.path, glob=False).collect_schema()
                check_columns(store, store.version(), schema)


def _with_keys(
    config: PipelineConfig, work: _Work, layer: Layer, steps: Sequence[Transform] | None
) -> list[Transform] | None:
    """Steps whose references to tables are read from the real data root."""
    if steps is None:
        return None
    place = Place(layer, work.record.table)
    found, _ = with_keys(config, resolve_steps(steps, place), place)
    return [step.function for step in found]
