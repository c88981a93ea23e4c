"""The orders job as a dbt project on DuckDB: four external models, `dbt run` in this process."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

os.environ["DBT_SEND_ANONYMOUS_USAGE_STATS"] = "false"
os.environ["DO_NOT_TRACK"] = "1"

import clock
import job
import orders_sql

DBT = import_module("dbt.cli.main")
import_module("dbt.adapters.duckdb")  # dbt loads it with the profile; imports are off the clock

_PROJECT = """
name: orders
version: "1.0"
profile: orders
model-paths: [models]
flags:
  send_anonymous_usage_stats: false
"""
_PROFILE = """
orders:
  target: bench
  outputs:
    bench:
      type: duckdb
      threads: 1
"""
_MODEL = """{{{{ config(
    materialized="external",
    location="{path}",
    options={{"format": "parquet", "compression": "zstd"}},
    parquet_read_options={{"file_row_number": {numbered}}},
) }}}}
{query}
"""
_QUIET = ["--quiet", "--log-level-file", "none", "--no-partial-parse", "--no-write-json"]


def write_project(source: Path, folder: Path, paths: dict[str, Path]) -> None:
    """The project's files: dbt orders the models by their references."""
    (folder / "models").mkdir(parents=True, exist_ok=True)
    (folder / "dbt_project.yml").write_text(_PROJECT)
    (folder / "profiles.yml").write_text(_PROFILE)
    before = {
        layer: f"{{{{ ref('{job.LAYERS[at]}') }}}}" for at, layer in enumerate(job.LAYERS[1:])
    }
    for layer, query in orders_sql.queries(str(source), before).items():
        text = _MODEL.format(path=paths[layer], query=query, numbered=layer == "bronze")
        (folder / "models" / f"{layer}.sql").write_text(text)


def work(source: Path, target: Path) -> dict[str, Path]:
    paths, folder = job.files(target), target / "project"
    write_project(source, folder, paths)
    where = ["--project-dir", str(folder), "--profiles-dir", str(folder)]
    result = DBT.dbtRunner().invoke([*_QUIET, "run", *where])
    if not result.success:
        told = [str(each.message) for each in result.result or []]
        raise SystemExit(f"dbt run failed: {result.exception or told}")
    return paths


if __name__ == "__main__":
    chosen = clock.arguments(__doc__).parse_args()
    clock.run(chosen, lambda: work(chosen.source, chosen.target), orders_sql.made)
