"""The sides of the orders job, as the groups share them."""

from __future__ import annotations

from harness import Bench, Side

_LEVEL = ("--level", "1")
"""Of zstd, as jobforge writes."""
FLOOR = Side("polars floor", "polars_floor.py", _LEVEL)
FLOOR_PROVENANCE = Side("polars floor, provenance", "polars_floor.py", ("--provenance", *_LEVEL))
FLOOR_DEFAULTS = Side("polars floor, zstd 3", "polars_floor.py")
JOBFORGE = Side("jobforge", "jobforge_run.py")
JOBFORGE_FUNCTIONS = Side("jobforge, no rules", "jobforge_run.py", ("--steps", "functions"))
JOBFORGE_UNHASHED = Side("jobforge, no content hash", "jobforge_run.py", ("--no-content-hashes",))
DUCKDB = Side("duckdb", "duckdb_sql.py", needs=("duckdb",))
PANDAS = Side("pandas", "pandas_job.py", needs=("pandas",))


STAGED_FLOOR = Side("polars", "polars_staged.py")
STAGED_JOBFORGE = Side("jobforge", "jobforge_run.py", ("--part", "staged"))


def four_layers(bench: Bench) -> list[Side]:
    """Those that do the whole job, the floor first."""
    needs = ("dbt.cli.main", "dbt.adapters.duckdb", "duckdb")
    dbt = Side("dbt-duckdb", "dbt_duckdb.py", (), bench.dbt_python, needs)
    return [
        FLOOR,
        FLOOR_PROVENANCE,
        FLOOR_DEFAULTS,
        JOBFORGE,
        JOBFORGE_FUNCTIONS,
        JOBFORGE_UNHASHED,
        DUCKDB,
        PANDAS,
        dbt,
    ]


def staged_alone(kind: str, bench: Bench) -> list[Side]:
    """Those that do staged, the floor first; dlt does no other layer, and here CSV alone."""
    dlt = Side("dlt", "dlt_staged.py", (), bench.dlt_python, ("dlt", "pyarrow"))
    return [STAGED_FLOOR, STAGED_JOBFORGE, *([dlt] if kind == "csv" else [])]
