"""The profile of a version: nulls, different values, least, greatest and the quartiles.

It is computed from the rows when it is asked for, for any version that opens.
The catalog keeps none of it: values there would outlive an erasure.
"""

from __future__ import annotations

from typing import Any

import polars as pl
from pydantic import Field, NonNegativeInt

from jobforge.contracts.contract import Contract
from jobforge.errors import TableDamagedError
from jobforge.pipeline import reads
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.provenance import data_columns
from jobforge.pipeline.records import Record
from jobforge.quality.columns import column, text_of

QUANTILES = (0.25, 0.5, 0.75)


class ColumnProfile(Record):
    """One column of one version. Values are text, as Polars writes them."""

    column: str
    data_type: str
    rows: NonNegativeInt
    nulls: NonNegativeInt
    distinct: NonNegativeInt | None = None
    """Different values that are not null; null for nested types."""
    minimum: str | None = None
    maximum: str | None = None
    quantiles: dict[str, str | None] = Field(default_factory=dict)
    """For numbers, dates and times, by `0.25`, `0.5`, `0.75`: a value that is there."""
    masked: bool = False
    """Whether its values are withheld, because the column is, or may be, personal."""


def profile(
    config: PipelineConfig,
    table: str,
    layer: Layer | str | None = None,
    version: int | None = None,
    *,
    personal: bool = False,
) -> list[ColumnProfile]:
    """The profile of the data columns of a version.

    Args:
        config: Where the data root is.
        table: `table` or `domain/table`.
        layer: staged, bronze, silver or gold; the highest that the table has
            unless given.
        version: Number of the version; the newest unless given.
        personal: Whether to give the values of personal columns.

    Raises:
        TableNotFoundError: There is no such table, or it never reached the layer.
        VersionNotFoundError: There is no such version.
        TableDamagedError: A file is missing or altered.
    """
    seen = reads.look(config, table, layer, version)
    schema = seen.frame.collect_schema()
    names = data_columns(schema.names())
    declared = None if personal or seen.contract is None else Contract.from_dict(seen.contract)
    shown = None
    if declared is not None:
        shown = declared.shown(source=seen.layer is Layer.STAGED)
    parts = {name: _measures(name, schema[name]) for name in names}
    wanted = [e for name, measures in parts.items() for e in _aliased(names.index(name), measures)]
    try:
        row = (
            seen.frame.select(pl.len().alias("rows"), *wanted)
            .collect(engine="streaming")
            .row(0, named=True)
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise TableDamagedError(
            f"the rows cannot be read ({(str(error).splitlines() or [''])[0]})",
            hint="a file was altered: restore it from a backup",
        ) from error
    return [
        _profile(name, schema[name], row, at, masked=shown is not None and name not in shown)
        for at, name in enumerate(names)
    ]


def _measures(name: str, dtype: pl.DataType) -> dict[str, pl.Expr]:
    value = column(name)
    found = {"nulls": value.null_count()}
    if dtype.is_nested() or isinstance(dtype, (pl.Object, pl.Null)):
        return found
    found["distinct"] = value.drop_nulls().n_unique()
    if isinstance(dtype, pl.Binary):
        return found
    kind = pl.String() if isinstance(dtype, (pl.Categorical, pl.Enum)) else dtype
    ordered = value.cast(kind)
    # Text is made here: Python's own times hold no nanoseconds.
    found |= {"minimum": text_of(ordered.min(), kind), "maximum": text_of(ordered.max(), kind)}
    if dtype.is_numeric() or dtype.is_temporal():
        # Polars' quantile goes by way of a float, which does not hold every number. The lower
        # of two neighbours is a value that is there, in its own type.
        ranked = value.drop_nulls().sort()
        for share in QUANTILES:
            place = ((ranked.len().cast(pl.Int64) - 1) * share).floor().cast(pl.Int64)
            found[str(share)] = text_of(ranked.get(place, null_on_oob=True), dtype)
    return found


def _aliased(at: int, measures: dict[str, pl.Expr]) -> list[pl.Expr]:
    return [expression.alias(f"{at} {what}") for what, expression in measures.items()]


def _profile(
    name: str, dtype: pl.DataType, row: dict[str, Any], at: int, *, masked: bool
) -> ColumnProfile:
    found = {key.partition(" ")[2]: v for key, v in row.items() if key.startswith(f"{at} ")}
    values = {} if masked else found
    return ColumnProfile(
        column=name,
        data_type=str(dtype),
        rows=row["rows"],
        nulls=found["nulls"],
        distinct=found.get("distinct"),
        minimum=values.get("minimum"),
        maximum=values.get("maximum"),
        quantiles={str(share): values[str(share)] for share in QUANTILES if str(share) in values},
        masked=masked,
    )
