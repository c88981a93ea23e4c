"""Rejects: listed, shown, exported, corrected and brought back, or waived; and the account."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobforge import Column, Contract, PipelineConfig, PipelineEngine, deduplicate, expect, keep
from jobforge.errors import (
    InvalidNameError,
    InvalidOptionError,
    InvalidTransformError,
    JobforgeError,
    RecordNotFoundError,
    TableNotFoundError,
    TransformError,
    UnknownColumnError,
)
from jobforge.pipeline import lineage
from jobforge.pipeline.accounts import BatchAccount
from jobforge.pipeline.models import LayerTransitionLog
from support import data, debris, files_below, write_csv

ROWS = [
    ["id", "name", "qty", "state"],
    ["1", "Ann Roy", "5", "A"],
    ["2", "Bob", "five", "A"],
    ["3", "", "7", "B"],
    ["4", "Dee", "-1", "A"],
    ["4", "Dee", "2", "A"],
    ["5", "Eve", 'x,"y', "C"],
]  # fmt: skip
CONTRACT = Contract(
    {
        "id": Column("Int64", nullable=False),
        "name": Column("String", nullable=False, pii="name"),
        "qty": Column("Int64", ge=0),
    }
)


def run(
    engine: PipelineEngine, folder: Path, silver: list[Any] | None = None, **more: Any
) -> tuple[str, list[LayerTransitionLog]]:
    source = write_csv(folder / "orders.csv", ROWS)
    result = engine.run_full_pipeline(source, "orders", "sales", CONTRACT, silver, **more)
    return result["batch_id"], result["logs"]


def corrected(path: Path, target: Path, cells: dict[str, dict[str, str]]) -> Path:
    """The exported file with some cells changed, as a person does it in an editor."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row.update(cells.get(row["_rejected_row"], {}))
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return target


def states(found: BatchAccount) -> dict[str, dict[str, int]]:
    return {
        str(layer.layer): {str(state): n for state, n in layer.rejects.items()}
        for layer in found.layers
        if layer.rejects
    }


def test_rejects_are_listed_with_their_rules(engine: PipelineEngine, tmp_path: Path) -> None:
    batch, _ = run(engine, tmp_path)
    bronze, silver = engine.rejects("orders")
    assert (bronze.batch_id, bronze.layer, bronze.stopped) == (batch, "bronze", False)
    assert (bronze.rules, bronze.open) == ({"cast:qty": 2}, 2)
    assert silver.rules == {"ge:qty": 1, "not_null:name": 1}
    assert engine.rejects() == engine.rejects("sales/orders")
    with pytest.raises(TableNotFoundError):
        engine.rejects("other")


def test_values_of_personal_columns_are_masked_unless_asked_for(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    long = expect("name_short", pl.col("name").str.len_chars() < 5)
    copied = expect("copied", pl.col("copy").str.len_chars() < 5)

    def copy(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(copy=pl.col("name"))

    batch, logs = run(engine, tmp_path, [copy, long, copied])
    shown = engine.reject_rows(batch).select("record", "rule", "value").rows()
    assert shown == [
        (2, "cast:qty", "five"),
        (6, "cast:qty", 'x,"y'),
        (1, "name_short", "[masked]"),
        (1, "copied", "[masked]"),
        (3, "name_short", None),
        (3, "copied", None),
        (4, "ge:qty", "[masked]"),  # a function may have put a name there
    ]
    asked = engine.reject_rows(batch, "silver", personal=True)
    assert asked.filter(pl.col("record") == 1)["value"].to_list() == ["Ann Roy", "Ann Roy"]
    # The quarantine file itself keeps what was there.
    kept = pl.read_parquet(engine.config.data_root / str(logs[2].quarantine_file))
    assert kept["name"].to_list() == ["Ann Roy", None, "Dee"]
    target = tmp_path / "masked.csv"
    assert engine.export_rejects(batch, target) == 5
    text = target.read_text(encoding="utf-8")
    assert "Ann Roy" not in text
    assert "Bob" not in text
    with pytest.raises(InvalidOptionError, match="has masked values"):
        engine.replay_rejects(target, batch, silver_transforms=[copy, long, copied])


def angry(frame: pl.DataFrame) -> pl.DataFrame:
    raise ValueError(f"cannot bear {frame['name'][0]}")


def test_foreign_error_texts_are_withheld_where_a_contract_has_personal_columns(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    for step in (
        lambda lf: lf.map_batches(angry, schema=None),
        lambda lf: angry(lf.collect()).lazy(),
        lambda lf: lf.with_columns(pl.col("name").cast(pl.Int64)),
    ):
        with pytest.raises(TransformError) as hit:
            run(engine, tmp_path, [step])
        assert "Ann Roy" not in str(hit.value)
        assert "withheld" in str(hit.value)
        for record in lineage.all_records(engine.config):
            assert "Ann Roy" not in record.model_dump_json()


def test_a_corrected_file_goes_back_in_and_cures(engine: PipelineEngine, tmp_path: Path) -> None:
    batch, _ = run(engine, tmp_path)
    export = tmp_path / "rejects.csv"
    assert engine.export_rejects(batch, export, personal=True) == 4
    with export.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:4] == ["id", "name", "qty", "state"]
    assert [(r["_rejected_row"], r["qty"]) for r in rows] == [
        ("2", "five"), ("3", "7"), ("4", "-1"), ("6", 'x,"y')
    ]  # fmt: skip
    assert rows[0]["_rejected_reasons"] == "cast:qty: 'five' is no Int64"
    good = corrected(
        export,
        tmp_path / "good.csv",
        {"2": {"qty": "5"}, "3": {"name": "Cy"}, "4": {"qty": "1"}},
    )
    result = engine.replay_rejects(good, batch)
    assert result["cures"] == batch
    gold = engine.read("orders").sort("_source_file", "_source_row").collect()
    assert gold.select("id", "name", "qty", "state", "_source_file").rows() == [
        (2, "Bob", 5, "A", "good.csv"),
        (3, "Cy", 7, "B", "good.csv"),
        (4, "Dee", 1, "A", "good.csv"),
        (1, "Ann Roy", 5, "A", "orders.csv"),
        (4, "Dee", 2, "A", "orders.csv"),
    ]
    assert not [name for name in gold.columns if name.startswith("_rejected")]
    record = lineage.load(engine.config, result["batch_id"])
    assert record is not None
    assert record.cures == batch
    found = engine.account(batch)
    assert states(found) == {"bronze": {"cured": 1, "open": 1}, "silver": {"cured": 2}}
    assert found.cured_by == (result["batch_id"],)
    assert engine.account(result["batch_id"]).cures == batch
    # What is cured is cured once.
    with pytest.raises(RecordNotFoundError, match="correct no open reject"):
        engine.replay_rejects(good, batch)
    assert engine.export_rejects(batch, tmp_path / "rest.csv", personal=True) == 1


def test_a_correction_that_fails_again_cures_nothing(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    batch, _ = run(engine, tmp_path)
    export = tmp_path / "rejects.csv"
    engine.export_rejects(batch, export, "silver", personal=True)
    result = engine.replay_rejects(
        corrected(export, tmp_path / "g.csv", {"3": {"name": "Cy"}}), batch
    )
    assert states(engine.account(batch))["silver"] == {"cured": 1, "open": 1}
    assert states(engine.account(result["batch_id"])) == {"silver": {"open": 1}}


REFUSED: list[tuple[dict[str, dict[str, str]], type[JobforgeError], str]] = [
    ({"2": {"_rejected_row": "1"}}, RecordNotFoundError, "first one record 1 of orders.csv"),
    ({"2": {"_rejected_row": "3"}}, RecordNotFoundError, "another row corrects too"),
    ({"2": {"_rejected_row": "x"}}, RecordNotFoundError, "correct no open reject"),
    ({"2": {"_rejected_file": "other.csv"}}, RecordNotFoundError, "correct no open reject"),
    ({"2": {"_rejected_batch": "other"}}, RecordNotFoundError, "of another batch"),
]


@pytest.mark.parametrize(("cells", "kind", "said"), REFUSED)
def test_corrections_of_nothing_are_refused_and_nothing_is_written(
    engine: PipelineEngine,
    tmp_path: Path,
    cells: dict[str, dict[str, str]],
    kind: type[JobforgeError],
    said: str,
) -> None:
    batch, _ = run(engine, tmp_path)
    export = tmp_path / "rejects.csv"
    engine.export_rejects(batch, export, personal=True)
    before = files_below(engine.config.data_root)
    with pytest.raises(kind, match=said):
        engine.replay_rejects(corrected(export, tmp_path / "bad.csv", cells), batch)
    assert files_below(engine.config.data_root) == before


def test_a_file_that_does_not_say_what_it_corrects_is_refused(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    batch, _ = run(engine, tmp_path)
    with pytest.raises(UnknownColumnError, match="_rejected_batch"):
        engine.replay_rejects(tmp_path / "orders.csv", batch)
    with pytest.raises(TableNotFoundError):
        engine.replay_rejects(tmp_path / "orders.csv", "0" * 8 + "-0000-0000-0000-" + "0" * 12)
    with pytest.raises(InvalidNameError):
        engine.replay_rejects(tmp_path / "orders.csv", "../x")


def test_steps_of_the_batch_have_to_be_passed(engine: PipelineEngine, tmp_path: Path) -> None:
    steps = [keep("not C", pl.col("state") != "C"), deduplicate("id", keep="last")]
    batch, _ = run(engine, tmp_path, steps)
    export = tmp_path / "rejects.csv"
    engine.export_rejects(batch, export, personal=True)
    good = corrected(
        export, tmp_path / "g.csv",
        {"2": {"qty": "5"}, "3": {"name": "Cy"}, "6": {"qty": "1"}},
    )  # fmt: skip
    with pytest.raises(InvalidTransformError, match="not C, deduplicate:id"):
        engine.replay_rejects(good, batch)
    with pytest.raises(InvalidTransformError, match="not C, deduplicate:id"):
        engine.replay_rejects(good, batch, silver_transforms=steps[1:])
    result = engine.replay_rejects(good, batch, silver_transforms=steps)
    # Record 6 was corrected, and then left out by the filter: it did not arrive.
    assert data(result["paths"]["silver"])["id"].to_list() == [2, 3]  # type: ignore[index] # StrEnum
    found = states(engine.account(batch))
    assert found == {
        "bronze": {"cured": 1, "open": 1},
        "silver": {"cured": 1, "duplicate": 1},
    }


def test_rejects_of_a_batch_that_was_replaced_are_not_brought_in(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    batch, _ = run(engine, tmp_path)
    export = tmp_path / "rejects.csv"
    engine.export_rejects(batch, export, personal=True)
    run(engine, tmp_path)
    with pytest.raises(InvalidOptionError, match="no longer in silver"):
        engine.replay_rejects(export, batch)


def test_typed_sources_come_back_in_their_types(engine: PipelineEngine, tmp_path: Path) -> None:
    source = tmp_path / "t.parquet"
    frame = pl.DataFrame(
        {
            "id": [1, 2],
            "day": [None, None],
            "price": [1.5, 2.25],
            "empty": ["", None],
            "n": ["1", "x"],
        },
        schema_overrides={"day": pl.Date},
    )
    frame.write_parquet(source)
    batch = engine.run_full_pipeline(source, "t", bronze_schema={"cast": {"n": "Int64"}})[
        "batch_id"
    ]
    export = tmp_path / "r.csv"
    assert engine.export_rejects(batch, export) == 1
    engine.replay_rejects(corrected(export, tmp_path / "g.csv", {"2": {"n": "2"}}), batch)
    gold = engine.read("t").select("id", "price", "empty", "n").sort("id").collect()
    assert gold.rows() == [(1, 1.5, "", 1), (2, 2.25, None, 2)]


# ---- waived -------------------------------------------------------------------------------


def test_rejects_are_waived_by_name_and_reason(engine: PipelineEngine, tmp_path: Path) -> None:
    batch, _ = run(engine, tmp_path)
    (waiver,) = engine.waive_rejects(batch, by="J. Roy", why="test rows", records=[3])
    assert (waiver.layer, waiver.rows, waiver.by) == ("silver", 1, "J. Roy")
    assert states(engine.account(batch)) == {
        "bronze": {"open": 2},
        "silver": {"open": 1, "waived": 1},
    }
    made = engine.waive_rejects(batch, by="J. Roy", why="the rest")
    assert [(w.layer, w.rows) for w in made] == [("bronze", 2), ("silver", 1)]
    assert [entry.open for entry in engine.rejects()] == [0, 0]
    record = lineage.load(engine.config, batch)
    assert record is not None
    assert [w.why for w in record.waivers] == ["test rows", "the rest", "the rest"]
    with pytest.raises(RecordNotFoundError):
        engine.waive_rejects(batch, by="J. Roy", why="again")
    with pytest.raises(RecordNotFoundError):
        engine.export_rejects(batch, tmp_path / "none.csv")
    assert not (tmp_path / "none.csv").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"by": "", "why": "x"},
        {"by": "x", "why": " "},
        {"by": None, "why": "x"},
        {"by": "x", "why": "y", "records": []},
        {"by": "x", "why": "y", "records": [0]},
        {"by": "x", "why": "y", "records": [True]},
    ],
)
def test_a_waiver_says_who_and_why(
    engine: PipelineEngine, tmp_path: Path, options: dict[str, Any]
) -> None:
    batch, _ = run(engine, tmp_path)
    with pytest.raises(InvalidOptionError):
        engine.waive_rejects(batch, **options)


def test_a_record_that_is_not_open_is_not_waived(engine: PipelineEngine, tmp_path: Path) -> None:
    batch, _ = run(engine, tmp_path)
    with pytest.raises(RecordNotFoundError, match=r"record 1 .* is not open"):
        engine.waive_rejects(batch, by="x", why="y", records=[1, 2])
    assert [entry.open for entry in engine.rejects()] == [2, 2]


def test_rows_without_numbers_are_waived_whole_and_not_exported(tmp_path: Path) -> None:
    engine = PipelineEngine(PipelineConfig(tmp_path / "root", row_numbers=False))
    batch, _ = run(engine, tmp_path)
    assert engine.reject_rows(batch, "bronze")["record"].to_list() == [None, None]
    with pytest.raises(InvalidOptionError, match="do not name their source record"):
        engine.export_rejects(batch, tmp_path / "r.csv")
    with pytest.raises(InvalidOptionError, match="do not name their source record"):
        engine.waive_rejects(batch, by="x", why="y", records=[2])
    engine.waive_rejects(batch, by="x", why="y")
    assert states(engine.account(batch)) == {"bronze": {"waived": 2}, "silver": {"waived": 2}}


# ---- the account --------------------------------------------------------------------------


def test_the_account_goes_from_the_source_to_the_last_layer(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    def without_b(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.filter(pl.col("state") != "B")

    steps = [deduplicate("id"), without_b, keep("small", pl.col("qty") < 5)]

    def by_state(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.group_by("state").agg(pl.len().alias("n"))

    batch, _ = run(engine, tmp_path, steps, gold_transforms=[by_state])
    found = engine.account(batch)
    assert found.source_records == 6
    assert [(str(layer.layer), layer.rows_in, layer.rows_out) for layer in found.layers] == [
        ("staged", 6, 6),
        ("bronze", 6, 4),
        ("silver", 4, 0),
        ("gold", 0, 0),
    ]
    lines = [
        (str(layer.layer), str(line.way), line.name, line.rows)
        for layer in found.layers
        for line in layer.lines
    ]
    assert lines == [
        ("bronze", "quarantined", "cast:qty", 2),
        ("silver", "quarantined", "ge:qty", 1),
        ("silver", "deduplicated", "deduplicate:id", 1),
        ("silver", "filtered", "small", 1),
        ("silver", "dropped", "without_b", 1),
    ]
    assert not debris(engine.config.data_root)


def test_the_account_of_a_stopped_batch_says_why(engine: PipelineEngine, tmp_path: Path) -> None:
    with pytest.raises(JobforgeError) as hit:
        run(engine, tmp_path, [expect("all", pl.col("qty") > 100, on_fail="fail")])
    found = engine.account(str(hit.value.place["batch"]))
    assert [(str(layer.layer), layer.status) for layer in found.layers] == [
        ("staged", "success"),
        ("bronze", "partial"),
        ("silver", "failed"),
    ]
    assert "fail 'all'" in str(found.layers[-1].stopped_by)
    assert found.rows == 4


def test_a_layer_that_was_promoted_again_does_not_mix_in(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    source = write_csv(tmp_path / "orders.csv", ROWS)
    staged = engine.ingest(source, "orders")
    bronze = engine.promote_to_bronze(staged["staged_path"], CONTRACT)
    engine.promote_to_silver(bronze["bronze_path"])
    engine.promote_to_bronze(staged["staged_path"])
    found = engine.account(staged["batch_id"])
    assert [layer.rows_out for layer in found.layers] == [6, 4, 2]


def test_a_rule_that_suddenly_fails_more_is_seen(engine: PipelineEngine, tmp_path: Path) -> None:
    rule = expect("positive", pl.col("n").cast(pl.Int64) > 0, on_fail="warn")
    for bad in (0, 1, 1, 50):
        rows = [["n"], *([["-1"]] * bad), *([["1"]] * (100 - bad))]
        engine.run_full_pipeline(write_csv(tmp_path / "t.csv", rows), "t", silver_transforms=[rule])
    runs = engine.rule_history("t")
    assert [(run.failed, run.judged, run.more) for run in runs] == [
        (0, 100, False),
        (1, 100, True),
        (1, 100, False),
        (50, 100, True),
    ]
