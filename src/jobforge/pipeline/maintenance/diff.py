"""What is different between two versions of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from jobforge.errors import InvalidOptionError, TableDamagedError, UnknownColumnError, nearest
from jobforge.pipeline import query, reads
from jobforge.pipeline.adoption import known_store
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.provenance import data_columns
from jobforge.quality.columns import column, free_name


@dataclass(frozen=True)
class _Side:
    """One of the two versions, without the rows that it surely shares with the other."""

    number: int
    frame: pl.LazyFrame
    whole: pl.LazyFrame
    """With those."""
    types: dict[str, pl.DataType]


@dataclass(frozen=True)
class TableDiff:
    """What version `after` has other than version `before`; provenance is not compared.

    Args:
        before: Number of the one version.
        after: Number of the other.
        columns_added: Columns that only the later has, with their types.
        columns_removed: Columns that only the earlier has.
        columns_retyped: Columns whose type differs, as (earlier, later).
        compared: Columns that both have with one type: rows are compared by them.
        added: Rows that only the later has.
        removed: Rows that only the earlier has.
        changed: Rows of one key whose values differ, as the later has them, with
            the earlier values beside them under `{column}_before`; none where no
            key was given.
    """

    before: int
    after: int
    columns_added: dict[str, str]
    columns_removed: dict[str, str]
    columns_retyped: dict[str, tuple[str, str]]
    compared: tuple[str, ...]
    added: pl.DataFrame
    removed: pl.DataFrame
    changed: pl.DataFrame | None

    @property
    def same(self) -> bool:
        """Whether there is no difference at all."""
        columns_differ = self.columns_added or self.columns_removed or self.columns_retyped
        changed = self.changed is not None and self.changed.height > 0
        return not (columns_differ or self.added.height or self.removed.height or changed)


def diff(
    config: PipelineConfig,
    table: str,
    before: int,
    after: int,
    layer: Layer | str = Layer.GOLD,
    key: str | Sequence[str] | None = None,
) -> TableDiff:
    """Compare two versions of a table, by their data columns.

    Without a key, rows are compared whole: one that changed is removed and
    added. A row that stands there twice counts twice.

    Args:
        config: Where the data root is.
        table: `table` or `domain/table`.
        before: Number of the one version.
        after: Number of the other.
        layer: bronze, silver or gold.
        key: Columns that tell one row from another, in both versions.

    Raises:
        VersionNotFoundError: There is no such version.
        VersionRemovedError: The files of one were removed by `clean` or `erase`.
        UnknownColumnError: A key column is missing in one of them.
        InvalidOptionError: The key is null, or the same in two rows of one version.
    """
    found, wanted = query.find_layer(config, table, layer)
    query.versioned(wanted)
    newest = max(reads.check_version(before), reads.check_version(after))
    store = known_store(config, wanted, found.domain, found.table, newest)
    keys = _key(key)
    sides = []
    for number, other in ((before, after), (after, before)):
        version = store.version(number)
        # Rows of a file that both versions have are in both.
        there = {file.name for file in store.version(other).files}
        own = tuple(file for file in version.files if file.name not in there)
        frame = whole = reads.open_version(config, found, wanted, version)
        if len(own) < len(version.files):
            frame = store.scan(replace(version, files=own)) if own else frame.head(0)
        sides.append(_Side(number, frame, whole, _types(frame)))
    old, new = sides
    shared = [name for name in new.types if old.types.get(name) == new.types[name]]
    try:
        if keys is None:
            added, removed, changed = *_whole(old, new, shared), None
        else:
            added, removed, changed = _by_key(old, new, shared, keys)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise TableDamagedError(
            f"the rows cannot be read ({(str(error).splitlines() or [''])[0]})",
            hint="a file was altered: restore it from a backup",
        ) from error
    return TableDiff(
        before,
        after,
        {n: str(t) for n, t in new.types.items() if n not in old.types},
        {n: str(t) for n, t in old.types.items() if n not in new.types},
        {
            n: (str(old.types[n]), str(t))
            for n, t in new.types.items()
            if n in old.types and n not in shared
        },
        tuple(shared),
        added,
        removed,
        changed,
    )


def _key(key: str | Sequence[str] | None) -> list[str] | None:
    """The columns of the key, each once."""
    if key is None:
        return None
    names = [key] if isinstance(key, str) else key
    if not isinstance(names, (list, tuple)) or not all(isinstance(n, str) for n in names):
        raise InvalidOptionError(f"the key is {key!r}", hint="name a column, or a list of columns")
    if not names:
        raise InvalidOptionError("the key has no column", hint="name one, or leave it out")
    return list(dict.fromkeys(names))


def _types(frame: pl.LazyFrame) -> dict[str, pl.DataType]:
    schema = frame.collect_schema()
    return {name: schema[name] for name in data_columns(schema.names())}


def _numbered(frame: pl.LazyFrame, names: list[str]) -> pl.LazyFrame:
    """The named columns under names that Polars takes for nothing else."""
    return frame.select(column(name).alias(f"c{n}") for n, name in enumerate(names))


def _height(frame: pl.LazyFrame) -> int:
    return int(frame.select(pl.len()).collect(engine="streaming").item())


def _whole(old: _Side, new: _Side, names: list[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that stand more often in one of two versions."""
    if not names:
        if old.types or new.types:
            return pl.DataFrame(), pl.DataFrame()
        surplus = _height(new.frame) - _height(old.frame)
        return pl.DataFrame(height=max(surplus, 0)), pl.DataFrame(height=max(-surplus, 0))
    keys = [f"c{n}" for n in range(len(names))]
    counted = [
        _numbered(side.frame, names).group_by(keys, maintain_order=True).agg(pl.len().alias("rows"))
        for side in (old, new)
    ]
    results = []
    for mine, other in (counted, counted[::-1]):
        both = mine.join(other, on=keys, how="left", nulls_equal=True, maintain_order="left")
        more = pl.col("rows").cast(pl.Int64) - pl.col("rows_right").fill_null(0).cast(pl.Int64)
        extra = both.with_columns(more.alias("more")).filter(pl.col("more") > 0)
        rows = (
            extra.select(*keys, pl.int_ranges(0, pl.col("more")).alias("more"))
            .explode("more")
            .drop("more")
        )
        results.append(_named(rows.collect(engine="streaming"), names))
    removed, added = results
    return added, removed


def _by_key(
    old: _Side, new: _Side, names: list[str], key: list[str]
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Rows by key: only in the later, only in the earlier, in both with other values."""
    for side in (old, new):
        for name in key:
            if name not in side.types:
                raise UnknownColumnError(
                    f"version {side.number} has no column {name!r}",
                    hint=nearest(name, side.types),
                    column=name,
                )
    if other := [name for name in key if name not in names]:
        raise InvalidOptionError(
            f"the key {other[0]!r} has another type in each version",
            hint="choose another key",
            column=other[0],
        )
    names = [*key, *(name for name in names if name not in key)]
    keys = [f"c{n}" for n in range(len(key))]
    values = [f"c{n}" for n in range(len(key), len(names))]
    frames = [_numbered(side.frame, names) for side in (old, new)]
    for side in (old, new):
        _check_key(side, _numbered(side.whole, key), keys, key)
    before, after = frames
    added = after.join(before, on=keys, how="anti", maintain_order="left")
    removed = before.join(after, on=keys, how="anti", maintain_order="left")
    both = after.join(before, on=keys, how="inner", suffix="_before", maintain_order="left")
    differs = [pl.col(name).ne_missing(pl.col(f"{name}_before")) for name in values]
    changed = both.filter(pl.any_horizontal(differs)) if values else both.head(0)
    pairs = [each for name in values for each in (name, f"{name}_before")]
    titles = list(key)
    for name in names[len(key) :]:
        titles += [name, free_name(f"{name}_before", names)]
    return (
        _named(added.collect(engine="streaming"), names),
        _named(removed.collect(engine="streaming"), names),
        _named(changed.select(*keys, *pairs).collect(engine="streaming"), titles),
    )


def _check_key(side: _Side, frame: pl.LazyFrame, keys: list[str], names: list[str]) -> None:
    found = frame.select(
        pl.any_horizontal(pl.col(name).is_null() for name in keys).sum().alias("nulls"),
        pl.struct(keys).is_duplicated().sum().alias("twice"),
    ).collect(engine="streaming")
    for what, rows in zip(("is null", "stands twice"), found.row(0), strict=True):
        if rows:
            raise InvalidOptionError(
                f"the key {', '.join(map(repr, names))} {what} in {rows} rows of version "
                f"{side.number}",
                hint="name columns that tell every row from every other",
            )


def _named(frame: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    frame.columns = names
    return frame
