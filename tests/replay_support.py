"""What the tests of a replay share: a source with everything in it, steps, and altered records."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from jobforge import (
    Column,
    Contract,
    PipelineConfig,
    deduplicate,
    expect,
    keep,
    normalise_whitespace,
    null_words,
    trim,
)
from jobforge.pipeline import lineage
from jobforge.pipeline.audit.replay_result import LayerReplay, Replay, ReplayVerdict
from jobforge.pipeline.content import contents_of
from jobforge.pipeline.models import BatchRecord
from jobforge.storage.source import hash_file
from support import write_csv

IDENTICAL, DIFFERS, NOT_PROVABLE = ReplayVerdict

ORDERS = Contract(
    {
        "id": Column(pl.Int64, source="Order ID", nullable=False),
        "kind": Column(pl.String, allowed=["a", "b", "x"]),
        "price": Column(pl.Decimal(10, 2), ge=0),
        "weight": Column(pl.Float64, null_values=["-"]),
    }
)
SILVER: list[Any] = [
    trim("kind"),
    normalise_whitespace("note"),
    null_words(["", "N/A"], "note"),
    expect("light", pl.col("weight") < 50, null="pass"),
    keep("known", pl.col("kind") != "x"),
    deduplicate("id", keep="latest", order_by=["price", "weight"]),
]


def doubled(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(twice=pl.col("weight") * 2)


def dear(frame: pl.LazyFrame, least: int) -> pl.LazyFrame:
    return frame.filter(pl.col("price") > least)


def by_kind(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.group_by("kind").agg(pl.col("price").sum(), pl.len().alias("orders"))


GOLD: list[Any] = [doubled, partial(dear, least=3), by_kind]


def orders(folder: Path, name: str = "orders.csv", rows: int = 200) -> Path:
    lines = [["Order ID", "kind", "price", "weight", "note"]]
    lines += [
        [
            "seven" if n == 7 else str(n % (rows - 20)),
            " a" if n % 3 else "xz"[n % 2] if n % 5 == 0 else "b",
            f"{n % 13}.{n % 100:02}",
            "-" if n % 11 == 0 else str(n / 3),
            ["N/A", "", "some   words"][n % 3],
        ]
        for n in range(rows)
    ]
    return write_csv(folder / name, lines)


def layers(found: Replay) -> dict[str, LayerReplay]:
    return {str(layer.layer): layer for layer in found.layers}


def verdicts(found: Replay) -> list[ReplayVerdict | None]:
    return [layer.verdict for layer in found.layers]


def edited(config: PipelineConfig, batch: str, layer: str, **fields: Any) -> None:
    """Let the record of one transition say something else."""

    def change(record: BatchRecord) -> BatchRecord:
        logs = tuple(
            log.model_copy(update=fields) if log.target_layer == layer else log
            for log in record.transitions
        )
        return record.model_copy(update={"transitions": logs})

    lineage.amend(config, batch, change)


def rewritten(
    config: PipelineConfig, batch: str, layer: str, path: Path, frame: pl.DataFrame
) -> None:

    kept = {"jobforge": pl.read_parquet_metadata(path)["jobforge"]}
    frame.write_parquet(path, metadata=kept)
    contents = contents_of(frame.lazy(), by_record=True)
    digest = f"sha256:{hash_file(path)}"
    edited(config, batch, layer, content_hash=digest, contents=contents)
