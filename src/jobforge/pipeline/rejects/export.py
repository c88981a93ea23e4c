"""Rejected records for a person to correct: the source's own columns, with reasons beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from jobforge.contracts.contract import Contract
from jobforge.errors import InvalidOptionError, RecordNotFoundError, WriteError
from jobforge.pipeline import lineage
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.footer import open_layer_file
from jobforge.pipeline.provenance import PROVENANCE, REJECTED_COLUMNS, SOURCE_FILE, SOURCE_ROW
from jobforge.pipeline.rejects.listing import MASK, may_be_shown
from jobforge.pipeline.rejects.snapshot import Snapshot, standing_moves
from jobforge.pipeline.rejects.state import (
    KEY,
    REJECTED_BATCH,
    REJECTED_FILE,
    REJECTED_REASONS,
    REJECTED_ROW,
    RejectFile,
    RejectState,
    need_identity,
    reject_files,
    states,
)
from jobforge.quality.columns import as_text, column
from jobforge.quality.quarantine import REASONS
from jobforge.storage.publish import Publication


def export_rejects(
    config: PipelineConfig,
    batch_id: str,
    target: Path | str,
    layer: Layer | None = None,
    *,
    personal: bool = False,
) -> int:
    """Write the open rejects of a batch as CSV, for a person to correct.

    Each row has the record as staged has it, and four columns that say which
    record it is and what is wrong with it. A corrected file goes back in with
    `replay_rejects`.

    Args:
        config: Where the data root is.
        batch_id: The batch.
        target: A file that is not there yet.
        layer: The layer that rejected them; every one unless given.
        personal: Whether to write the values of personal columns; else they
            are masked, and such a file cannot be brought back in.

    Returns:
        Rows written.

    Raises:
        RecordNotFoundError: Nothing is open.
        InvalidOptionError: The rows do not name their source record, the source
            has columns that CSV cannot hold, or `target` is there already.
        StorageError: A file cannot be read or written.
    """
    place = new_file(target)
    record = lineage.known(config, batch_id)
    snapshot = Snapshot.of(config)
    files = reject_files(snapshot, record, layer)
    if layer is Layer.STAGED:
        raise InvalidOptionError(
            "records that could not be read have no columns to write",
            hint="`jobforge quarantine show` says which they are, and the quarantine file how they "
            "stand in the source",
        )
    files = [file for file in files if file.log.target_layer is not Layer.STAGED]
    for file in files:
        need_identity(file)
    wanted = [_open(snapshot, file, personal=personal) for file in files]
    rows = pl.concat(wanted) if wanted else None
    if rows is None or not rows.height:
        raise RecordNotFoundError(
            f"no rejected record of batch {batch_id} is open",
            hint="`jobforge quarantine list` says how they stand",
        )
    staged = snapshot.path(str(standing_moves(record)[Layer.STAGED].target_file))
    source = open_layer_file(staged, Layer.STAGED).frame
    if record.cures is not None:
        source = source.drop(REJECTED_COLUMNS, strict=False)
    names = source.select(~PROVENANCE).collect_schema()
    cells = [_cell(name, dtype) for name, dtype in names.items()]
    if not personal:
        masked = _personal(files)
        cells = [
            pl.when(column(name).is_not_null()).then(pl.lit(MASK)).alias(name)
            if name in masked
            else cell
            for name, cell in zip(names, cells, strict=True)
        ]
    written = (
        source.join(rows.lazy(), on=KEY, how="inner", maintain_order="left")
        .select(
            *cells,
            pl.lit(batch_id).alias(REJECTED_BATCH),
            pl.col(SOURCE_FILE).alias(REJECTED_FILE),
            pl.col(SOURCE_ROW).alias(REJECTED_ROW),
            pl.col(REJECTED_REASONS),
        )
        .collect(engine="streaming")
    )
    with Publication() as publication:
        temp = publication.reserve(place)
        try:
            written.write_csv(temp, quote_style="necessary")
        except (OSError, pl.exceptions.PolarsError) as error:
            raise WriteError(
                f"{place} cannot be written: {(str(error).splitlines() or [''])[0]}",
                hint="look at free space and permissions",
            ) from error
        publication.place()
        publication.keep()
    return written.height


def new_file(target: object) -> Path:
    """A path at which nothing stands yet.

    Raises:
        InvalidOptionError: It is no path, or something stands there.
    """
    try:
        place = Path(target)  # type: ignore[arg-type] # looked at below
        place.lstat()
        there = True
    except FileNotFoundError:
        there = False
    except (TypeError, ValueError, OSError) as error:
        raise InvalidOptionError(f"{target!r} is no path", hint="name a new file") from error
    if there:
        raise InvalidOptionError(f"{place} is there already", hint="name a new file")
    return place


def _open(snapshot: Snapshot, file: RejectFile, *, personal: bool) -> pl.DataFrame:
    """The open rows of a reject file: which record each is, and what is wrong with it."""
    shown = None if personal else may_be_shown(file)
    reason = pl.element().struct
    value = reason.field("value")
    said = (
        pl.when(value.is_null())
        .then(pl.lit("null"))
        .otherwise(pl.concat_str(pl.lit("'"), value, pl.lit("'")))
    )
    if shown is not None:
        said = pl.when(reason.field("rule").is_in(sorted(shown))).then(said).otherwise(pl.lit(MASK))
    text = pl.concat_str(
        reason.field("rule"), pl.lit(": "), said, pl.lit(" "), reason.field("reason").fill_null("")
    )
    rows = (
        file.rows()
        .select(*KEY, pl.col(REASONS).list.eval(text).list.join("; ").alias(REJECTED_REASONS))
        .collect(engine="streaming")
    )
    return rows.filter(states(snapshot, file)["state"] == RejectState.OPEN)


def _personal(files: Sequence[RejectFile]) -> set[str]:
    """The columns of the source that are classed as personal."""
    found: set[str] = set()
    for file in files:
        if file.footer.contract is not None:
            contract = Contract.from_dict(file.footer.contract)
            found |= {contract.source_of(name) for name in contract.personal}
    return found


def _cell(name: str, dtype: pl.DataType) -> pl.Expr:
    """A value as CSV holds it.

    Raises:
        InvalidOptionError: CSV cannot hold it.
    """
    if dtype.is_nested() or isinstance(dtype, (pl.Binary, pl.Object, pl.Duration)):
        raise InvalidOptionError(
            f"the source column {name!r} is {dtype}, which CSV cannot hold",
            hint="correct the source itself, and ingest it as a batch of its own",
            column=name,
        )
    return as_text(name, dtype).alias(name)
