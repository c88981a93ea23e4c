"""What differs is named with its rows, and what may differ is not called different."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from jobforge import Column, Contract, PipelineEngine, SourceRecord, deduplicate
from jobforge.errors import JobforgeError, TableDamagedError
from jobforge.pipeline import events
from jobforge.pipeline.audit.replay import replay
from jobforge.pipeline.audit.replay_run import Again, Ran
from jobforge.pipeline.content import contents_of
from jobforge.pipeline.models import LayerTransitionLog
from replay_support import (
    DIFFERS,
    IDENTICAL,
    NOT_PROVABLE,
    ORDERS,
    edited,
    layers,
    orders,
    rewritten,
    verdicts,
)
from support import write_csv


def weight_by_kind(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.group_by("kind").agg(pl.col("weight").sum())


def stamped(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(seen=pl.lit(datetime.now(UTC)))


def any_of_a_kind(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.unique(subset="kind", keep="any")


def test_a_file_that_was_altered_is_named(engine: PipelineEngine, tmp_path: Path) -> None:
    ran = engine.run_full_pipeline(orders(tmp_path), "orders")
    frame = pl.read_parquet(ran["silver_path"])
    metadata = pl.read_parquet_metadata(ran["silver_path"])
    kept = {"jobforge": metadata["jobforge"]}
    frame.with_columns(note=pl.lit("!")).write_parquet(ran["silver_path"], metadata=kept)
    with pytest.raises(TableDamagedError, match=r"silver/.*SHA-256"):
        replay(engine.config, ran["batch_id"])
    with ran["staged_path"].open("r+b") as file:
        file.seek(100)
        file.write(b"?")
    with pytest.raises(TableDamagedError, match=r"staged/.*SHA-256"):
        replay(engine.config, ran["batch_id"])
    ran["staged_path"].unlink()
    with pytest.raises(TableDamagedError, match="is not there"):
        replay(engine.config, ran["batch_id"])


def test_a_difference_names_rows_columns_and_values(engine: PipelineEngine, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "t.csv", [["k", "v"], *([str(n), str(n)] for n in range(30))])
    ran = engine.run_full_pipeline(source, "t", bronze_schema={"cast": {"v": "Float64"}})
    path, config = ran["bronze_path"], engine.config
    # As if bronze had been made by something else: record and file agree, and are not what is.
    other = pl.read_parquet(path).with_columns(
        v=pl.when(pl.col("v") == 0).then(-0.0).when(pl.col("k") >= "3").then(9.5).otherwise("v")
    )
    rewritten(config, ran["batch_id"], "bronze", path, other.filter(pl.col("k") != "29"))
    found = replay(config, ran["batch_id"])
    assert verdicts(found) == [IDENTICAL, DIFFERS, IDENTICAL, IDENTICAL]
    (rows,) = layers(found)["bronze"].compared
    assert (rows.differing, rows.columns, rows.last_bits_only) == (9, ("v",), False)
    told = {(row.source_row, row.column, row.recorded, row.replayed) for row in rows.first}
    assert (1, "v", "-0.0", "0.0") in told
    assert (4, "v", "9.5", "3.0") in told
    assert [row.row for row in rows.first if row.source_row == 30] == ["replayed only"]
    assert all(row.source_file == "t.csv" for row in rows.first)
    assert layers(found)["bronze"].reasons == ("9 rows differ in v",)


def test_values_of_personal_tables_are_withheld(engine: PipelineEngine, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "t.csv", [["k", "who"], ["1", "Ann"]])
    contract = Contract({"who": Column(pl.String, pii="name")})
    ran = engine.run_full_pipeline(source, "t", bronze_schema=contract)
    other = pl.read_parquet(ran["bronze_path"]).with_columns(who=pl.lit("Eve"))
    rewritten(engine.config, ran["batch_id"], "bronze", ran["bronze_path"], other)
    found = replay(engine.config, ran["batch_id"])
    (rows,) = layers(found)["bronze"].compared
    assert rows.withheld
    assert "Ann" not in found.model_dump_json()
    assert "Eve" not in found.model_dump_json()
    assert rows.columns == ("who",)


def test_another_contract_than_the_recorded_one_is_named(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    ran = engine.run_full_pipeline(orders(tmp_path), "orders", "sales", ORDERS)
    log = ran["logs"][1]
    assert log.contract is not None
    other = log.contract.model_copy(update={"sha256": "0" * 64})
    edited(engine.config, ran["batch_id"], "bronze", contract=other)
    found = replay(engine.config, ran["batch_id"])
    assert verdicts(found) == [IDENTICAL, NOT_PROVABLE, NOT_PROVABLE, NOT_PROVABLE]
    assert (
        "is not the one that it went by (1.0.0, 000000000000)"
        in (layers(found)["bronze"].reasons[0])
    )


def test_erased_records_cannot_be_replayed(engine: PipelineEngine, tmp_path: Path) -> None:
    ran = engine.run_full_pipeline(orders(tmp_path), "orders", "sales", ORDERS)
    engine.erase("sales/orders", [SourceRecord(ran["batch_id"], 3)], why="asked to")
    found = replay(engine.config, ran["batch_id"])
    assert found.verdict is NOT_PROVABLE
    assert "source records of the batch were erased on" in found.layers[0].reasons[0]


def test_the_clock_excuses_a_difference_and_is_told_at_once(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    ran = engine.run_full_pipeline(orders(tmp_path), "orders", gold_transforms=[stamped])
    (note,) = ran["logs"][3].notes
    assert note.topic == "replay"
    assert "datetime.datetime.now" in note.text
    found = replay(engine.config, ran["batch_id"])
    assert verdicts(found)[3] is NOT_PROVABLE
    assert "stamped: it calls datetime.datetime.now" in layers(found)["gold"].reasons[-1]
    assert layers(found)["gold"].compared[0].columns == ("seen",)


def test_the_first_run_warns_once(
    engine: PipelineEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def clocked(frame: pl.LazyFrame) -> pl.LazyFrame:
        return frame.with_columns(seen=pl.lit(datetime.now(UTC)))

    with events.silent():
        engine.run_full_pipeline(orders(tmp_path), "orders", silver_transforms=[clocked])
    events.configure("json")
    for times in (1, 0):
        engine.run_full_pipeline(orders(tmp_path), "orders", silver_transforms=[clocked])
        told = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        warned = [line for line in told if line["event"] == "transform.not_provable"]
        assert [(line["step"], line["layer"]) for line in warned] == [("clocked", "silver")] * times


def test_any_row_of_a_key_is_told_and_excuses(engine: PipelineEngine, tmp_path: Path) -> None:
    ran = engine.run_full_pipeline(orders(tmp_path), "orders", gold_transforms=[any_of_a_kind])
    assert "keeps any row" in ran["logs"][3].notes[0].text
    # As if another row of one kind had been kept.
    other = pl.read_parquet(ran["gold_path"]).with_columns(
        note=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("of another row")).otherwise("note")
    )
    rewritten(engine.config, ran["batch_id"], "gold", ran["gold_path"], other)
    gold = layers(replay(engine.config, ran["batch_id"]))["gold"]
    assert gold.verdict is NOT_PROVABLE
    assert "keeps any row" in gold.reasons[-1]
    with pytest.raises(JobforgeError, match="impossible to repeat"):
        deduplicate("kind", keep="any")


@pytest.mark.parametrize("grain", [[], ["kind"]])
def test_last_bits_of_float_sums_are_not_provable(
    engine: PipelineEngine, tmp_path: Path, grain: list[str]
) -> None:
    ran = engine.run_full_pipeline(
        orders(tmp_path), "orders", "sales", ORDERS, [], [weight_by_kind], grain=grain
    )
    assert any("may add floats (weight)" in note.text for note in ran["logs"][3].notes)
    frame = pl.read_parquet(ran["gold_path"])
    moved = frame.with_columns(pl.col("weight") * (1 + 3e-16))
    assert not moved["weight"].equals(frame["weight"])

    rewritten(engine.config, ran["batch_id"], "gold", ran["gold_path"], moved)
    contents = contents_of(moved.lazy(), by_record=False)
    edited(engine.config, ran["batch_id"], "gold", contents=contents)
    found = replay(engine.config, ran["batch_id"])
    gold = layers(found)["gold"]
    assert gold.verdict is NOT_PROVABLE
    assert any("only the last bits of floats" in reason for reason in gold.reasons)
    moved = frame.with_columns(pl.col("weight") * 1.01)
    rewritten(engine.config, ran["batch_id"], "gold", ran["gold_path"], moved)
    contents = contents_of(moved.lazy(), by_record=False)
    edited(engine.config, ran["batch_id"], "gold", contents=contents)
    assert replay(engine.config, ran["batch_id"]).verdict is DIFFERS


def test_another_version_of_polars_excuses_a_difference(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    source = write_csv(tmp_path / "t.csv", [["k", "v"], ["1", "2"]])
    ran = engine.run_full_pipeline(source, "t")
    other = pl.read_parquet(ran["gold_path"]).with_columns(v=pl.lit("3"))
    rewritten(engine.config, ran["batch_id"], "gold", ran["gold_path"], other)
    assert replay(engine.config, ran["batch_id"]).verdict is DIFFERS
    edited(engine.config, ran["batch_id"], "gold", polars_version="2.0.9")
    found = replay(engine.config, ran["batch_id"])
    assert found.verdict is NOT_PROVABLE
    assert "it ran with Polars 2.0.9" in layers(found)["gold"].reasons[-1]


def counted() -> int:
    """How often it was called: a state that no text of a step is looked at for."""
    turns = counted.__dict__.setdefault("turns", [])
    turns.append(1)
    return len(turns)


def turned(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Something else each time."""
    return frame.with_columns(turn=pl.lit(counted()))


@pytest.mark.parametrize("refused", [False, True])
@pytest.mark.parametrize("kept", [False, True])
def test_replays_that_differ_from_each_other_prove_nothing(
    engine: PipelineEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    refused: bool,
    kept: bool,
) -> None:
    ran = engine.run_full_pipeline(orders(tmp_path), "orders", gold_transforms=[turned])
    assert ran["logs"][3].notes == ()
    run, seen = Again.run, []

    def watched(again: Again, log: LayerTransitionLog) -> Ran:
        if log.transition_id in seen and refused:
            monkeypatch.setitem(counted.__dict__, "turns", None)
        seen.append(log.transition_id)
        return run(again, log)

    monkeypatch.setattr(Again, "run", watched)
    into = tmp_path / "kept" if kept else None
    gold = layers(replay(engine.config, ran["batch_id"], into=into))["gold"]
    assert gold.verdict is NOT_PROVABLE, gold
    assert gold.reasons[0].endswith("differ in turn")
    assert "two replays of it differ from each other" in gold.reasons[-1]
    assert len(seen) == 4  # bronze, silver, and gold twice
    assert not [*tmp_path.rglob("twice-*")]


@pytest.mark.parametrize("column", ["note", None])
def test_what_is_the_same_in_two_replays_is_not_excused_by_what_is_not(
    engine: PipelineEngine, tmp_path: Path, column: str | None
) -> None:
    ran = engine.run_full_pipeline(orders(tmp_path), "orders", gold_transforms=[turned])
    frame = pl.read_parquet(ran["gold_path"])
    other = frame.with_columns(note=pl.lit("!")) if column else frame.head(150)
    rewritten(engine.config, ran["batch_id"], "gold", ran["gold_path"], other)
    if not column:
        edited(engine.config, ran["batch_id"], "gold", row_count_out=150)
    assert layers(replay(engine.config, ran["batch_id"]))["gold"].verdict is DIFFERS


def shaken(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Sums of floats in another order each time, as threads do it at times."""
    rows = frame.group_by("kind").agg(pl.col("weight").sum(), pl.len().alias("orders"))
    return rows.with_columns(pl.col("weight") * (1 + counted() * 3e-16))


def test_last_bits_that_vary_excuse_no_other_value(engine: PipelineEngine, tmp_path: Path) -> None:
    ran = engine.run_full_pipeline(
        orders(tmp_path), "orders", "sales", ORDERS, [], [shaken], grain=["kind"]
    )
    assert layers(replay(engine.config, ran["batch_id"]))["gold"].verdict is NOT_PROVABLE
    other = pl.read_parquet(ran["gold_path"]).with_columns(pl.col("orders") + 1)
    rewritten(engine.config, ran["batch_id"], "gold", ran["gold_path"], other)
    assert layers(replay(engine.config, ran["batch_id"]))["gold"].verdict is DIFFERS


def test_a_difference_that_comes_out_again_is_one(engine: PipelineEngine, tmp_path: Path) -> None:
    ran = engine.run_full_pipeline(orders(tmp_path), "orders", silver_transforms=[turned])
    other = pl.read_parquet(ran["bronze_path"]).with_columns(note=pl.lit("!"))
    rewritten(engine.config, ran["batch_id"], "bronze", ran["bronze_path"], other)
    found = replay(engine.config, ran["batch_id"])
    assert layers(found)["bronze"].verdict is DIFFERS
    assert layers(found)["silver"].verdict is NOT_PROVABLE
