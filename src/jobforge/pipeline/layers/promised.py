"""What the contract of a table promises, and which of it is to be judged when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import polars as pl

from jobforge.contracts.checks import STEP, row_checks, unique_checks, unique_columns
from jobforge.contracts.contract import Contract
from jobforge.pipeline.steps import Step
from jobforge.pipeline.transform_ref import TransformRef
from jobforge.quality.rules import Rule


def _nothing(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame


class Promised:
    """The checks of a contract, and how often each was judged.

    They are judged when the steps of silver are done, so that cleaning comes
    before judging; those of a column that a step drops or retypes, before that
    step, and again where the column comes back.

    Args:
        contract: The contract of the bronze file.
        types: The columns of the bronze file.
        known: Gives rows that the table has already, of other batches, where the
            batch is to join them.
    """

    step = Step(STEP, _nothing, TransformRef(name=STEP, qualified_name=STEP, code_sha256=None))
    """Stands for the contract in errors."""

    def __init__(
        self,
        contract: Contract,
        types: pl.Schema,
        known: Callable[[tuple[str, ...]], pl.DataFrame | None],
    ) -> None:
        self.contract = contract
        self._types = types
        self._known = known
        self._judged: Counter[str] = Counter()

    def there(self, schema: pl.Schema) -> tuple[str, ...]:
        """Columns that can be judged: those that a frame has in the type of the contract."""
        return tuple(n for n in self.contract.columns if schema.get(n) == self._types.get(n))

    def going(self, before: pl.Schema, after: pl.Schema) -> tuple[str, ...]:
        """Columns with checks to be judged that a step drops, or makes another type of."""
        there = self.there(before)
        leaving = [name for name in there if before[name] != after.get(name)]
        keys = set(self.contract.key)
        if keys.intersection(leaving):
            # A key is judged whole, while all of it is there.
            leaving += [name for name in there if name in keys and name not in leaving]
        return tuple(leaving)

    def row_checks(self, names: tuple[str, ...], schema: pl.Schema) -> list[Rule]:
        """The checks of some columns that judge a row by itself."""
        return self._numbered(row_checks(self.contract, names, schema))

    def unique_checks(self, names: tuple[str, ...], schema: pl.Schema) -> list[Rule]:
        """The checks of some columns that judge the table."""
        needed = unique_columns(self.contract)
        if not set(needed).intersection(names):
            return []
        known = self._known(needed)
        if known is not None and any(known.schema[n] != schema.get(n) for n in needed):
            known = None  # an append of other types is refused with a better reason
        return self._numbered(unique_checks(self.contract, names, known))

    def done(self, names: tuple[str, ...]) -> None:
        """Say that the checks of some columns were judged."""
        self._judged.update(names)

    def _numbered(self, rules: list[Rule]) -> list[Rule]:
        """The rules, those of columns that were judged before under names of their own."""
        times = [min(self._judged[name] for name in rule.columns) for rule in rules]
        return [
            replace(rule, name=f"{rule.name}#{n + 1}") if n else rule
            for rule, n in zip(rules, times, strict=True)
        ]
