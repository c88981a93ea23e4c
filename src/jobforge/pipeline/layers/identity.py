"""Counting rows by the source records that they name."""

from __future__ import annotations

from typing import NamedTuple, Self

import polars as pl

from jobforge.pipeline.provenance import PROVENANCE_DTYPES


class Counts(NamedTuple):
    """Rows after a step.

    Where only rows are counted, the three counts of identities are zero.
    """

    rows: int
    forged: int
    """Rows whose provenance the step changed."""
    different: int
    """Different source records among them."""
    kept: int
    """Different source records that the input has too."""

    @classmethod
    def of(cls, probe: pl.DataFrame) -> Self:
        """Counts from a computed probe."""
        return cls(*(int(value) for value in probe.row(0)))


def count_probe(
    frame: pl.LazyFrame,
    key: tuple[str, ...],
    known: pl.LazyFrame,
    constants: dict[str, str],
    *,
    exact: bool,
) -> pl.LazyFrame:
    """A frame of one row with the `Counts` of another, to be computed in the same pass.

    Args:
        frame: Rows after a step, shared with the pass that writes them.
        key: Columns that identify a row; none where rows have no identity.
        known: The input of the layer.
        constants: Provenance columns and the one value that each should have.
        exact: Count identities too.
    """
    forged = pl.lit(0, dtype=pl.Int64)
    if constants:
        changed = pl.any_horizontal(
            pl.col(name).cast(pl.String, strict=False).ne_missing(pl.lit(value))
            for name, value in constants.items()
        )
        forged = changed.sum().cast(pl.Int64)
    rows = frame.select(pl.len().cast(pl.Int64).alias("rows"), forged.alias("forged"))
    if not exact or not key:
        zero = pl.lit(0, dtype=pl.Int64)
        return rows.with_columns(zero.alias("different"), zero.alias("kept"))
    identities = keys_of(frame, key).unique()
    kept = identities.join(keys_of(known, key), on=key, how="semi")
    parts = [
        rows,
        identities.select(pl.len().cast(pl.Int64).alias("different")),
        kept.select(pl.len().cast(pl.Int64).alias("kept")),
    ]
    return pl.concat(parts, how="horizontal")


def keys_of(frame: pl.LazyFrame, key: tuple[str, ...]) -> pl.LazyFrame:
    """The identities of rows that have one, in the types of provenance."""
    typed = frame.select(pl.col(name).cast(PROVENANCE_DTYPES[name], strict=False) for name in key)
    return typed.drop_nulls()


def count_written(frame: pl.LazyFrame, key: tuple[str, ...], known: pl.LazyFrame) -> Counts:
    """The `Counts` of a written file, identities among them."""
    return Counts.of(count_probe(frame, key, known, {}, exact=True).collect(engine="streaming"))
