"""What changed between two contracts, or between the columns of two batches."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from jobforge.contracts.contract import Contract

_ALIKE = 0.6
_FOR_PEOPLE = ("version", "owner", "description")
"""What a contract says to people: no source and no reader can break on it."""


class ChangeKind(StrEnum):
    """What became of a column, or of an option of the contract."""

    NEW = "new"
    MISSING = "missing"
    RETYPED = "retyped"
    CHANGED = "changed"
    MOVED = "moved"


class SchemaChange(BaseModel):
    """One difference.

    `hint` names the column that may be the same under another name; it is a
    guess by the similarity of names, and nothing acts on it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ChangeKind
    column: str | None = None
    """Null where it is about the contract as a whole."""
    before: str | None = None
    after: str | None = None
    breaking: bool = False
    """Whether a source or a reader that kept to the old one may not fit the new one: a
    check that is new may reject a row, one that is gone no longer protects a reader."""
    hint: str | None = None

    def __str__(self) -> str:
        what = "the contract" if self.column is None else repr(self.column)
        if self.kind is ChangeKind.NEW:
            text = f"new {what} ({self.after})"
        elif self.kind is ChangeKind.MISSING:
            text = f"{what} is missing (was {self.before})"
        elif self.kind is ChangeKind.MOVED:
            text = "the columns stand in another order"
        else:
            text = f"{what}: {self.before} -> {self.after}"
        return f"{text}; perhaps renamed: {self.hint!r}" if self.hint else text


def compare_columns(before: Mapping[str, str], after: Mapping[str, str]) -> list[SchemaChange]:
    """What changed between the columns of two batches.

    Args:
        before: Type by name, in order.
        after: The same, later.
    """
    missing = [name for name in before if name not in after]
    new = [name for name in after if name not in before]
    found = [
        SchemaChange(
            kind=ChangeKind.MISSING,
            column=name,
            before=before[name],
            breaking=True,
            hint=_like(name, new),
        )
        for name in missing
    ]
    found += [
        SchemaChange(kind=ChangeKind.NEW, column=name, after=after[name], hint=_like(name, missing))
        for name in new
    ]
    found += [
        SchemaChange(
            kind=ChangeKind.RETYPED,
            column=name,
            before=before[name],
            after=after[name],
            breaking=True,
        )
        for name in before
        if name in after and before[name] != after[name]
    ]
    shared = [name for name in before if name in after]
    if shared != [name for name in after if name in before]:
        found.append(SchemaChange(kind=ChangeKind.MOVED))
    return found


def compare_contracts(before: Contract, after: Contract) -> list[SchemaChange]:
    """What changed between two contracts, column by column and option by option."""
    old, new = before.as_dict(), after.as_dict()
    found = [
        SchemaChange(
            kind=ChangeKind.CHANGED,
            before=f"{option} {_said(old, option)}",
            after=f"{option} {_said(new, option)}",
            breaking=option not in _FOR_PEOPLE,
        )
        for option in dict.fromkeys([*old, *new])
        if option != "columns" and old.get(option) != new.get(option)
    ]
    missing = [name for name in before.columns if name not in after.columns]
    added = [name for name in after.columns if name not in before.columns]
    for name in missing:
        kind = _type(before, name)
        hint = _like(name, added)
        found.append(
            SchemaChange(
                kind=ChangeKind.MISSING, column=name, before=kind, breaking=True, hint=hint
            )
        )
    for name in added:
        kind = _type(after, name)
        found.append(
            SchemaChange(kind=ChangeKind.NEW, column=name, after=kind, hint=_like(name, missing))
        )
    for name in before.columns:
        if name in after.columns:
            found += _of_column(name, before, after)
    return found


def _of_column(name: str, before: Contract, after: Contract) -> list[SchemaChange]:
    old, new = before.columns[name].as_dict(), after.columns[name].as_dict()
    return [
        SchemaChange(
            kind=ChangeKind.RETYPED if option == "type" else ChangeKind.CHANGED,
            column=name,
            before=f"{option} {_said(old, option)}",
            after=f"{option} {_said(new, option)}",
            breaking=option not in _FOR_PEOPLE,
        )
        for option in dict.fromkeys([*old, *new])
        if old.get(option) != new.get(option)
    ]


def _said(declared: Mapping[str, object], option: str) -> str:
    return repr(declared[option]) if option in declared else "not declared"


def _type(contract: Contract, name: str) -> str:
    return str(contract.columns[name].as_dict().get("type", "as it is"))


def _like(name: str, others: list[str]) -> str | None:
    """The most similar of some names, if one is similar at all."""
    folded = {other.strip().casefold(): other for other in others}
    close = difflib.get_close_matches(name.strip().casefold(), list(folded), n=1, cutoff=_ALIKE)
    return folded[close[0]] if close else None
