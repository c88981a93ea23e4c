"""The checks of a contract's columns as rules, for silver to judge."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from jobforge.contracts.column import Column
from jobforge.contracts.contract import Contract
from jobforge.quality.columns import column as exactly
from jobforge.quality.columns import columns as these
from jobforge.quality.rules import OnFail, Rule, RuleKind

STEP = "contract"
"""The step under which the checks of a contract are counted."""


def row_checks(contract: Contract, names: Iterable[str], schema: pl.Schema) -> list[Rule]:
    """The checks that judge a row by itself.

    Args:
        contract: The contract.
        names: Of its columns, those to be judged now.
        schema: The columns as they are now.
    """
    rules = []
    for name in names:
        found = _of_column(name, contract.columns[name], schema[name])
        rules += [
            _rule(contract, f"{check}:{name}", failed, reason, (name,))
            for check, failed, reason in found
        ]
    return rules


def unique_checks(
    contract: Contract, names: Iterable[str], known: pl.DataFrame | None
) -> list[Rule]:
    """The checks that no value, and no key, stands in the table twice.

    Args:
        contract: The contract.
        names: Of its columns, those that are there.
        known: Rows that the table has already, of other batches; None where it
            will hold the rows that are judged and no others.
    """
    there = set(names)
    groups: list[tuple[str, ...]] = [
        (name,) for name, column in contract.columns.items() if column.unique
    ]
    if contract.key:
        groups.append(contract.key)
    rules = []
    for group in dict.fromkeys(groups):
        if not there.issuperset(group):
            continue
        key = exactly(group[0]) if len(group) == 1 else pl.struct(these(group))
        empty = pl.any_horizontal(exactly(name).is_null() for name in group)
        failed = pl.len().over([exactly(name) for name in group]) > 1
        if known is not None and known.height:
            held = known.select(these(group)).drop_nulls().unique()
            values = held.to_series() if len(group) == 1 else held.to_struct()
            failed |= key.is_in(values.implode())
        name = ("key:" if group == contract.key else "unique:") + ",".join(group)
        rules.append(_rule(contract, name, failed & ~empty, "stands in the table twice", group))
    return rules


def unique_columns(contract: Contract) -> tuple[str, ...]:
    """The columns that a check for uniqueness needs."""
    return tuple(name for name, column in contract.columns.items() if column.unique or column.key)


def _of_column(name: str, column: Column, dtype: pl.DataType) -> list[tuple[str, pl.Expr, str]]:
    """Name, condition and reason of each check of a column; only `not_null` judges nulls."""
    value = exactly(name)
    found: list[tuple[str, pl.Expr, str]] = []
    if not column.nullable:
        found.append(("not_null", value.is_null(), "is null"))
    if column.ge is not None:
        below = value < pl.lit(column.ge, dtype=dtype)
        found.append(("ge", _or_nan(below, value, dtype), f"is less than {column.ge}"))
    if column.le is not None:
        above = value > pl.lit(column.le, dtype=dtype)
        found.append(("le", _or_nan(above, value, dtype), f"is more than {column.le}"))
    if column.pattern is not None:
        text = f"does not match {column.pattern}"
        found.append(("pattern", ~value.str.contains(column.pattern), text))
    if column.allowed is not None:
        listed = pl.Series(column.allowed, dtype=dtype)
        found.append(("allowed", ~value.is_in(listed.implode()), "is none of the allowed values"))
    if column.length is not None:
        least, most = column.length
        size = value.str.len_chars()
        failed = pl.lit(value=False)
        failed = failed if least is None else failed | (size < least)
        failed = failed if most is None else failed | (size > most)
        limits = f"{least if least is not None else 0} to {most if most is not None else 'any'}"
        found.append(("length", failed, f"has not {limits} characters"))
    return found


def _or_nan(failed: pl.Expr, value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """NaN is in no range; Polars takes it for the greatest number."""
    return failed | value.is_nan() if dtype.is_float() else failed


def _rule(
    contract: Contract, name: str, failed: pl.Expr, reason: str, columns: tuple[str, ...]
) -> Rule:
    on_fail = OnFail(contract.on_check_failure)
    return Rule(
        name,
        RuleKind.CHECK,
        failed.fill_null(value=False),
        reason,
        columns,
        STEP,
        on_fail,
        None if on_fail is OnFail.QUARANTINE else 0,
    )
