"""`deduplicate`: one row of each key stays, the others are kept in quarantine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import polars as pl

from jobforge.errors import InvalidRuleError
from jobforge.quality.columns import column, columns, free_name
from jobforge.quality.declared import DeclaredStep, Recipe, check_there, column_names
from jobforge.quality.parting import Parting, part
from jobforge.quality.rules import Rule, RuleKind, check_name


class KeepRow(StrEnum):
    """Which row of a key stays."""

    FIRST = "first"
    LAST = "last"
    LATEST = "latest"


@dataclass(frozen=True, eq=False)
class Deduplicate(DeclaredStep):
    """See `deduplicate`."""

    name: str
    keys: tuple[str, ...]
    keep: KeepRow
    order_by: tuple[str, ...]
    nulls_equal: bool

    def part(self, frame: pl.LazyFrame) -> Parting:
        """Part a frame in what stays and what leaves."""
        check_there(self.name, [*self.keys, *self.order_by], frame)
        if self.keep is not KeepRow.LATEST:
            return part(frame, [self._rule(self._repeats(last=self.keep is KeepRow.LAST))])
        # The rows are looked at in order of the key columns alone; a flag brings the
        # verdict back to the rows, which stay where they are.
        taken = frame.collect_schema().names()
        place, loses = free_name("__place", taken), free_name("__loses", taken)
        numbered = frame.with_row_index(place).cache()
        ranked = numbered.select(columns([*self.keys, *self._others()]), column(place)).sort(
            [column(name) for name in self.order_by],
            descending=True,
            nulls_last=True,
            maintain_order=True,
        )
        losers = ranked.filter(self._repeats(last=False)).select(
            column(place), pl.lit(value=True).alias(loses)
        )
        joined = numbered.join(losers, on=place, how="left", maintain_order="left")
        parting = part(joined, [self._rule(column(loses).fill_null(value=False))])
        return parting.without([place, loses])

    def definition(self) -> Mapping[str, str]:
        """What was declared, as text, for the record."""
        return {
            "kind": "deduplicate",
            "keys": ", ".join(self.keys),
            "keep": str(self.keep),
            "order_by": ", ".join(self.order_by),
            "nulls_equal": str(self.nulls_equal),
        }

    def recipe(self) -> Recipe | None:
        """What an equal step can be made of."""
        return {
            "kind": "deduplicate",
            "name": self.name,
            "keys": list(self.keys),
            "keep": str(self.keep),
            "order_by": list(self.order_by),
            "nulls_equal": self.nulls_equal,
        }

    def _others(self) -> list[str]:
        return [name for name in self.order_by if name not in self.keys]

    def _repeats(self, *, last: bool) -> pl.Expr:
        """Whether another row of the key came first (or comes last)."""
        key = column(self.keys[0]) if len(self.keys) == 1 else pl.struct(columns(self.keys))
        repeats = ~(key.is_last_distinct() if last else key.is_first_distinct())
        if self.nulls_equal:
            return repeats
        # Two unknown keys are not the same key (SQL says so too), and Polars thinks they are.
        return repeats & ~pl.any_horizontal(column(name).is_null() for name in self.keys)

    def _rule(self, failed: pl.Expr) -> Rule:
        kept = {
            KeepRow.FIRST: "the first row",
            KeepRow.LAST: "the last row",
            KeepRow.LATEST: f"the row with the greatest {', '.join(self.order_by)}",
        }
        reason = f"is a duplicate: {kept[self.keep]} of this key was kept"
        return Rule(self.name, RuleKind.DUPLICATE, failed, reason, self.keys, self.name)


def deduplicate(
    *keys: str,
    keep: KeepRow | str = KeepRow.FIRST,
    order_by: str | Sequence[str] | None = None,
    nulls_equal: bool = False,
    name: str | None = None,
) -> Deduplicate:
    """Keep one row of each key; the others are kept in quarantine, and counted.

    Args:
        keys: One or more columns.
        keep: `first` or `last` in the order of the rows, or `latest`: the row
            with the greatest value of `order_by`; of equal ones the first, and
            null is smaller than any value.
        order_by: For `latest`: a column, or several, the first of which counts most.
        nulls_equal: Whether rows with a null in their key are duplicates of
            each other; unless given they all stay.
        name: Of the step; `deduplicate:` and the keys unless given.

    Raises:
        InvalidRuleError: No key, a key twice, or an order where none is needed
            or none where one is.
    """
    names = column_names(keys, "the keys of deduplicate")
    named = check_name("deduplicate:" + ",".join(names) if name is None else name)
    try:
        chosen = KeepRow(str(keep))
    except ValueError as error:
        hint = "use 'first', 'last' or 'latest'; any row would make the run impossible to repeat"
        raise InvalidRuleError(f"keep is {keep!r}", hint=hint, rule=named) from error
    order = column_names(order_by, "order_by") if order_by is not None else ()
    if (chosen is KeepRow.LATEST) != bool(order):
        raise InvalidRuleError(
            f"keep is {str(chosen)!r} and order_by is {order_by!r}",
            hint="keep='latest' needs order_by, the others take none",
            rule=named,
        )
    return Deduplicate(named, names, chosen, order, bool(nulls_equal))
