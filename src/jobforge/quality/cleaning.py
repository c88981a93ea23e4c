"""Cleaning of text, cell by cell: `trim`, `normalise_whitespace`, `null_words`.

None of them changes which rows there are. Provenance columns are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from jobforge.errors import InvalidRuleError
from jobforge.quality.columns import PROVENANCE_COLUMNS, column
from jobforge.quality.declared import Frame, NamedStep, Recipe, check_there


@dataclass(frozen=True, eq=False)
class Cleaning(NamedStep):
    """A change to the text of some columns.

    Args:
        name: Of the step.
        columns: Which; every text column where none is named.
        change: From the old value to the new one.
        about: What was declared, for the record.
        words: Those of `null_words`.
    """

    name: str
    columns: tuple[str, ...]
    change: Callable[[pl.Expr], pl.Expr]
    about: Mapping[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()

    def __call__(self, frame: Frame) -> Frame:
        """The frame with the text changed.

        Raises:
            UnknownColumnError: A column is not there.
            InvalidRuleError: It holds no text.
        """
        schema = frame.collect_schema()
        check_there(self.name, self.columns, frame.lazy())
        for name in self.columns:
            if not isinstance(schema[name], pl.String):
                raise InvalidRuleError(
                    f"{self.name}: the column is {schema[name]}, not text",
                    hint="name text columns only",
                    column=name,
                )
        names = self.columns or tuple(
            name
            for name, dtype in schema.items()
            if isinstance(dtype, pl.String) and name not in PROVENANCE_COLUMNS
        )
        return frame.with_columns(self.change(column(name)) for name in names)

    def definition(self) -> Mapping[str, str]:
        """What was declared, as text, for the record."""
        named = ", ".join(self.columns) or "every text column"
        return {"kind": self.name, "columns": named, **self.about}

    def recipe(self) -> Recipe | None:
        """What an equal step can be made of."""
        words = {"words": list(self.words)} if self.words else {}
        return {"kind": self.name, "columns": list(self.columns), **words}


def trim(*columns: str) -> Cleaning:
    """Take white space off both ends of text.

    White space is what Unicode calls so (property White_Space), the no-break
    space among it. Text of nothing else becomes empty text, not null.

    Args:
        columns: Which; every text column unless given.

    Raises:
        InvalidRuleError: A name is no text.
    """
    return Cleaning("trim", _names("trim", columns), lambda text: text.str.strip_chars())


def normalise_whitespace(*columns: str) -> Cleaning:
    """Take white space off both ends, and make one space of each run of it inside.

    Args:
        columns: As for `trim`.

    Raises:
        InvalidRuleError: As for `trim`.
    """
    return Cleaning(
        "normalise_whitespace",
        _names("normalise_whitespace", columns),
        lambda text: text.str.replace_all(r"\s+", " ").str.strip_chars(),
    )


def null_words(words: str | Sequence[str], *columns: str) -> Cleaning:
    """Make null of text that means "no value".

    Args:
        words: Such as `["N/A", ""]`; the whole text has to be one of them.
        columns: As for `trim`.

    Raises:
        InvalidRuleError: No word is given, or one is no text.
    """
    listed = [words] if isinstance(words, str) else words
    if (
        not isinstance(listed, (list, tuple))
        or not listed
        or not all(isinstance(word, str) for word in listed)
    ):
        raise InvalidRuleError(
            f"null_words: {words!r} is no list of words", hint='write null_words(["N/A", "-"])'
        )
    known = list(listed)
    return Cleaning(
        "null_words",
        _names("null_words", columns),
        lambda text: pl.when(~text.is_in(known)).then(text),
        {"words": repr(known)},
        tuple(known),
    )


def _names(step: str, columns: tuple[object, ...]) -> tuple[str, ...]:
    names = tuple(name for name in columns if isinstance(name, str))
    if len(names) < len(columns):
        raise InvalidRuleError(
            f"{step}: {columns!r} are no names of columns", hint=f'write {step}("title")'
        )
    return names
