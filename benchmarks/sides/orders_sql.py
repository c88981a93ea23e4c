"""The orders job in SQL, as the sides on DuckDB share it."""

from __future__ import annotations

from pathlib import Path
from string import Template

import clock
import duckdb
import job

_TYPES = {
    "order_id": "bigint",
    "order_date": "date",
    "shipped_at": "timestamp",
    "quantity": "integer",
    "unit_price": "double",
    "discount": "double",
}
_STAGED = Template("select * from read_csv('$source', all_varchar = true)")
_BRONZE = Template("select $columns from $table")
# The key's first row by its number in the file: narrower than a window over whole rows.
_SILVER = Template("""
select * exclude (file_row_number) replace ($trimmed)
from $table
where quantity > 0 and customer_id is not null and file_row_number in (
    select min(file_row_number)
    from $table
    where quantity > 0 and customer_id is not null
    group by order_id
)""")
_GOLD = Template("""
select
    *,
    quantity * unit_price as gross,
    cast(date_trunc('month', order_date) as date) as order_month,
    quantity * unit_price * (1 - coalesce(discount, 0)) as net
from $table""")
_COUNT = Template("select count(*) from read_parquet('$path')")


def queries(source: str, before: dict[str, str]) -> dict[str, str]:
    """The select of each layer.

    Args:
        source: Path of the CSV file.
        before: The table that each layer reads; silver's has `file_row_number`.
    """
    columns = [
        f'cast("{name}" as {_TYPES[new]}) as {new}' if new in _TYPES else f'"{name}" as {new}'
        for name, new in job.NAMES.items()
    ]
    trimmed = [f"trim({name}) as {name}" for name in job.TRIMMED]
    return {
        "staged": _STAGED.substitute(source=source),
        "bronze": _BRONZE.substitute(columns=", ".join(columns), table=before["bronze"]),
        "silver": _SILVER.substitute(trimmed=", ".join(trimmed), table=before["silver"]),
        "gold": _GOLD.substitute(table=before["gold"]),
    }


def made(paths: dict[str, Path]) -> clock.Made:
    """Rows as the files have them."""
    rows = {}
    with duckdb.connect() as connection:
        for layer, path in paths.items():
            found = connection.execute(_COUNT.substitute(path=path)).fetchone()
            rows[layer] = int(found[0]) if found else 0
    return clock.Made(rows, {layer: str(path) for layer, path in paths.items()})
