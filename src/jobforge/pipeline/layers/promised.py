"""What the contract of a table promises, and which of it is still to be judged."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from jobforge.contracts.checks import STEP, row_checks, unique_checks, unique_columns
from jobforge.contracts.contract import Contract
from jobforge.pipeline.models import TransformRef
from jobforge.pipeline.steps import Step
from jobforge.quality.rules import Rule


def _nothing(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame


class Promised:
    """The checks of a contract, each judged once.

    They are judged when the steps of silver are done, so that cleaning comes
    before judging; those of a column that a step drops or retypes, before that step.

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
        self._left = tuple(contract.columns)
        self._judged: set[str] = set()

    @property
    def left(self) -> tuple[str, ...]:
        """Columns whose checks are still to be judged."""
        return tuple(name for name in self._left if name not in self._judged)

    def going(self, before: pl.Schema, after: pl.Schema) -> tuple[str, ...]:
        """Columns with checks to be judged that a step drops, or makes another type of."""
        leaving = [name for name in self.left if before[name] != after.get(name)]
        keys = set(self.contract.key)
        if keys.intersection(leaving):
            # A key is judged whole, while all of it is there.
            leaving += [name for name in self.left if name in keys and name not in leaving]
        return tuple(leaving)

    def row_checks(self, names: tuple[str, ...], schema: pl.Schema) -> list[Rule]:
        """The checks of some columns that judge a row by itself."""
        return row_checks(self.contract, names, schema)

    def unique_checks(self, names: tuple[str, ...]) -> list[Rule]:
        """The checks of some columns that judge the table."""
        needed = unique_columns(self.contract)
        if not set(needed).intersection(names):
            return []
        return unique_checks(self.contract, names, self._known(needed))

    def done(self, names: tuple[str, ...]) -> None:
        """Say that the checks of some columns were judged."""
        self._judged.update(names)
