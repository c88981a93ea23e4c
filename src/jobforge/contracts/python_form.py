"""A contract as the Python that declares it."""

from __future__ import annotations

import math

from jobforge.contracts.column import Column
from jobforge.contracts.contract import Contract
from jobforge.contracts.dtypes import type_text


def to_python(contract: Contract, name: str = "contract") -> str:
    """Source text that makes an equal contract, for a module to be edited.

    Args:
        contract: The contract.
        name: The variable.
    """
    plain = Column()
    lines = []
    for column_name, column in contract.columns.items():
        parts = [] if column.dtype is None else ["pl." + type_text(column.dtype)]
        for option, value in column.as_dict().items():
            if option != "type" and getattr(column, option) != getattr(plain, option):
                parts.append(f"{option}={_literal(value)}")
        lines.append(f"        {column_name!r}: Column({', '.join(parts)}),")
    options = [
        f"    {option}={value!r},"
        for option, value in contract.as_dict().items()
        if option != "columns"
    ]
    body = ["    columns={", *lines, "    },", *options]
    head = ["import polars as pl", "", "from jobforge import Column, Contract", ""]
    return "\n".join([*head, f"{name} = Contract(", *body, ")", ""])


def _literal(value: object) -> str:
    """A value as Python writes it; infinity has no literal."""
    if isinstance(value, float) and math.isinf(value):
        return f"float({str(value)!r})"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return repr(value)
