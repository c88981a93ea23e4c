"""Traces and impacts where something stands in the way of the simple answer."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobforge import Column, Contract, PipelineConfig, PipelineEngine, SourceRecord, expect, keep
from jobforge.errors import InvalidOptionError, JobforgeError

PERSONAL = Contract(columns={"email": Column(pii="email"), "n": Column(pl.Int64())})


@pytest.fixture
def engine(tmp_path: Path) -> PipelineEngine:
    return PipelineEngine(PipelineConfig(tmp_path / "data"))


def write(tmp_path: Path, *rows: str, header: str = "email,n") -> Path:
    path = tmp_path / "t.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def totals(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.group_by("region").agg(pl.col("n").sum())


def first_of_each(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.group_by("region").agg(pl.all().exclude("n").first(), pl.col("n").sum())


def twice(frame: pl.LazyFrame) -> pl.LazyFrame:
    return pl.concat([frame, frame])


def tagged(frame: pl.LazyFrame) -> pl.LazyFrame:
    bob = pl.col("email") == "bob@x.org"
    return frame.with_columns(tag=pl.when(bob).then(pl.lit("it is bob")).otherwise(pl.lit("no")))


def everything_said(engine: PipelineEngine, record: int = 1) -> str:
    told = engine.impact("t.csv", record=record).model_dump_json()
    return told + engine.trace("t", row=1).model_dump_json()


def test_what_is_personal_stays_masked_when_its_files_are_gone(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    for load in ("replace", "append", "append"):
        source = write(tmp_path, "bob@x.org,1")
        engine.run_full_pipeline(source, "t", bronze_schema=PERSONAL, load=load)
    for layer in ("bronze", "silver", "gold"):
        engine.compact("t", layer)
    engine.clean(keep_versions=1)
    assert "bob@x.org" not in everything_said(engine)
    shown = engine.trace("t", row=1, personal=True).model_dump_json()
    assert "bob@x.org" in shown


@pytest.mark.parametrize("known", [True, False])
def test_a_batch_that_ended_before_its_contract_shows_nothing(
    engine: PipelineEngine, tmp_path: Path, *, known: bool
) -> None:
    if known:
        engine.run_full_pipeline(write(tmp_path, "eve@x.org,1"), "t", bronze_schema=PERSONAL)
        engine.ingest(write(tmp_path, "bob@x.org,1"), "t")
    else:
        gone = Contract(columns={**PERSONAL.columns, "gone": Column()})
        with pytest.raises(JobforgeError):
            engine.run_full_pipeline(write(tmp_path, "bob@x.org,1"), "t", bronze_schema=gone)
    told = engine.impact("t.csv", record=1).model_dump_json()
    assert "bob@x.org" not in told
    assert "eve@x.org" not in told
    assert "[masked]" in told


def test_a_refused_contract_without_personal_columns_hides_nothing(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    with pytest.raises(JobforgeError):
        engine.run_full_pipeline(
            write(tmp_path, "bob@x.org,1"), "t", bronze_schema={"cast": {"gone": "Int64"}}
        )
    assert "bob@x.org,1" in engine.impact("t.csv", record=1).model_dump_json()


def test_a_column_that_a_personal_one_chooses_is_masked(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    source = write(tmp_path, "bob@x.org,1")
    engine.run_full_pipeline(source, "t", bronze_schema=PERSONAL, gold_transforms=[tagged])
    (row,) = engine.trace("t", row=1).rows
    assert row.row.values is not None
    assert row.row.values["tag"] == "[masked]"
    assert [change.after for change in row.row.changes] == ["[masked]"]


def without_email(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(email=pl.lit("gone"))


def numbered(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(email=pl.col("n"))


@pytest.mark.parametrize("step", [without_email, numbered])
def test_a_personal_cell_that_was_overwritten_is_masked(
    engine: PipelineEngine, tmp_path: Path, step: Any
) -> None:
    source = write(tmp_path, "bob@x.org,1")
    engine.run_full_pipeline(source, "t", bronze_schema=PERSONAL, silver_transforms=[step])
    assert "bob@x.org" not in everything_said(engine)
    silver = engine.trace("t", row=1).rows[0].traces[0].layers[0]
    (change,) = silver.changes
    assert change.before["email"] == "[masked]"
    assert change.after in ("gone", 1)
    assert "bob@x.org" in engine.trace("t", row=1, personal=True).model_dump_json()


@pytest.mark.parametrize(
    "kind", [pl.Datetime("ns"), pl.Duration("ns"), pl.Time(), pl.Decimal(12, 2), pl.Float64()]
)
def test_keys_are_told_apart_to_the_last_digit(
    engine: PipelineEngine, tmp_path: Path, kind: pl.DataType
) -> None:
    source = write(tmp_path, "a,1", "b,1", "c,2", "d,3", header="who,n")

    def timed(frame: pl.LazyFrame) -> pl.LazyFrame:
        return frame.with_columns(at=pl.col("n").cast(kind))

    def counted(frame: pl.LazyFrame) -> pl.LazyFrame:
        return frame.group_by("at").agg(pl.len().alias("rows")).sort("at")

    engine.run_full_pipeline(
        source, "t", bronze_schema={"cast": {"n": "Int64"}},
        gold_transforms=[timed, counted], grain=["at"],
    )  # fmt: skip
    found = [engine.trace("t", row=row).rows[0] for row in (1, 2, 3)]
    assert [[one.name.source_row for one in row.traces] for row in found] == [[1, 2], [3], [4]]
    for record in (1, 2, 3, 4):
        (impact,) = engine.impact("t.csv", record=record).records
        assert impact.layers[-1].fate == "aggregated"


def typed(frame: pl.LazyFrame) -> pl.LazyFrame:
    at = pl.lit("2026-01-01T00:00:00.123456789").str.to_datetime(time_unit="ns")
    return frame.with_columns(
        at=at,
        even=at.dt.truncate("1us"),
        clock=pl.lit("10:11:12.123456789").str.to_time(),
        late=pl.lit(2**59).cast(pl.Datetime("us")),
        many=pl.concat_list(at, at),
        both=pl.struct(at=at, n=pl.lit(float("nan"))),
        nan=pl.lit(float("nan")),
        zero=pl.lit(0.0),
        night=pl.datetime(2026, 10, 25, 0, 30, time_zone="UTC").dt.convert_time_zone(
            "Europe/Zurich"
        ),
        blob=pl.lit(b"\x00\xff"),
    )


def later(frame: pl.LazyFrame) -> pl.LazyFrame:
    tick = pl.duration(nanoseconds=1, time_unit="ns")
    return frame.with_columns(
        pl.col("at") + tick,
        pl.col("many").list.eval(pl.element() + tick),
        pl.col("night") + pl.duration(hours=1),
        zero=-pl.col("zero"),
    )


def as_text(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(pl.col("at").dt.to_string("iso"))


def test_cells_are_exact_and_changes_are_told_by_their_bits(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    source = write(tmp_path, "a,1")
    engine.run_full_pipeline(source, "t", silver_transforms=[typed], gold_transforms=[later])
    found = engine.trace("t", row=1)
    gold, silver = found.rows[0].row, found.rows[0].traces[0].layers[0]
    assert gold.values is not None
    assert silver.values is not None
    assert silver.values["at"] == silver.values["both"]["at"] == "2026-01-01 00:00:00.123456789"
    assert silver.values["even"] == datetime(2026, 1, 1, 0, 0, 0, 123456)
    assert silver.values["clock"] == "10:11:12.123456789"
    assert silver.values["late"].startswith("+20237-")
    assert gold.values["many"] == ["2026-01-01 00:00:00.123456790"] * 2
    assert {c.column: (c.before[c.column], c.after) for c in gold.changes} == {
        name: (silver.values[name], gold.values[name]) for name in ("at", "many", "night", "zero")
    }
    assert {c.steps for c in gold.changes} == {("later",)}
    told = json.loads(found.as_json())["rows"][0]["row"]["values"]
    assert told["at"] == "2026-01-01 00:00:00.123456790"
    assert (told["blob"], told["nan"], told["both"]["n"]) == ("AP8=", "nan", "nan")


def test_a_time_that_becomes_text_is_a_change(engine: PipelineEngine, tmp_path: Path) -> None:
    source = write(tmp_path, "a,1")
    engine.run_full_pipeline(source, "t", silver_transforms=[typed], gold_transforms=[as_text])
    (change,) = engine.trace("t", row=1).rows[0].row.changes
    assert (change.column, change.steps) == ("at", ("as_text",))
    assert change.before["at"] == change.after
    assert repr(change.before["at"]) == str(change.after) != repr(change.after)


@pytest.mark.parametrize("kind", [pl.Datetime("ns"), pl.Time()])
def test_a_key_with_nanoseconds_leads_back_to_its_row(
    engine: PipelineEngine, tmp_path: Path, kind: pl.DataType
) -> None:
    def timed(frame: pl.LazyFrame) -> pl.LazyFrame:
        return frame.with_columns(at=pl.col("n").cast(pl.Int64).cast(kind))

    def counted(frame: pl.LazyFrame) -> pl.LazyFrame:
        return frame.group_by("at").agg(pl.len().alias("rows")).sort("at")

    source = write(tmp_path, "a,1", "b,2")
    engine.run_full_pipeline(source, "t", gold_transforms=[timed, counted], grain=["at"])
    (record,) = engine.impact("t.csv", record=2).records
    (key,) = record.layers[-1].keys
    assert "000000002" in record.model_dump_json()
    (row,) = engine.trace("t", key=key).rows
    assert (row.key, row.records) == (key, 1)


REGIONS = ("north,1", "north,2", "south,90", "west,5")


def aggregated(engine: PipelineEngine, tmp_path: Path, *gold: Any, silver: Any = ()) -> str:
    source = write(tmp_path, *REGIONS, header="region,n")
    return engine.run_full_pipeline(
        source, "t", bronze_schema={"cast": {"n": "Int64"}},
        silver_transforms=list(silver), gold_transforms=list(gold), grain=["region"],
    )["batch_id"]  # fmt: skip


def test_a_rule_behind_an_aggregate_is_named(engine: PipelineEngine, tmp_path: Path) -> None:
    small = expect("small", pl.col("n") < 50)
    known = keep("not_west", pl.col("region") != "west")
    aggregated(engine, tmp_path, totals, small, known)
    fates = [engine.impact("t.csv", record=n).records[0].layers[-1] for n in (1, 3, 4)]
    assert [(fate.fate, fate.by) for fate in fates] == [
        ("aggregated", ()),
        ("quarantined", ("small",)),
        ("left out", ("totals", "small", "not_west")),
    ]


def test_an_aggregate_that_keeps_a_number_is_made_of_its_group(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    aggregated(engine, tmp_path, first_of_each)
    (row,) = engine.trace("t", "region = 'north'").rows
    assert (row.reach, row.records) == ("group", 2)
    (second,) = engine.impact("t.csv", record=2).records
    assert second.layers[-1].keys == ({"region": "north"},)


def test_a_record_that_was_doubled_counts_once(engine: PipelineEngine, tmp_path: Path) -> None:
    aggregated(engine, tmp_path, twice, totals)
    (row,) = engine.trace("t", "region = 'north'").rows
    assert row.records == 2
    assert [one.name.source_row for one in row.traces] == [1, 2]
    (first,) = engine.impact("t.csv", record=1).records
    assert (first.layers[-1].rows, len(first.layers[-1].keys)) == (1, 1)


def test_what_was_erased_is_said(engine: PipelineEngine, tmp_path: Path) -> None:
    batch = aggregated(engine, tmp_path, totals)
    engine.erase("t", [SourceRecord(batch, 1)], why="asked for")
    (record,) = engine.impact("t.csv", record=1).records
    assert [fate.fate for fate in record.layers] == ["erased"]
    (row,) = engine.trace("t", "region = 'north'").rows
    assert row.records == 1
    assert "erased since" in row.why


def test_a_row_of_another_table_comes_from_no_record(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    other = pl.LazyFrame({"region": ["east"], "name": ["E"]})

    def joined(frame: pl.LazyFrame) -> pl.LazyFrame:
        return frame.join(other, on="region", how="full", coalesce=True)

    source = write(tmp_path, *REGIONS, header="region,n")
    engine.run_full_pipeline(source, "t", gold_transforms=[joined])
    (row,) = engine.trace("t", "region = 'east'").rows
    assert (row.reach, row.why) == ("batch", "the row comes from no source record: a step made it")


def test_a_version_that_was_put_together_names_the_code_of_its_time(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    def sevenfold(frame: pl.LazyFrame) -> pl.LazyFrame:
        return frame.with_columns(m=pl.col("n") * 7)

    def tenfold(frame: pl.LazyFrame) -> pl.LazyFrame:
        return frame.with_columns(m=pl.col("n") * 10)

    schema = {"cast": {"n": "Int64"}}
    source = write(tmp_path, *REGIONS, header="region,n")
    first = engine.run_full_pipeline(source, "t", bronze_schema=schema, gold_transforms=[sevenfold])
    engine.run_full_pipeline(
        source, "t", bronze_schema=schema, gold_transforms=[sevenfold], load="append"
    )
    engine.compact("t")
    engine.promote_to_gold(first["silver_path"], [tenfold])
    (row,) = engine.trace("t", row=1, version=3).rows
    assert [change.steps for change in row.row.changes] == [("sevenfold",)]
    (row,) = engine.trace("t", row=1).rows
    assert [change.steps for change in row.row.changes] == [("tenfold",)]


def one(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(x=pl.lit(1))


def two(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(x=pl.lit(2))


@pytest.mark.parametrize("erased", [False, True])
def test_a_row_that_came_back_and_was_put_together_names_its_own_code(
    engine: PipelineEngine, tmp_path: Path, *, erased: bool
) -> None:
    source = write(tmp_path, *REGIONS, header="region,n")
    first = engine.run_full_pipeline(source, "t", gold_transforms=[one])
    engine.promote_to_gold(first["silver_path"], [two])
    engine.rollback("t", "gold", 1)
    engine.run_full_pipeline(source, "t", gold_transforms=[one], load="append")
    engine.compact("t", "gold")
    if erased:
        engine.erase("t", [SourceRecord(first["batch_id"], 1)], why="asked for")
    engine.run_full_pipeline(source, "t", gold_transforms=[one], load="append")
    engine.compact("t", "gold")
    condition = f"n = '5' AND _batch_id = '{first['batch_id']}'"
    (row,) = engine.trace("t", condition).rows
    assert (row.row.version, [step.name for step in row.row.transforms]) == (1, ["one"])
    assert [(change.after, change.steps) for change in row.row.changes] == [(1, ("one",))]


def test_a_row_of_staged_is_traced_too(engine: PipelineEngine, tmp_path: Path) -> None:
    engine.run_full_pipeline(write(tmp_path, "bob@x.org,1"), "t", bronze_schema=PERSONAL)
    (row,) = engine.trace("t", "n = '1'", layer="staged").rows
    assert row.traces[0].source.first_line == 2
    assert "bob@x.org" not in row.model_dump_json()
    (row,) = engine.trace("t", "n = '1'", layer="staged", personal=True).rows
    assert row.traces[0].source.raw == "bob@x.org,1"


def test_keys_are_text_or_values_and_exact(engine: PipelineEngine, tmp_path: Path) -> None:
    source = write(tmp_path, "2026-01-31,true,1.10,3", header="day,ok,amt,n")
    cast = {"day": "Date", "ok": "Boolean", "amt": "Decimal(10, 2)", "n": "Int64"}
    engine.run_full_pipeline(source, "t", bronze_schema={"cast": cast})
    for key in (
        {"day": "2026-01-31"}, {"day": date(2026, 1, 31)}, {"ok": "true"}, {"ok": True},
        {"amt": "1.1"}, {"n": "3"}, {"n": 3.0},
    ):  # fmt: skip
        assert engine.trace("t", key=key).matched == 1
    for bad in ({"n": 3.5}, {"amt": "1.105"}, {"n": 2**200}, {"day": "31.1.2026"}, {"n": {"a": 3}}):
        with pytest.raises(InvalidOptionError, match="is no value of"):
            engine.trace("t", key=bad)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"row": 2**70}, "row is"),
        ({"where": "n = '1'", "rows": 2**70}, "rows is"),
        ({"where": "CAST(n AS DATE) = '2020-01-01'"}, "cannot be computed"),
    ],
)
def test_what_cannot_be_asked_is_no_damage(
    engine: PipelineEngine, tmp_path: Path, question: dict[str, Any], said: str
) -> None:
    engine.run_full_pipeline(write(tmp_path, "a,1"), "t")
    with pytest.raises(InvalidOptionError, match=said):
        engine.trace("t", **question)


def test_a_batch_from_another_data_root_is_followed_as_far_as_it_goes(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    other = PipelineEngine(PipelineConfig(tmp_path / "other"))
    staged = other.ingest(write(tmp_path, "a,1"), "t")["staged_path"]
    engine.promote_to_bronze(staged)
    (row,) = engine.trace("t", row=1).rows
    (record,) = row.traces
    assert (record.source.state, record.source.path) == ("missing", None)
    assert "another data root" in record.source.why
