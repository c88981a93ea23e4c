"""The orders job, or a part of it, by jobforge."""

from __future__ import annotations

from argparse import BooleanOptionalAction
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import clock
import job
import polars as pl

from jobforge import PipelineConfig, PipelineEngine, deduplicate, expect, trim
from jobforge.pipeline import events
from jobforge.pipeline.models import LayerTransitionLog
from jobforge.readers.registry import reader_for

SCHEMA = {
    "rename": job.NAMES,
    "cast": {
        "order_id": "Int64",
        "order_date": "Date",
        "shipped_at": "Datetime('us')",
        "quantity": "Int32",
        "unit_price": "Float64",
        "discount": "Float64",
    },
}


def money(lf: pl.LazyFrame) -> pl.LazyFrame:
    """Gold: the amounts and the month."""
    return lf.with_columns(
        gross=pl.col("quantity") * pl.col("unit_price"),
        order_month=pl.col("order_date").dt.truncate("1mo"),
    ).with_columns(net=pl.col("gross") * (1 - pl.col("discount").fill_null(0)))


def plain_filters(lf: pl.LazyFrame) -> pl.LazyFrame:
    """Silver without declared rules: what falls is counted, and kept nowhere."""
    return (
        lf.with_columns(pl.col(job.TRIMMED).str.strip_chars())
        .filter(pl.col("quantity") > 0, pl.col("customer_id").is_not_null())
        .filter(pl.col("order_id").is_first_distinct())
    )


STEPS: dict[str, list[Callable[[pl.LazyFrame], pl.LazyFrame]]] = {
    "declared": [
        trim(*job.TRIMMED),
        expect("quantity_positive", pl.col("quantity") > 0),
        expect("customer_known", pl.col("customer_id").is_not_null()),
        deduplicate("order_id"),
    ],
    "functions": [plain_filters],
    "eight": [
        expect("customer_known", pl.col("customer_id").is_not_null()),
        expect("quantity_positive", pl.col("quantity") > 0),
        expect("price_positive", pl.col("unit_price") > 0),
        expect("discount_is_a_share", pl.col("discount").is_between(0, 1), null="pass"),
        expect("region_known", pl.col("region").is_in(["north", " south", "east  ", "west"])),
        expect("product_plausible", pl.col("product").str.starts_with("P-"), on_fail="warn"),
        expect("shipped_in_time", pl.col("shipped_at") >= pl.col("order_date"), null="pass"),
        expect("status_known", pl.col("status").is_in(["A", "  B", "C ", "D"]), on_fail="fail"),
        deduplicate("order_id"),
    ],
    "none": [],
}
"""Silver's steps by name; the first two are the orders job, the others its rules alone."""


def told(*parts: tuple[LayerTransitionLog, Path]) -> clock.Made:
    """Rows and files of the layers."""
    return clock.Made(
        {log.target_layer.value: log.row_count_out or 0 for log, _ in parts},
        {log.target_layer.value: str(path) for log, path in parts},
    )


def check(log: LayerTransitionLog, steps: str) -> None:
    """Stop where the rules found nothing to do: such a run measures something else."""
    account = log.account
    left = account is not None and bool(account.quarantined and account.deduplicated)
    if left != (steps in {"declared", "eight"}):
        raise SystemExit(f"the run did something else than it should: {account}")


def work(
    source: Path, target: Path, part: str, steps: str, *, content_hashes: bool = True
) -> clock.Made:
    """All four layers of a source, its first one or two, or silver of a bronze file."""
    engine = PipelineEngine(PipelineConfig(target, content_hashes=content_hashes))
    if part == "silver":
        silver = engine.promote_to_silver(source, STEPS[steps])
        check(silver["log"], steps)
        return told((silver["log"], silver["silver_path"]))
    if part in {"staged", "bronze"}:
        staged = engine.ingest(source, "orders")
        if part == "staged":
            return told((staged["log"], staged["staged_path"]))
        bronze = engine.promote_to_bronze(staged["staged_path"], SCHEMA)
        return told((bronze["log"], bronze["bronze_path"]))
    done = engine.run_full_pipeline(
        source,
        "orders",
        bronze_schema=SCHEMA,
        silver_transforms=STEPS[steps],
        gold_transforms=[money] if steps in {"declared", "functions"} else [],
    )
    paths = [done["staged_path"], done["bronze_path"], done["silver_path"], done["gold_path"]]
    if (done["logs"][0].row_count_out or 0) > 1_000:  # noqa: PLR2004 - ten rows hold no dirt
        check(done["logs"][2], steps)
    return told(*zip(done["logs"], paths, strict=True))


if __name__ == "__main__":
    parser = clock.arguments(__doc__)
    parser.add_argument("--part", choices=["all", "staged", "bronze", "silver"], default="all")
    parser.add_argument("--steps", choices=list(STEPS), default="declared")
    parser.add_argument("--content-hashes", action=BooleanOptionalAction, default=True)
    chosen = parser.parse_args()
    events.configure(quiet=True)
    # A reader, and what a large file needs, are imported with the first of them; imports are
    # before the clock on every side.
    reader_for(chosen.source.name, None)
    import_module("jobforge.readers.csv.scan")
    clock.run(
        chosen,
        lambda: work(
            chosen.source,
            chosen.target,
            chosen.part,
            chosen.steps,
            content_hashes=chosen.content_hashes,
        ),
        lambda result: result,
    )
