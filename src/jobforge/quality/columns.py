"""Columns by their exact names: `pl.col` takes `*` and `^...$` for patterns, this does not."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
from polars import selectors as cs


def column(name: str) -> pl.Expr:
    """The one column of that name, whatever characters it has."""
    return cs.by_name(name).as_expr()


def columns(names: Iterable[str]) -> cs.Selector:
    """The columns of those names, in that order."""
    return cs.by_name(*names)


def free_name(wanted: str, taken: Iterable[str]) -> str:
    """A name for a temporary column that no column of the frame has."""
    names = set(taken)
    while wanted in names:
        wanted += "_"
    return wanted
