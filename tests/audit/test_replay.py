"""A batch run again with all that it had comes out the same."""

from __future__ import annotations

import shutil
from dataclasses import replace as changed
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from jobforge import (
    Column,
    Contract,
    PipelineConfig,
    PipelineEngine,
    expect,
    references,
    trim,
)
from jobforge.errors import (
    ExpectationError,
    InvalidOptionError,
    InvalidSchemaError,
    JobforgeError,
    TableDamagedError,
    TableNotFoundError,
)
from jobforge.pipeline import lineage
from jobforge.pipeline.audit.replay import replay
from jobforge.pipeline.models import ErrorRecord, TransitionStatus
from replay_support import (
    DIFFERS,
    GOLD,
    IDENTICAL,
    NOT_PROVABLE,
    ORDERS,
    SILVER,
    by_kind,
    doubled,
    edited,
    layers,
    orders,
    verdicts,
)
from support import NOC, debris, files_below, needs_noc, write_csv


def failing(frame: pl.LazyFrame) -> pl.LazyFrame:
    del frame
    raise RuntimeError("no")


@pytest.mark.parametrize("fused", [True, False])
def test_a_batch_with_all_that_there_is_comes_out_the_same(tmp_path: Path, *, fused: bool) -> None:
    engine = PipelineEngine(PipelineConfig(tmp_path / "root", fused=fused))
    ran = engine.run_full_pipeline(orders(tmp_path), "orders", "sales", ORDERS, SILVER, GOLD)
    assert [str(log.status) for log in ran["logs"]] == ["success", "partial", "partial", "success"]
    before = files_below(tmp_path / "root")
    found = replay(engine.config, ran["batch_id"], transforms={"gold": GOLD})
    assert found.verdict is IDENTICAL, found
    assert verdicts(found) == [IDENTICAL] * 4
    assert [one.what for one in layers(found)["silver"].compared] == ["rows", "rejects", "left out"]
    hashes = {one.recorded_hash for layer in found.layers for one in layer.compared}
    assert len(hashes - {None}) == 7
    assert all(one.recorded_hash == one.replayed_hash for la in found.layers for one in la.compared)
    assert files_below(tmp_path / "root") == before
    assert not debris(tmp_path / "root")


def test_four_calls_replace_and_append_with_keys(engine: PipelineEngine, tmp_path: Path) -> None:
    contract = changed(
        ORDERS,
        columns={
            **ORDERS.columns,
            "id": Column(pl.Int64, source="Order ID", key=True, nullable=False),
        },
    )
    batches = []
    for number in range(3):
        source = orders(tmp_path, f"{number}.csv", rows=100 + 30 * number)
        ran = engine.run_full_pipeline(
            source, "orders", "sales", contract, [trim("kind")], load="append"
        )
        batches.append(ran["batch_id"])
    rejected = engine.reject_rows(batches[1]).filter(pl.col("rule").str.contains("key|unique"))
    assert rejected.height
    for batch in batches:
        found = replay(engine.config, batch)
        assert found.verdict is IDENTICAL, found
    # The table that the second batch was judged by is the one of that time, not of today.
    engine.compact("sales/orders", "silver")
    assert replay(engine.config, batches[1]).verdict is IDENTICAL
    engine.clean(keep_versions=1, older_than=timedelta(0))
    lost = replay(engine.config, batches[2])
    assert lost.verdict is NOT_PROVABLE
    assert "appended to no longer opens" in layers(lost)["silver"].reasons[0]


def test_references_are_read_at_the_version_of_that_time(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    write_csv(tmp_path / "kinds.csv", [["kind"], ["a"]])
    engine.run_full_pipeline(tmp_path / "kinds.csv", "kinds")
    steps = [trim("kind"), references("kind", "kinds", on_fail="quarantine")]
    batch = engine.run_full_pipeline(orders(tmp_path), "orders", "sales", ORDERS, steps)["batch_id"]
    write_csv(tmp_path / "kinds.csv", [["kind"], ["a"], ["b"], ["x"]])
    engine.run_full_pipeline(tmp_path / "kinds.csv", "kinds")
    assert replay(engine.config, batch).verdict is IDENTICAL
    for place in ("bronze", "silver", "gold"):
        shutil.rmtree(engine.config.data_root / place / "default/kinds")
    gone = replay(engine.config, batch)
    assert verdicts(gone) == [IDENTICAL, IDENTICAL, NOT_PROVABLE, NOT_PROVABLE]
    assert (
        "references:kind read version 1 of gold of default/kinds"
        in (layers(gone)["silver"].reasons[0])
    )


def test_a_layer_that_was_promoted_again_is_replayed_each_time(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    ran = engine.run_full_pipeline(orders(tmp_path), "orders", "sales", ORDERS, SILVER)
    silver = engine.promote_to_silver(ran["bronze_path"], [trim("kind")])
    engine.promote_to_gold(silver["silver_path"], [doubled])
    found = replay(engine.config, ran["batch_id"])
    assert [str(layer.layer) for layer in found.layers] == [
        "staged", "bronze", "silver", "gold", "silver", "gold",
    ]  # fmt: skip
    assert found.verdict is IDENTICAL, found


def test_what_failed_fails_again_for_the_same_reason(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    strict = expect("cheap", pl.col("price") < 5, on_fail="fail")
    with pytest.raises(ExpectationError) as stopped:
        engine.run_full_pipeline(orders(tmp_path), "orders", "sales", ORDERS, [strict])
    batch = str(stopped.value.place["batch"])
    assert replay(engine.config, batch).verdict is IDENTICAL
    bronze = engine.config.data_root / str(
        lineage.known(engine.config, batch).transitions[1].target_file
    )
    with pytest.raises(JobforgeError):
        engine.promote_to_silver(bronze, [failing])
    assert replay(engine.config, batch).verdict is IDENTICAL
    edited(engine.config, batch, "silver", status=TransitionStatus.SUCCESS, errors=())
    found = replay(engine.config, batch)
    assert found.verdict is DIFFERS
    assert "is refused now: JF410" in found.layers[2].reasons[0]
    assert "is refused now: JF402" in found.layers[3].reasons[0]


def test_what_a_dead_process_had_published_is_proved_too(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    batch = engine.run_full_pipeline(orders(tmp_path), "orders", "sales", ORDERS, SILVER)[
        "batch_id"
    ]
    died = ErrorRecord(code="JF408", kind="AbandonedError", message="", hint="", place={})
    fields = {"account": None, "rules": (), "contents": None, "content_hash": None}
    edited(engine.config, batch, "silver", status=TransitionStatus.FAILED, errors=(died,), **fields)
    found = replay(engine.config, batch)
    assert verdicts(found) == [IDENTICAL] * 4


def test_an_attempt_that_was_mended_does_not_count(engine: PipelineEngine, tmp_path: Path) -> None:
    staged = engine.ingest(orders(tmp_path), "orders")
    with pytest.raises(JobforgeError):
        engine.promote_to_bronze(staged["staged_path"], {"cast": {"nothing": "Int64"}})
    engine.promote_to_bronze(staged["staged_path"], ORDERS)
    found = replay(engine.config, staged["batch_id"])
    assert verdicts(found) == [IDENTICAL, IDENTICAL]
    assert found.notes == ("an attempt at bronze that failed is not run again: a later one counts",)


def test_all_rows_rejected_and_a_schema_that_fits_nothing(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    source = write_csv(tmp_path / "t.csv", [["v"], ["x"], ["y"]])
    staged = engine.ingest(source, "t")
    for schema, provable in (
        ({"cast": {"v": "Int64"}}, True),
        ({"cast": {"w": "Int64"}}, False),
        ({"nonsense": {}}, False),
    ):
        with pytest.raises(JobforgeError):
            engine.promote_to_bronze(staged["staged_path"], schema)
        found = replay(engine.config, staged["batch_id"]).layers[-1]
        assert (found.verdict is IDENTICAL) is provable, found
    with pytest.raises(InvalidSchemaError):
        engine.promote_to_bronze(staged["staged_path"], {"cast": {"v": "no type"}})
    assert "not recorded" in replay(engine.config, staged["batch_id"]).layers[-1].reasons[0]


def test_a_contract_without_columns_counts(engine: PipelineEngine, tmp_path: Path) -> None:
    ran = engine.run_full_pipeline(
        orders(tmp_path), "orders", bronze_schema=Contract({}, extra_columns="drop")
    )
    assert len(pl.read_parquet_schema(ran["bronze_path"])) == 5
    assert replay(engine.config, ran["batch_id"]).verdict is IDENTICAL


def test_rows_without_numbers_and_many_files(tmp_path: Path) -> None:
    engine = PipelineEngine(PipelineConfig(tmp_path / "root", row_numbers=False))
    one = engine.run_full_pipeline(orders(tmp_path), "orders", "sales", ORDERS, SILVER)
    folder = tmp_path / "many"
    folder.mkdir()
    for name in ("1.csv", "2.csv"):
        orders(folder, name)
    many = engine.run_full_pipeline(folder, "orders", "sales", ORDERS, SILVER, [doubled])
    for batch in (one["batch_id"], many["batch_id"]):
        assert replay(engine.config, batch).verdict is IDENTICAL


def test_corrected_rejects_are_replayed_with_their_batch(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    source = write_csv(tmp_path / "t.csv", [["k", "v"], ["1", "5"], ["2", "x"]])
    ran = engine.run_full_pipeline(source, "t", bronze_schema={"cast": {"v": "Int64"}})
    engine.export_rejects(ran["batch_id"], tmp_path / "rejects.csv")
    text = (tmp_path / "rejects.csv").read_text()
    (tmp_path / "mended.csv").write_text(text.replace(",x,", ",6,").replace("2,x", "2,6"))
    cured = engine.replay_rejects(tmp_path / "mended.csv", ran["batch_id"])
    for batch in (ran["batch_id"], cured["batch_id"]):
        found = replay(engine.config, batch)
        assert found.verdict is IDENTICAL, found


@needs_noc
def test_published_files_come_out_the_same(engine: PipelineEngine) -> None:
    for path in sorted(NOC.glob("*.csv"))[:4]:
        ran = engine.run_full_pipeline(path, path.stem.replace("-", "_"), "reference")
        assert replay(engine.config, ran["batch_id"]).verdict is IDENTICAL


def test_a_record_without_contents_is_compared_by_its_files(
    tmp_path: Path,
) -> None:
    engine = PipelineEngine(PipelineConfig(tmp_path / "root", content_hashes=False))
    ran = engine.run_full_pipeline(orders(tmp_path), "orders", "sales", ORDERS, SILVER, [by_kind])
    assert all(log.contents is None for log in ran["logs"])
    assert replay(engine.config, ran["batch_id"]).verdict is IDENTICAL
    ran["gold_path"].unlink()
    edited(engine.config, ran["batch_id"], "gold", removed=())
    with pytest.raises(TableDamagedError):
        replay(engine.config, ran["batch_id"])


def test_files_that_were_cleaned_are_proved_by_their_recorded_contents(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    batches = [
        engine.run_full_pipeline(orders(tmp_path), "orders", "sales", ORDERS, SILVER)["batch_id"]
        for _ in range(2)
    ]
    engine.clean(keep_versions=1, older_than=timedelta(0))
    log = lineage.known(engine.config, batches[0]).transitions[3]
    assert not (engine.config.data_root / str(log.target_file)).exists()
    found = engine.replay(batches[0])
    assert found.verdict is IDENTICAL, found
    edited(engine.config, batches[0], "gold", contents=None)
    found = engine.replay(batches[0])
    assert found.verdict is NOT_PROVABLE
    assert layers(found)["gold"].reasons == ("the recorded rows are gone",)


def test_groups_of_an_aggregate_are_compared(engine: PipelineEngine, tmp_path: Path) -> None:
    ran = engine.run_full_pipeline(
        orders(tmp_path), "orders", "sales", ORDERS, SILVER, [by_kind], grain=["kind"]
    )
    found = engine.replay(ran["batch_id"])
    assert found.verdict is IDENTICAL, found
    assert [one.what for one in layers(found)["gold"].compared] == ["rows", "groups"]


def test_only_run_into_a_folder(engine: PipelineEngine, tmp_path: Path) -> None:
    ran = engine.run_full_pipeline(orders(tmp_path), "orders", "sales", ORDERS, SILVER, GOLD)
    found = replay(engine.config, ran["batch_id"], into=tmp_path / "kept", compare=False)
    assert (found.verdict, found.folder, found.ran) == (None, str(tmp_path / "kept"), True)
    gold = PipelineEngine(PipelineConfig(tmp_path / "kept")).read("sales/orders").collect()
    was = pl.read_parquet(ran["gold_path"])
    assert gold.sort("kind").equals(was.sort("kind"))
    assert layers(found)["gold"].file is not None
    with pytest.raises(InvalidOptionError, match="cannot be looked into"):
        replay(engine.config, ran["batch_id"], into=tmp_path / ("x" * 300))
    with pytest.raises(InvalidOptionError, match="is no empty folder"):
        replay(engine.config, ran["batch_id"], into=tmp_path / "kept")


@pytest.mark.parametrize("there", [True, False])
def test_a_replay_that_is_stopped_leaves_the_folder_as_it_was(
    engine: PipelineEngine, tmp_path: Path, *, there: bool
) -> None:
    ran = engine.run_full_pipeline(orders(tmp_path), "orders", "sales", ORDERS, SILVER)
    written = ran["silver_path"].read_bytes()
    ran["silver_path"].write_bytes(written[:-1] + b"?")
    kept = tmp_path / "kept"
    if there:
        kept.mkdir()
    for _ in range(2):
        with pytest.raises(TableDamagedError, match="SHA-256"):
            replay(engine.config, ran["batch_id"], into=kept)
        assert kept.exists() is there
    ran["silver_path"].write_bytes(written)
    assert replay(engine.config, ran["batch_id"], into=kept).verdict is IDENTICAL
    before = files_below(kept)
    with pytest.raises(InvalidOptionError, match="no empty folder"):
        replay(engine.config, ran["batch_id"], into=kept)
    assert files_below(kept) == before


def test_batches_that_cannot_be_replayed_at_all(engine: PipelineEngine, tmp_path: Path) -> None:
    with pytest.raises(JobforgeError, match="there is no data root"):
        replay(engine.config, "0f6c0000-0000-4000-8000-000000000000")
    ran = engine.run_full_pipeline(orders(tmp_path), "orders")
    with pytest.raises(TableNotFoundError, match="there is no batch"):
        replay(engine.config, "0f6c0000-0000-4000-8000-000000000000")
    with pytest.raises(JobforgeError, match="is no batch id"):
        replay(engine.config, "nonsense")
    engine.run_full_pipeline(orders(tmp_path), "orders")
    rolled = engine.rollback("orders", "gold", 1)
    with pytest.raises(InvalidOptionError, match="moved no rows: rollback"):
        replay(engine.config, rolled.batch_id)
    with pytest.raises(JobforgeError):
        engine.ingest(tmp_path / "nothing.csv", "orders")
    failed = [r for r in lineage.all_records(engine.config) if r.status == "failed"][-1]
    with pytest.raises(InvalidOptionError, match="has no staged file"):
        replay(engine.config, failed.batch_id)
    other = PipelineEngine(PipelineConfig(tmp_path / "other"))
    moved = other.promote_to_bronze(ran["staged_path"])
    with pytest.raises(InvalidOptionError, match="came from another data root"):
        replay(other.config, moved["batch_id"])
