"""Rejected records for a person to correct: the source's own columns, with reasons beside them."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from jobforge.errors import InvalidOptionError, RecordNotFoundError, WriteError
from jobforge.pipeline import lineage
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.models import BatchRecord
from jobforge.pipeline.passes import one_interrupt
from jobforge.pipeline.provenance import PROVENANCE, SOURCE_FILE, SOURCE_ROW
from jobforge.pipeline.rejects.listing import MASK, may_be_shown, personal_sources
from jobforge.pipeline.rejects.snapshot import Snapshot
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
    source_rows,
    states,
)
from jobforge.quality.columns import as_text, column
from jobforge.quality.quarantine import REASONS
from jobforge.storage.publish import OUTSIDE, Publication


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
    files = _files(snapshot, record, layer)
    parts = [_open(snapshot, file, personal=personal) for file in files]
    rows = pl.concat(parts) if parts else pl.DataFrame()
    if not rows.height:
        raise RecordNotFoundError(
            f"no rejected record of batch {batch_id} is open",
            hint="`jobforge quarantine list` says how they stand",
        )
    source = source_rows(snapshot, record)
    masked = set() if personal else personal_sources(files)
    cells = [
        _cell(name, dtype, masked=name in masked)
        for name, dtype in source.select(~PROVENANCE).collect_schema().items()
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
    _write(written, place)
    return written.height


def _files(snapshot: Snapshot, record: BatchRecord, layer: Layer | None) -> list[RejectFile]:
    """The reject files whose rows are records of staged.

    Raises:
        InvalidOptionError: Those of staged are asked for, or rows have no numbers.
    """
    if layer is Layer.STAGED:
        raise InvalidOptionError(
            "records that could not be read have no columns to write",
            hint="`jobforge quarantine show` says which they are, and the quarantine file how they "
            "stand in the source",
        )
    found = reject_files(snapshot, record, layer)
    files = [file for file in found if file.log.target_layer is not Layer.STAGED]
    for file in files:
        need_identity(file)
    return files


def _write(rows: pl.DataFrame, place: Path) -> None:
    with Publication(hints=OUTSIDE) as publication, one_interrupt():
        temp = publication.reserve(place)
        try:
            rows.write_csv(temp, quote_style="necessary")
        except (OSError, pl.exceptions.PolarsError) as error:
            raise WriteError(
                f"{place} cannot be written: {(str(error).splitlines() or [''])[0]}",
                hint="look at free space and permissions",
            ) from error
        publication.place()
        publication.keep()


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
        why = getattr(error, "strerror", None) or error
        raise InvalidOptionError(
            f"{str(target)!r} is no path: {why}", hint="name a new file"
        ) from error
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


def _cell(name: str, dtype: pl.DataType, *, masked: bool) -> pl.Expr:
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
    if masked:
        return pl.when(column(name).is_not_null()).then(pl.lit(MASK)).alias(name)
    return as_text(name, dtype).alias(name)
