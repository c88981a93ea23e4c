"""Bronze: declared renames and exact casts; no business logic."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from jobforge.contracts.casts import can_cast, describe, exact_cast
from jobforge.contracts.schema import BronzeSchema, parse_schema
from jobforge.errors import CastRejectedError, InvalidSchemaError
from jobforge.pipeline.config import Layer, Loading, PipelineConfig
from jobforge.pipeline.footer import LayerFile
from jobforge.pipeline.layers.base import LayerBase
from jobforge.pipeline.provenance import (
    PROVENANCE_DTYPES,
    data_columns,
    move,
    provenance_last,
)
from jobforge.pipeline.transition import Outcome, Transition
from jobforge.pipeline.writing import Verdict, Work, Written, carry_out
from jobforge.quality.account import RowAccount
from jobforge.quality.columns import column, columns, free_name
from jobforge.quality.quarantine import REASONS, STEP, Check, count_by_first_reason, split

Schema = BronzeSchema | Mapping[str, Any]
"""What bronze is told to do; see `jobforge.contracts.schema`."""


class BronzeLayer(LayerBase):
    """Renames and casts by declaration; takes no functions."""

    name: ClassVar = Layer.BRONZE
    allowed_operations: ClassVar = frozenset({"rename", "cast"})

    def process(
        self, staged_path: Path | str, config: PipelineConfig, schema: Schema | None = None
    ) -> Path:
        """Move a staged file to bronze.

        Args:
            staged_path: A file that `StagedLayer.ingest` or the engine returned.
            config: Where the data root is.
            schema: `{"rename": {...}, "cast": {...}, "null_values": [...],
                "format": {...}}`; see `jobforge.contracts.schema`.

        Returns:
            Path of the Parquet file. Rows with a value that cannot be cast
            exactly are in quarantine, not in it.

        Raises:
            InvalidSchemaError: The schema is not well formed.
            UnknownColumnError: It names a column that is not there.
            CastRejectedError: No row survived; the rejects are kept.
            NotAJobforgeFileError: The path is no file of jobforge.
            WrongLayerError: The file is not a staged one.
        """
        return self.run(staged_path, config, schema).path

    def run(
        self,
        staged_path: Path | str,
        config: PipelineConfig,
        schema: Schema | None = None,
        loading: Loading | None = None,
    ) -> Outcome:
        """`process`, with the log of the transition in the result."""
        opened = self._open(staged_path, Layer.STAGED)
        loading = loading or Loading()
        transition = self._transition(config, opened, loading)
        how = self._joining(transition, loading)
        return carry_out(transition, lambda _: self._work(opened, schema, transition), how)

    def _work(self, opened: LayerFile, schema: Schema | None, transition: Transition) -> Work:
        declared = parse_schema(schema)
        types = opened.frame.collect_schema()
        names = data_columns(types.names())
        declared.check_against(names, (*PROVENANCE_DTYPES, REASONS, STEP))
        originals = {declared.rename.get(old, old): old for old in names}
        places = {new: free_name(f"__cast_{new}", types) for new in declared.casts}
        checks, values = _casts(declared, originals, types, places)
        rejects = None
        frame = opened.frame
        if checks:
            parted = split(frame.with_columns(values), checks, "cast")
            frame = parted.good
            bad = parted.bad.drop(columns(places.values()))
            rejects = move(bad, self.name, transition.started_at)
            rejects = provenance_last(rejects, rejects.collect_schema().names())
        finished = _renamed(frame, originals, places)
        finished = move(finished, self.name, transition.started_at)
        finished = provenance_last(finished, finished.collect_schema().names())
        return Work(
            finished,
            self._footer(opened.footer, traceable=opened.footer.traceable),
            lambda written: _judge(opened, written),
            rejects=rejects,
            source_columns={new: (old,) for new, old in originals.items()},
            least_bytes=opened.path.stat().st_size // 2,
        )


def _casts(
    declared: BronzeSchema, originals: dict[str, str], types: pl.Schema, places: dict[str, str]
) -> tuple[list[Check], list[pl.Expr]]:
    """For each cast the check that can reject a row, and the value under a name of its own."""
    checks, values = [], []
    for new, cast in declared.casts.items():
        old = originals[new]
        source = types[old]
        if not can_cast(source, cast.dtype):
            raise InvalidSchemaError(
                f"cast: there is no exact cast from {source} to {cast.dtype}",
                hint="leave the column as it is, or cast it in silver",
                column=new,
            )
        if cast.null_by_name and not isinstance(source, pl.String):
            raise InvalidSchemaError(
                f"null_values: the column is {source}, and words are for text",
                hint="turn values into null in silver",
                column=new,
            )
        value, failed = exact_cast(old, source, cast)
        checks.append(
            Check(
                rule=f"cast:{new}",
                column=old,
                failed=failed,
                reason=f"is no {describe(cast.dtype, cast.format)}",
            )
        )
        values.append(value.alias(places[new]))
    return checks, values


def _renamed(
    frame: pl.LazyFrame, originals: dict[str, str], places: dict[str, str]
) -> pl.LazyFrame:
    """Data columns under their new names, cast values in place of the originals."""
    data = [column(places.get(new, old)).alias(new) for new, old in originals.items()]
    kept = [name for name in frame.collect_schema().names() if name in PROVENANCE_DTYPES]
    return frame.select(*data, columns(kept))


def _judge(opened: LayerFile, written: Written) -> Verdict:
    quarantined = count_by_first_reason(written.rejects) if written.rejects else {}
    account = RowAccount(rows_in=opened.rows, rows_out=written.rows, quarantined=quarantined)
    refusal = None
    if opened.rows and not written.rows:
        worst = next(iter(quarantined), "cast")
        refusal = CastRejectedError(
            f"no row of {opened.rows} survived the casts; {quarantined.get(worst, 0)} failed "
            f"{worst} first",
            hint="look at the rejects in quarantine: is the type, format or null word right?",
            table=opened.footer.table,
            layer="bronze",
        )
    return Verdict(account, refusal=refusal)
