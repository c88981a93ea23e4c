"""A decimal and a text are not compared.

Polars refuses to compare other numbers with a text, and compares a decimal with one as
texts: `net > '20'` lets 3.00 through. So a statement is tried where decimals are floats.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl


def check_decimals(schema: pl.Schema, ask: Callable[[pl.LazyFrame], pl.LazyFrame]) -> None:
    """Refuse what Polars would refuse of other numbers.

    Args:
        schema: The columns, decimals among them or not.
        ask: Asks the statement of a frame, which has no rows.

    Raises:
        PolarsError: It is refused.
    """
    if any(dtype.is_decimal() for dtype in schema.dtypes()):
        kinds = {name: pl.Float64() if t.is_decimal() else t for name, t in schema.items()}
        ask(pl.Schema(kinds).to_frame(eager=False)).collect()  # its schema alone fails of nothing
