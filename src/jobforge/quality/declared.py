"""Declared steps: `expect`, `keep` and `references`, each a rule for every row.

They are callables on a plain frame like any other step, and known to the
engine by their kind, so that it can say of every row where it went.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

import polars as pl

from jobforge.errors import ExpectationError, InvalidRuleError, UnknownColumnError, nearest
from jobforge.quality.conditions import check_boolean, check_condition, roots
from jobforge.quality.parting import Parting, part
from jobforge.quality.rules import (
    OnFail,
    Rule,
    RuleCount,
    RuleKind,
    Tolerance,
    check_name,
    parse_limits,
)

Frame = TypeVar("Frame", pl.LazyFrame, pl.DataFrame)
Nulls = Literal["fail", "pass"]
Recipe = Mapping[str, object]
"""Arguments of a declared step in the form of JSON, with its `kind`."""


class NamedStep(ABC):
    """A step that says what it does, and works on a plain frame too."""

    name: str
    """In logs, accounts and errors."""

    @abstractmethod
    def __call__(self, frame: Frame) -> Frame:
        """What the step makes of a plain frame."""

    @abstractmethod
    def definition(self) -> Mapping[str, str]:
        """What was declared, as text, for the record."""

    def recipe(self) -> Recipe | None:
        """What an equal step can be made of, without any code of the user's; see `recipes`."""
        return None


class DeclaredStep(NamedStep):
    """A step that says of every row whether it stays, or under which rule it leaves."""

    @abstractmethod
    def part(self, frame: pl.LazyFrame) -> Parting:
        """Part a frame in what stays and what leaves."""

    def __call__(self, frame: Frame) -> Frame:
        """The rows of a plain frame that stay.

        Raises:
            ExpectationError: More rows fail than is tolerated; looked at right
                away where the step has a limit.
            InvalidRuleError: The step cannot judge the rows.
            UnknownColumnError: A column is not there.
        """
        eager = isinstance(frame, pl.DataFrame)
        with _on_plain_frame(self.name, frame.lazy()):
            parting = self.part(frame.lazy())
            parting.kept.collect_schema()
            limited = any(rule.stops for rule in parting.rules)
            tally = parting.tally.collect(engine="streaming") if limited else None
            kept = parting.kept.collect(engine="streaming") if eager else parting.kept
        for count in parting.counts(tally) if tally is not None else ():
            if count.stopped:
                raise refusal(count)
        return kept  # type: ignore[return-value] # as given


class RowRule(DeclaredStep):
    """A declared step that judges each row by itself, so that neighbours are computed together."""

    @abstractmethod
    def rule(self, frame: pl.LazyFrame) -> Rule:
        """The rule for the columns that a frame has."""

    def part(self, frame: pl.LazyFrame) -> Parting:
        """Part a frame in what stays and what leaves."""
        return part(frame, [self.rule(frame)])


@dataclass(frozen=True, eq=False)
class Expect(RowRule):
    """See `expect`."""

    name: str
    condition: pl.Expr
    on_fail: OnFail
    tolerance: Tolerance
    null: Nulls

    def rule(self, frame: pl.LazyFrame) -> Rule:
        """The rule for the columns that a frame has."""
        check_boolean(self.name, self.condition, frame)
        passed = self.condition.fill_null(value=self.null == "pass")
        return Rule(
            self.name,
            RuleKind.EXPECT,
            ~passed,
            "does not hold",
            judged_columns(self.condition, frame),
            self.name,
            self.on_fail,
            self.tolerance,
        )

    def definition(self) -> Mapping[str, str]:
        """What was declared, as text, for the record."""
        return {
            "kind": "expect",
            "condition": str(self.condition),
            "on_fail": str(self.on_fail),
            "tolerance": str(self.tolerance),
            "null": self.null,
        }

    def recipe(self) -> Recipe | None:
        """What an equal step can be made of."""
        return {
            "kind": "expect",
            "name": self.name,
            "condition": self.condition.meta.serialize(format="json"),
            "on_fail": str(self.on_fail),
            "tolerance": self.tolerance,
            "null": self.null,
        }


@dataclass(frozen=True, eq=False)
class Keep(RowRule):
    """See `keep`."""

    name: str
    condition: pl.Expr

    def rule(self, frame: pl.LazyFrame) -> Rule:
        """The rule for the columns that a frame has."""
        check_boolean(self.name, self.condition, frame)
        return Rule(
            self.name,
            RuleKind.KEEP,
            ~self.condition.fill_null(value=False),
            "is not kept",
            judged_columns(self.condition, frame),
            self.name,
        )

    def definition(self) -> Mapping[str, str]:
        """What was declared, as text, for the record."""
        return {"kind": "keep", "condition": str(self.condition)}

    def recipe(self) -> Recipe | None:
        """What an equal step can be made of."""
        condition = self.condition.meta.serialize(format="json")
        return {"kind": "keep", "name": self.name, "condition": condition}


def expect(
    name: str,
    condition: pl.Expr,
    *,
    on_fail: OnFail | str = OnFail.QUARANTINE,
    tolerance: Tolerance = None,
    null: Nulls = "fail",
) -> Expect:
    """An expectation on every row.

    Neighbouring expectations are judged together, on the same rows, and a row
    that leaves carries the reasons of all of them.

    Args:
        name: Under which failures are counted, unique in its layer.
        condition: A boolean expression that judges a row by its own values.
        on_fail: `quarantine` (default): rows that fail leave for quarantine.
            `warn`: they stay and are counted. `fail`: they stay, and where they
            are more than tolerated, nothing of the layer is published.
        tolerance: How many rows may fail: a number, or a share from 0.0 to 1.0
            of the rows judged. More stop the layer, or make a note where
            `on_fail` is `warn`. Unless given: 0 for `warn` and `fail`, no limit
            for `quarantine`.
        null: What a condition counts as that is null: `fail` or `pass`.

    Raises:
        InvalidRuleError: The rule cannot judge rows: it names no column,
            aggregates, or looks at other rows; or an option has no meaning.
    """
    check_name(name)
    chosen, limit = parse_limits(name, on_fail, tolerance)
    check_nulls(name, null)
    return Expect(name, check_condition(name, condition), chosen, limit, null)


def keep(name: str, condition: pl.Expr) -> Keep:
    """An intended filter: rows for which the condition is true stay, others are counted.

    Their identity goes to `catalog/edges`, so that it can be said of a source
    record that this filter left it out.

    Args:
        name: Under which the rows that are left out are counted.
        condition: As for `expect`; null is not kept.

    Raises:
        InvalidRuleError: As for `expect`.
    """
    return Keep(check_name(name), check_condition(name, condition))


def check_nulls(rule: str, null: object) -> None:
    """What a null counts as.

    Raises:
        InvalidRuleError: It is neither of the two.
    """
    if null not in ("fail", "pass"):
        raise InvalidRuleError(f"null is {null!r}", hint="use 'fail' or 'pass'", rule=rule)


def column_names(value: object, what: str) -> tuple[str, ...]:
    """One or more names of columns, each once.

    Raises:
        InvalidRuleError: It is something else.
    """
    names = (value,) if isinstance(value, str) else value
    if (
        not isinstance(names, (list, tuple))
        or not names
        or not all(isinstance(name, str) and name for name in names)
        or len(set(names)) < len(names)
    ):
        raise InvalidRuleError(f"{what}: {value!r}", hint="name columns, each once")
    return tuple(names)


def judged_columns(condition: pl.Expr, frame: pl.LazyFrame) -> tuple[str, ...]:
    """The columns of a frame that a condition names, in the order of the frame."""
    named = set(roots(condition))
    names = frame.collect_schema().names()
    return tuple(name for name in names if name in named)


@contextmanager
def _on_plain_frame(step: str, frame: pl.LazyFrame) -> Iterator[None]:
    """Let no error of Polars reach whoever applies a step to a frame.

    Raises:
        UnknownColumnError: A column is not there.
        InvalidRuleError: The step cannot judge the rows.
    """
    try:
        yield
    except pl.exceptions.ColumnNotFoundError as error:
        parts = str(error).splitlines()[0].split('"')
        name = parts[1] if len(parts) > 1 else parts[0].split(" ")[-1]
        raise UnknownColumnError(
            f"{step}: there is no column {name!r}",
            hint=nearest(name, frame.collect_schema().names()),
            column=name,
        ) from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise InvalidRuleError(
            f"the rows cannot be judged: {first}", hint="mend the condition", rule=step
        ) from error


def check_there(step: str, columns: Iterable[str], frame: pl.LazyFrame) -> None:
    """Refuse columns that a frame does not have.

    Raises:
        UnknownColumnError: With the nearest that are there.
    """
    names = frame.collect_schema().names()
    for name in columns:
        if name not in names:
            raise UnknownColumnError(
                f"{step}: there is no column {name!r}", hint=nearest(name, names), column=name
            )


def refusal(count: RuleCount, records: str = "") -> ExpectationError:
    """The error for a rule that more rows fail than it tolerates.

    Args:
        count: What came of the rule.
        records: Which rows, for a person.
    """
    allowed = count.tolerance
    limit = f"{allowed:.4%}" if isinstance(allowed, float) else f"{allowed or 0:,}"
    return ExpectationError(
        f"{count.failed:,} of {count.judged:,} rows ({count.share:.2%}) fail {count.rule!r}, and "
        f"{limit} may{records}",
        hint="mend the source or the step before it; raise the tolerance where it is too strict",
        step=count.step,
        rule=count.rule,
    )
