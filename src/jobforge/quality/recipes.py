"""Declared steps from their recipes: no code of the user's is needed to have them again."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from jobforge.errors import InvalidRuleError
from jobforge.quality.cleaning import normalise_whitespace, null_words, trim
from jobforge.quality.conditions import check_written
from jobforge.quality.declared import NamedStep, expect, keep
from jobforge.quality.duplicates import deduplicate
from jobforge.quality.references import references


def step_of(recipe: Mapping[str, Any]) -> NamedStep:
    """The step that a recipe was taken of (`NamedStep.recipe`).

    Raises:
        InvalidRuleError: It is none, or not one that this version can follow.
    """
    make = _MAKERS.get(recipe.get("kind"))
    if make is None:
        raise InvalidRuleError(
            f"there is no declared step of the kind {recipe.get('kind')!r}", hint="upgrade jobforge"
        )
    rest = {name: value for name, value in recipe.items() if name != "kind"}
    try:
        return make(rest)
    except (KeyError, TypeError) as error:
        raise InvalidRuleError(
            f"the recipe of a {recipe['kind']} step cannot be followed: {error}",
            hint="pass the step itself",
        ) from error


def _expect(said: dict[str, Any]) -> NamedStep:
    condition = _condition(said.pop("name"), said.pop("condition"))
    return expect(*condition, **said)


def _keep(said: dict[str, Any]) -> NamedStep:
    return keep(*_condition(said["name"], said["condition"]))


def _condition(name: str, written: str) -> tuple[str, pl.Expr]:
    """Name and condition of a rule; what is not known to judge a row is not even read.

    Raises:
        InvalidRuleError: Polars cannot read it, or it is no condition.
    """
    check_written(name, written)
    try:
        return name, pl.Expr.deserialize(io.StringIO(written), format="json")
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise InvalidRuleError(
            "this version of Polars cannot read the recorded condition",
            hint="pass the step itself",
            rule=name,
        ) from error


def _deduplicate(said: dict[str, Any]) -> NamedStep:
    keys, order = said.pop("keys"), said.pop("order_by")
    return deduplicate(*keys, order_by=order or None, **said)


def _null_words(said: dict[str, Any]) -> NamedStep:
    return null_words(said["words"], *said["columns"])


_MAKERS: dict[object, Callable[[dict[str, Any]], NamedStep]] = {
    "expect": _expect,
    "keep": _keep,
    "deduplicate": _deduplicate,
    "references": lambda said: references(**said),
    "trim": lambda said: trim(*said["columns"]),
    "normalise_whitespace": lambda said: normalise_whitespace(*said["columns"]),
    "null_words": _null_words,
}
