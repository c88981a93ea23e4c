"""The orders job in DuckDB: one COPY for each layer, from the file of the layer before."""

from __future__ import annotations

from pathlib import Path

import clock
import duckdb
import job
import orders_sql


def work(source: Path, target: Path) -> dict[str, Path]:
    paths = job.files(target)
    before = {
        "bronze": f"read_parquet('{paths['staged']}')",
        "silver": f"read_parquet('{paths['bronze']}', file_row_number = true)",
        "gold": f"read_parquet('{paths['silver']}')",
    }
    with duckdb.connect() as connection:
        for layer, query in orders_sql.queries(str(source), before).items():
            connection.execute(
                f"copy ({query}) to '{paths[layer]}' (format parquet, compression zstd)"
            )
    return paths


if __name__ == "__main__":
    chosen = clock.arguments(__doc__).parse_args()
    clock.run(chosen, lambda: work(chosen.source, chosen.target), orders_sql.made)
