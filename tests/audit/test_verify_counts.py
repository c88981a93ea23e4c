"""A log that speaks of other rows than the files beside a table have is named by `verify`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobforge import PipelineConfig, PipelineEngine, deduplicate, expect, keep
from jobforge.pipeline import chain, lineage
from jobforge.pipeline.models import LayerTransitionLog
from support import write_csv

Change = Callable[[LayerTransitionLog], dict[str, Any]]

ROWS = [["id", "kind", "n"]] + [[str(n % 30), "abc"[n % 3], str(n)] for n in range(40)]


def odd(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.filter(pl.col("n") % 2 == 1)


def summed(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.group_by("kind").agg(pl.col("n").sum())


@pytest.fixture
def engine(tmp_path: Path) -> PipelineEngine:
    return PipelineEngine(PipelineConfig(tmp_path / "root"))


@pytest.fixture
def batch(engine: PipelineEngine, tmp_path: Path) -> str:
    """Five rejects of a cast; of an expectation, a filter, a function, a key; and groups."""
    source = write_csv(tmp_path / "t.csv", [*ROWS, *[["1", "a", "x"]] * 5])
    steps: list[Any] = [
        expect("some", pl.col("n") > 3),
        keep("known", pl.col("n") < 36),
        deduplicate("id"),
        odd,
    ]
    return engine.run_full_pipeline(
        source,
        "t",
        bronze_schema={"cast": {"n": "Int64"}},
        silver_transforms=steps,
        gold_transforms=[summed],
        grain=["kind"],
    )["batch_id"]


def told(engine: PipelineEngine, batch: str, layer: str, change: Change) -> list[tuple[str, str]]:
    """What is found where the record and the chain, sealed anew, say something else."""
    config = engine.config
    record = lineage.known(config, batch)
    log = next(log for log in record.transitions if log.target_layer == layer)
    forged = log.model_copy(update=change(log))
    lineage.record_path(config, batch).write_bytes(record.with_log(forged).as_json())
    before = None
    for number in chain.chain_numbers(config):
        path = chain.chain_entry_path(config, number)
        entry = chain.ChainEntry.model_validate_json(path.read_bytes())
        update: dict[str, Any] = {"previous": before, "seal": "0" * 64}
        if entry.log is not None and entry.log.transition_id == log.transition_id:
            update["log"] = forged
        path.write_bytes(entry.model_copy(update=update).sealed())
        before = chain.sha256(path.read_bytes())
    return [(finding.kind, finding.message) for finding in engine.verify().findings]


def with_account(**more: Any) -> Change:
    """An account that says something else, and balances: the rows that came in make up for it."""

    def change(log: LayerTransitionLog) -> dict[str, Any]:
        assert log.account is not None
        lie = log.account.model_copy(update=more)
        rows_in = lie.rows_out + lie.rows_left - sum(lie.generated.values())
        return {
            "row_count_in": rows_in,
            "account": lie.model_copy(update={"rows_in": rows_in}),
        }

    return change


LIES: list[tuple[str, Change, str]] = [
    ("bronze", with_account(quarantined={"cast:n": 6}), "it has 5 rows, and its log says 6"),
    ("bronze", with_account(quarantined={}), "it has 5 rows, and its log says 0"),
    (
        "bronze",
        with_account(quarantined={"cast:id": 5}),
        "its rows are in quarantine for other rules than its log says: cast:id, cast:n",
    ),
    (
        "silver",
        with_account(deduplicated={"deduplicate": 7}),
        "it has 6 rows, and its log says 11",
    ),
    (
        "silver",
        with_account(filtered={"known": 5}),
        "it has 4 filtered records, and its log says 5",
    ),
    (
        "silver",
        with_account(dropped={"odd": 20}),
        "it has 15 dropped records, and its log says 20",
    ),
    ("gold", with_account(aggregated=12), "it has 15 records, and by its log there are 12"),
    ("gold", with_account(aggregated=16), "it has 15 records, and by its log there are 16"),
]


def test_the_batch_as_it_was_made_is_sound(engine: PipelineEngine, batch: str) -> None:
    assert told(engine, batch, "silver", lambda _: {}) == []


@pytest.mark.parametrize(("layer", "change", "said"), LIES)
def test_a_count_that_a_file_does_not_bear_out_is_named(
    engine: PipelineEngine, batch: str, layer: str, change: Change, said: str
) -> None:
    assert told(engine, batch, layer, change) == [("count", said)]


def test_rejects_that_are_in_no_file_are_named(engine: PipelineEngine, batch: str) -> None:
    found = told(engine, batch, "bronze", lambda _: {"quarantine_file": None})
    said = "its log says that 5 rows are in quarantine, and names no file"
    assert ("count", said) in found


def test_contents_that_were_hashed_of_other_types_are_named(
    engine: PipelineEngine, batch: str
) -> None:
    def other(log: LayerTransitionLog) -> dict[str, Any]:
        assert log.contents is not None
        return {"contents": log.contents.model_copy(update={"hash": "0" * 64})}

    found = told(engine, batch, "silver", other)
    said = "its columns have other types, or sums, than those of the hash in its log"
    assert found == [("schema", said)]


def test_contents_of_another_version_of_polars_are_no_finding(
    engine: PipelineEngine, batch: str
) -> None:
    def older(log: LayerTransitionLog) -> dict[str, Any]:
        assert log.contents is not None
        update = {"algorithm": "polars-0.20.0/1", "hash": "0" * 64}
        return {"contents": log.contents.model_copy(update=update)}

    assert told(engine, batch, "silver", older) == []
