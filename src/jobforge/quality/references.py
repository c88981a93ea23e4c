"""`references`: a foreign key against a frame or a table of the data root."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from jobforge.errors import InvalidRuleError, nearest
from jobforge.quality.columns import column, columns
from jobforge.quality.declared import (
    Nulls,
    Recipe,
    RowRule,
    check_nulls,
    check_there,
    column_names,
)
from jobforge.quality.rules import OnFail, Rule, RuleKind, Tolerance, check_name, parse_limits


@dataclass(frozen=True, eq=False)
class References(RowRule):
    """See `references`."""

    name: str
    columns: tuple[str, ...]
    to: pl.LazyFrame | str
    to_columns: tuple[str, ...]
    on_fail: OnFail
    tolerance: Tolerance
    null: Nulls
    keys: pl.DataFrame | None = None
    """The keys that there are, once they are known."""

    def resolved(self, rows: pl.LazyFrame) -> References:
        """The same with its keys read: once, before any row is judged.

        Args:
            rows: The referenced table.

        Raises:
            InvalidRuleError: It lacks a column, or a key stands there twice.
        """
        return replace(self, keys=self._checked(rows))

    def _keys(self) -> pl.DataFrame:
        if self.keys is not None:
            return self.keys
        if isinstance(self.to, str):
            raise InvalidRuleError(
                f"the table {self.to!r} is known to an engine only",
                hint="pass a frame, or let PipelineEngine run the step",
                rule=self.name,
            )
        return self._checked(self.to)

    def _checked(self, rows: pl.LazyFrame) -> pl.DataFrame:
        """The keys of a table, each once."""
        schema = rows.collect_schema()
        for name in self.to_columns:
            if name not in schema:
                raise InvalidRuleError(
                    f"the referenced table has no column {name!r}",
                    hint=nearest(name, schema.names()),
                    rule=self.name,
                )
        keys = rows.select(columns(self.to_columns)).drop_nulls().collect(engine="streaming")
        twice = keys.height - keys.n_unique()
        if twice:
            raise InvalidRuleError(
                f"{', '.join(self.to_columns)} is no key of the referenced table: {twice:,} rows "
                "repeat one",
                hint="reference a unique key, or deduplicate the table first",
                rule=self.name,
            )
        return keys

    def rule(self, frame: pl.LazyFrame) -> Rule:
        """The rule for the columns that a frame has."""
        keys = self._keys()
        check_there(self.name, self.columns, frame)
        types = frame.collect_schema()
        for name, target in zip(self.columns, self.to_columns, strict=True):
            if types[name] != keys.schema[target]:
                raise InvalidRuleError(
                    f"{name!r} is {types[name]}, and the key {target!r} is {keys.schema[target]}",
                    hint="cast one of them in bronze",
                    rule=self.name,
                )
        empty = pl.any_horizontal(column(name).is_null() for name in self.columns)
        there = _among(self.columns, keys).fill_null(value=False)
        return Rule(
            self.name,
            RuleKind.REFERENCE,
            pl.when(empty).then(pl.lit(self.null == "fail")).otherwise(~there),
            f"is no {', '.join(self.to_columns)} of {self._target()}",
            self.columns,
            self.name,
            self.on_fail,
            self.tolerance,
        )

    def definition(self) -> Mapping[str, str]:
        """What was declared, as text, for the record."""
        return {
            "kind": "references",
            "columns": ", ".join(self.columns),
            "to": self._target(),
            "to_columns": ", ".join(self.to_columns),
            "on_fail": str(self.on_fail),
            "tolerance": str(self.tolerance),
            "null": self.null,
        }

    def recipe(self) -> Recipe | None:
        """What an equal step can be made of; None where it refers to a frame."""
        if not isinstance(self.to, str):
            return None
        return {
            "kind": "references",
            "name": self.name,
            "columns": list(self.columns),
            "to": self.to,
            "to_columns": list(self.to_columns),
            "on_fail": str(self.on_fail),
            "tolerance": self.tolerance,
            "null": self.null,
        }

    def _target(self) -> str:
        return self.to if isinstance(self.to, str) else "the referenced frame"


def references(
    columns: str | Sequence[str],
    to: pl.LazyFrame | pl.DataFrame | str,
    to_columns: str | Sequence[str] | None = None,
    *,
    name: str | None = None,
    on_fail: OnFail | str = OnFail.QUARANTINE,
    tolerance: Tolerance = None,
    null: Nulls = "pass",
) -> References:
    """A foreign key: the value has to be a key of another table.

    Args:
        columns: The column, or columns, that refer.
        to: A frame; or a table of the data root, as `table` or `domain/table`,
            of which the newest version of its highest layer is taken.
        to_columns: The key of that table; the same names unless given. It has
            to be unique there; its nulls are no keys.
        name: Of the rule; `references:` and the columns unless given.
        on_fail: As for `expect`.
        tolerance: As for `expect`.
        null: Whether a row with a null in `columns` passes, as in SQL, or fails.

    Raises:
        InvalidRuleError: An option has no meaning.
    """
    own = column_names(columns, "columns")
    other = own if to_columns is None else column_names(to_columns, "to_columns")
    named = check_name("references:" + ",".join(own) if name is None else name)
    if len(own) != len(other):
        raise InvalidRuleError(
            f"{len(own)} columns refer to {len(other)}",
            hint="name as many in to_columns",
            rule=named,
        )
    if not isinstance(to, (pl.LazyFrame, pl.DataFrame, str)):
        raise InvalidRuleError(
            f"the referenced table is a {type(to).__name__}",
            hint="pass a frame, or the name of a table: 'reference/noc'",
            rule=named,
        )
    chosen, limit = parse_limits(named, on_fail, tolerance)
    check_nulls(named, null)
    target = to if isinstance(to, str) else to.lazy()
    return References(named, own, target, other, chosen, limit, null)


def _among(names: tuple[str, ...], keys: pl.DataFrame) -> pl.Expr:
    """Whether a row's key is among known ones; keeps the order of the rows, and needs no join."""
    if len(names) == 1:
        return column(names[0]).is_in(keys.to_series().implode())
    known = keys.rename(dict(zip(keys.columns, names, strict=True)))
    return pl.struct(columns(names)).is_in(known.to_struct().implode())
