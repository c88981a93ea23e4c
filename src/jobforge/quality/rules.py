"""A rule: one named condition that every row of a step is judged by."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

import polars as pl
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt

from jobforge.errors import InvalidRuleError

_LONGEST_NAME = 200


class OnFail(StrEnum):
    """What happens to the rows that fail a rule."""

    WARN = "warn"
    """They stay, and are counted."""
    QUARANTINE = "quarantine"
    """They leave the table for quarantine."""
    FAIL = "fail"
    """They stay; where they are more than the tolerance, the layer is not published."""


class RuleKind(StrEnum):
    """Where a rule comes from."""

    CAST = "cast"
    CHECK = "check"
    """A check on a column of the contract."""
    EXPECT = "expect"
    REFERENCE = "reference"
    KEEP = "keep"
    DUPLICATE = "duplicate"


Tolerance = int | float | None
"""A number of rows (int), a share of the rows judged (float, 0 to 1), or no limit."""


@dataclass(frozen=True)
class Rule:
    """One named condition, ready to judge the rows of a frame.

    Args:
        name: Under which failures are counted; unique within a transition.
        kind: Where it comes from.
        failed: Boolean expression, never null, true where the row fails.
        reason: What is wrong, for a person.
        columns: The columns that it judges.
        step: The step that it belongs to.
        on_fail: What happens to rows that fail; no meaning for `keep`.
        tolerance: How many may fail before the layer is stopped, or, for
            `warn`, before a note is made.
    """

    name: str
    kind: RuleKind
    failed: pl.Expr
    reason: str
    columns: tuple[str, ...]
    step: str
    on_fail: OnFail = OnFail.QUARANTINE
    tolerance: Tolerance = None

    @property
    def removes(self) -> bool:
        """Whether rows that fail leave the table."""
        return self.kind is RuleKind.KEEP or self.on_fail is OnFail.QUARANTINE

    @property
    def stops(self) -> bool:
        """Whether too many rows that fail stop the layer."""
        return self.on_fail is not OnFail.WARN and self.tolerance is not None

    def counted(self, judged: int, failed: int) -> RuleCount:
        """The rule with what came of it."""
        return RuleCount(
            rule=self.name,
            kind=self.kind,
            step=self.step,
            on_fail=None if self.kind is RuleKind.KEEP else self.on_fail,
            columns=self.columns,
            judged=judged,
            failed=failed,
            tolerance=self.tolerance,
        )


class RuleCount(BaseModel):
    """How many rows a rule judged in one transition, and how many failed it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    kind: RuleKind
    step: str
    on_fail: OnFail | None = None
    """Null for a filter."""
    columns: tuple[str, ...] = ()
    judged: NonNegativeInt
    """Rows that had not left at an earlier step."""
    failed: NonNegativeInt
    """Rows that failed it, whatever else they failed."""
    tolerance: NonNegativeInt | NonNegativeFloat | None = None

    @property
    def share(self) -> float:
        """Failed of judged, 0 to 1."""
        return self.failed / self.judged if self.judged else 0.0

    @property
    def exceeded(self) -> bool:
        """Whether more rows failed than the tolerance allows."""
        return exceeds(self.failed, self.judged, self.tolerance)

    @property
    def stopped(self) -> bool:
        """Whether that stops the layer."""
        return self.exceeded and self.on_fail is not OnFail.WARN


def exceeds(failed: int, judged: int, tolerance: Tolerance) -> bool:
    """Whether more rows failed than a tolerance allows."""
    if tolerance is None:
        return False
    if isinstance(tolerance, float):
        # The share as it is written: 0.29 of 100 rows are 29, and in binary a little less.
        return failed > Fraction(str(tolerance)) * judged
    return failed > tolerance


def check_name(name: object) -> str:
    """A name under which rows can be counted.

    Raises:
        InvalidRuleError: It is no text, empty, too long, or has control characters.
    """
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise InvalidRuleError(
            f"{name!r} is no name for a rule", hint='name what is expected: "quantity_positive"'
        )
    if len(name) > _LONGEST_NAME:
        raise InvalidRuleError(
            f"the name of a rule has {len(name)} characters",
            hint=f"use at most {_LONGEST_NAME}",
            rule=name[:40] + "...",
        )
    return name


def is_tolerance(value: object) -> bool:
    """Whether a value is a number of rows, a share of them, or no limit."""
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value is None or whole or (isinstance(value, float) and 0 <= value <= 1)


def parse_limits(rule: str, on_fail: object, tolerance: Tolerance) -> tuple[OnFail, Tolerance]:
    """What happens to rows that fail, and how many may; 0 unless given, but for quarantine.

    Raises:
        InvalidRuleError: One of them has no meaning.
    """
    try:
        chosen = OnFail(str(on_fail))
    except ValueError as error:
        raise InvalidRuleError(
            f"on_fail is {on_fail!r}", hint="use 'warn', 'quarantine' or 'fail'", rule=rule
        ) from error
    if not is_tolerance(tolerance):
        raise InvalidRuleError(
            f"tolerance is {tolerance!r}",
            hint="use a number of rows (5) or a share of them (0.01)",
            rule=rule,
        )
    if tolerance is None and chosen is not OnFail.QUARANTINE:
        return chosen, 0
    return chosen, tolerance
