"""Corrected rejects go back in, as a batch that names the one it cures."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from jobforge.contracts.column import Column
from jobforge.contracts.contract import Contract
from jobforge.contracts.dtypes import parse_dtype
from jobforge.errors import (
    InvalidOptionError,
    InvalidSchemaError,
    InvalidTransformError,
    RecordNotFoundError,
    UnknownColumnError,
)
from jobforge.pipeline import lineage
from jobforge.pipeline.config import Layer, Loading, PipelineConfig
from jobforge.pipeline.footer import open_layer_file
from jobforge.pipeline.layers import BronzeLayer, GoldLayer, SilverLayer, StagedLayer
from jobforge.pipeline.models import BatchRecord
from jobforge.pipeline.provenance import PROVENANCE, SOURCE_FILE, SOURCE_ROW, generate_batch_id
from jobforge.pipeline.rejects.listing import MASK
from jobforge.pipeline.rejects.state import (
    REJECTED_BATCH,
    REJECTED_FILE,
    REJECTED_ROW,
    RejectFile,
    RejectState,
    last_moves,
    need_identity,
    reject_files,
    states,
)
from jobforge.pipeline.steps import Transform
from jobforge.pipeline.transition import Clock, Outcome
from jobforge.pipeline.versions import table_store
from jobforge.quality.columns import columns
from jobforge.readers.base import ReadContext, ReadOptions
from jobforge.readers.registry import read_source
from jobforge.storage.debris import scratch_folder
from jobforge.storage.source import SourceFile

_KEY = [REJECTED_FILE, REJECTED_ROW]


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
    """

    source: Path | str
    batch_id: str
    contract: Contract | None = None
    silver: Sequence[Transform] | None = None
    gold: Sequence[Transform] | None = None
    read: ReadOptions | None = None


def replay_rejects(
    config: PipelineConfig, correction: Correction, clock: Clock
) -> dict[Layer, Outcome]:
    """Bring corrected records in as a new batch, through the layers that the batch reached.

    Raises:
        TableNotFoundError: There is no such batch.
        UnknownColumnError: The file does not say which records it corrects.
        RecordNotFoundError: A row corrects no open reject, or one twice.
        InvalidOptionError: The file has masked values, or the batch is no
            longer in the table.
        InvalidTransformError: The batch had steps, and none are given.
        JobforgeError: As the four layers do.
    """
    record = lineage.known(config, correction.batch_id)
    files = reject_files(config, record)
    for file in files:
        need_identity(file)
    _check_steps(record, correction)
    _check_present(config, record)
    staged = last_moves(record)[Layer.STAGED]
    types = open_layer_file(config.data_root / str(staged.target_file), Layer.STAGED)
    source = types.frame.select(~PROVENANCE).collect_schema()
    contract = _contract(files, correction, source)
    _check_rows(config, record, files, correction)
    loading = Loading("append")
    outcomes: dict[Layer, Outcome] = {}
    first = StagedLayer(clock).run(
        correction.source,
        config,
        record.table,
        record.domain,
        generate_batch_id(),
        correction.read,
        cures=record.batch_id,
    )
    outcomes[Layer.STAGED] = first
    second = BronzeLayer(clock).run(first.path, config, contract, loading, corrects=True)
    outcomes[Layer.BRONZE] = second
    third = SilverLayer(clock).run(second.path, config, correction.silver, loading)
    outcomes[Layer.SILVER] = third
    if Layer.GOLD in last_moves(record):
        outcomes[Layer.GOLD] = GoldLayer(clock).run(third.path, config, correction.gold, loading)
    return outcomes


def _check_steps(record: BatchRecord, correction: Correction) -> None:
    """Refuse to bring rows in by another way than the rest of their batch came."""
    for layer, given in ((Layer.SILVER, correction.silver), (Layer.GOLD, correction.gold)):
        log = last_moves(record).get(layer)
        if log is not None and log.transforms_applied and given is None:
            names = ", ".join(step.name for step in log.transforms_applied)
            raise InvalidTransformError(
                f"{layer} of batch {record.batch_id} was made with {names}",
                hint=f"pass them to PipelineEngine.replay_rejects({layer}_transforms=[...]); [] "
                "for none",
                table=record.table,
            )


def _check_present(config: PipelineConfig, record: BatchRecord) -> None:
    """Refuse corrections to a batch that another one took the place of since."""
    log = last_moves(record).get(Layer.SILVER)
    if log is None or log.target_file is None:
        return
    store = table_store(config, Layer.SILVER, record.domain, record.table)
    latest = store.latest()
    if latest is None:
        return
    rows = store.scan(store.version(latest))
    mine = rows.filter(pl.col("_batch_id") == record.batch_id).head(1)
    any_row = log.row_count_out
    if any_row and not mine.collect(engine="streaming").height:
        raise InvalidOptionError(
            f"batch {record.batch_id} is no longer in silver of {record.domain}/{record.table}",
            hint="another batch took its place: ingest the corrected source as a batch of its own",
            table=record.table,
        )


def _contract(files: list[RejectFile], correction: Correction, source: pl.Schema) -> Contract:
    """The contract of the batch, with a type for each column that was not text in the source."""
    contract = correction.contract
    if contract is None:
        declared = next((f.footer.contract for f in files if f.footer.contract), None)
        contract = Contract.from_dict(declared) if declared else Contract({})
    names = {contract.source_of(name): name for name in contract.columns}
    declared_columns = dict(contract.columns)
    for old, dtype in source.items():
        name = names.get(old, old)
        known = declared_columns.get(name, Column())
        wanted = isinstance(dtype, pl.String) or known.dtype is not None
        if not wanted and (old in names or contract.extra_columns == "keep"):
            try:
                declared_columns[name] = replace(known, dtype=parse_dtype(name, dtype))
            except InvalidSchemaError:
                continue  # an append of another type is refused with its name
    return replace(contract, columns=declared_columns)


def _check_rows(
    config: PipelineConfig, record: BatchRecord, files: list[RejectFile], correction: Correction
) -> None:
    """Refuse rows that correct nothing, before anything is written."""
    with scratch_folder(Path(tempfile.gettempdir()), generate_batch_id()) as scratch:
        table = read_source(
            SourceFile(Path(correction.source)), correction.read, ReadContext(scratch)
        )
        frame = table.frame
        names = frame.collect_schema().names()
        for name in (REJECTED_BATCH, *_KEY):
            if name not in names:
                raise UnknownColumnError(
                    f"{correction.source} has no column {name!r}, which says what a row corrects",
                    hint="correct a file that `jobforge quarantine export` wrote",
                    column=name,
                )
        keys = frame.select(REJECTED_BATCH, *_KEY).collect(engine="streaming")
        texts = [n for n, t in frame.collect_schema().items() if isinstance(t, pl.String)]
        masked = (
            frame.select(pl.lit(value=False))
            if not texts
            else frame.select(
                pl.any_horizontal((columns(texts).as_expr() == MASK).fill_null(value=False)).any()
            )
        )
        has_mask = bool(masked.collect(engine="streaming").item())
    if has_mask:
        raise InvalidOptionError(
            f"{correction.source} has masked values",
            hint="export with --show-personal, correct that file, and keep it safe",
        )
    others = keys.filter(keys[REJECTED_BATCH].ne_missing(record.batch_id))
    if others.height:
        raise RecordNotFoundError(
            f"{others.height:,} rows are of another batch than {record.batch_id}",
            hint="replay one batch at a time",
        )
    asked = keys.select(
        pl.col(REJECTED_FILE).alias(SOURCE_FILE),
        pl.col(REJECTED_ROW).cast(pl.Int64, strict=False).alias(SOURCE_ROW),
    )
    known = pl.concat(
        [states(config, file).filter(pl.col("state") == RejectState.OPEN) for file in files]
    ).select(SOURCE_FILE, SOURCE_ROW)
    strangers = asked.join(known, on=[SOURCE_FILE, SOURCE_ROW], how="anti")
    if strangers.height:
        row = strangers.row(0)
        raise RecordNotFoundError(
            f"{strangers.height:,} rows correct no open reject, the first one record {row[1]} of "
            f"{row[0]}",
            hint="nothing was written; `jobforge quarantine list` says how the rejects stand",
        )
    twice = asked.height - asked.n_unique()
    if twice:
        raise RecordNotFoundError(
            f"{twice:,} rows correct a record that another row corrects too",
            hint="nothing was written; leave one row for each record",
        )
