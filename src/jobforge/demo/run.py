"""The demo itself: make the sources, run them, and gather what a person wants to see."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jobforge.demo import transforms as work
from jobforge.demo.source import write_sources
from jobforge.errors import DataRootError
from jobforge.openlineage import OpenLineageConfig
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.engine import PipelineEngine
from jobforge.pipeline.models import LayerTransitionLog
from jobforge.storage.publish import make_folder

DOMAIN = "demo"


@dataclass(frozen=True)
class TableRun:
    """One table of the demo."""

    table: str
    source: Path
    logs: list[LayerTransitionLog]


@dataclass(frozen=True)
class DemoResult:
    """What the demo made."""

    data_root: Path
    runs: list[TableRun]
    reject_columns: list[str]
    rejects: list[tuple[object, ...]]
    gold_columns: list[str]
    gold: list[tuple[object, ...]]

    def as_record(self) -> dict[str, object]:
        """The demo as plain values for JSON."""
        return {
            "data_root": str(self.data_root),
            "runs": [
                {
                    "table": run.table,
                    "source": str(run.source),
                    "logs": [log.model_dump(mode="json") for log in run.logs],
                }
                for run in self.runs
            ],
            "rejects": [dict(zip(self.reject_columns, row, strict=True)) for row in self.rejects],
            "gold": [dict(zip(self.gold_columns, row, strict=True)) for row in self.gold],
        }


def run_demo(folder: Path, openlineage: OpenLineageConfig | None = None) -> DemoResult:
    """Make the sources in a folder and run them through the four layers.

    Args:
        folder: Made where it is not there; everything the demo writes is in it.
        openlineage: As for `PipelineConfig`.

    Raises:
        DataRootError: The folder cannot be written.
    """
    incoming = folder / "in"
    make_folder(incoming)
    try:
        occupations, employees = write_sources(incoming)
    except OSError as error:
        raise DataRootError(
            f"the demo cannot write to {incoming}: {error.strerror}", hint="name another --dir"
        ) from error
    config = PipelineConfig(folder / "data", openlineage=openlineage)
    engine = PipelineEngine(config)
    first = engine.run_full_pipeline(occupations, "occupations", DOMAIN, work.OCCUPATIONS)
    second = engine.run_full_pipeline(
        employees,
        "employees",
        DOMAIN,
        work.EMPLOYEES,
        silver_transforms=work.SILVER,
        gold_transforms=[work.yearly_pay, work.broad_category],
    )
    rejects = engine.reject_rows(second["batch_id"]).select(
        "layer", "record", "column", "value", "reason"
    )
    gold = _by_category(second["gold_path"])
    return DemoResult(
        config.data_root,
        [
            TableRun("occupations", occupations, first["logs"]),
            TableRun("employees", employees, second["logs"]),
        ],
        rejects.columns,
        rejects.rows(),
        gold.columns,
        gold.rows(),
    )


def _by_category(gold_path: Path) -> pl.DataFrame:
    return (
        pl.scan_parquet(gold_path, glob=False)
        .group_by("broad")
        .agg(
            pl.len().cast(pl.Int64).alias("employees"),
            pl.col("yearly_pay").sum().round(0).cast(pl.Int64).alias("yearly pay"),
        )
        .sort("broad")
        .rename({"broad": "broad occupation"})
        .collect()
    )
