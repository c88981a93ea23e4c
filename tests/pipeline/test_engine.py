"""A file through four layers: rows, provenance, records, events."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from jobforge import PROVENANCE, PipelineConfig, PipelineEngine
from jobforge.errors import InvalidConfigError
from jobforge.pipeline import events, lineage
from jobforge.pipeline.layers import BronzeLayer, GoldLayer, SilverLayer, StagedLayer
from jobforge.pipeline.models import BatchRecord, LayerTransitionLog, TransitionStatus
from support import PROVENANCE as COLUMNS
from support import data, debris, files_below, write_csv

SCHEMA = {"rename": {"Code": "code", "Pay": "pay"}, "cast": {"pay": "Int64"}}
ROWS = [["Code", "Pay"], ["007", "10"], ["0", ""], ["00", "30"], ["7", "40"]]


def paid(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.filter(pl.col("pay").is_not_null())


def doubled(lf: pl.LazyFrame) -> pl.DataFrame:
    return lf.with_columns(twice=pl.col("pay") * 2).collect()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "people.csv", ROWS)


def test_the_whole_pipeline(engine: PipelineEngine, source: Path) -> None:
    result = engine.run_full_pipeline(source, "people", "hr", SCHEMA, [paid], [doubled])
    assert list(result) == [
        "batch_id",
        "staged_path",
        "bronze_path",
        "silver_path",
        "gold_path",
        "logs",
    ]
    batch = result["batch_id"]
    root = engine.config.data_root
    assert result["staged_path"] == root / "staged/hr/people" / f"{batch}.parquet"
    assert result["gold_path"] == root / "gold/hr/people" / f"{batch}.parquet"
    assert data(result["staged_path"]).rows() == [
        ("007", "10"),
        ("0", None),
        ("00", "30"),
        ("7", "40"),
    ]
    bronze = data(result["bronze_path"])
    assert bronze.schema == {"code": pl.String, "pay": pl.Int64}
    assert data(result["silver_path"]).rows() == [("007", 10), ("00", 30), ("7", 40)]
    assert data(result["gold_path"]).rows() == [("007", 10, 20), ("00", 30, 60), ("7", 40, 80)]


def test_every_row_of_every_layer_carries_provenance(engine: PipelineEngine, source: Path) -> None:
    result = engine.run_full_pipeline(source, "people", "hr", SCHEMA, [paid], [doubled])
    for layer in ("staged", "bronze", "silver", "gold"):
        frame = pl.read_parquet(result[f"{layer}_path"])  # type: ignore[literal-required] # built
        assert frame.columns[-5:] == COLUMNS
        assert frame["_source_file"].unique().to_list() == ["people.csv"]
        assert frame["_batch_id"].unique().to_list() == [result["batch_id"]]
        assert frame["_layer"].unique().to_list() == [layer]
        assert frame["_ingested_at"].dtype == pl.Datetime("us", "UTC")
        assert frame["_source_row"].dtype == pl.Int64
    assert pl.read_parquet(result["gold_path"])["_source_row"].to_list() == [1, 3, 4]


def test_the_record_holds_every_transition_in_order(engine: PipelineEngine, source: Path) -> None:
    result = engine.run_full_pipeline(source, "people", "hr", SCHEMA, [paid], [doubled])
    path = engine.config.catalog_lineage_path() / f"{result['batch_id']}.json"
    record = BatchRecord.model_validate_json(path.read_bytes())
    assert list(record.transitions) == result["logs"]
    moves = [(log.source_layer, log.target_layer.value) for log in record.transitions]
    assert moves == [
        ("source", "staged"),
        ("staged", "bronze"),
        ("bronze", "silver"),
        ("silver", "gold"),
    ]
    counts = [(log.row_count_in, log.row_count_out) for log in record.transitions]
    assert counts == [(4, 4), (4, 4), (4, 3), (3, 3)]
    assert record.transitions[2].account is not None
    assert record.transitions[2].account.dropped == {"paid": 1}
    assert [step.name for step in record.transitions[3].transforms_applied] == ["doubled"]
    assert record.status is TransitionStatus.SUCCESS
    (info,) = record.sources
    assert info.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert (info.size_bytes, info.rows, info.name) == (source.stat().st_size, 4, "people.csv")


def test_records_are_plain_json_in_utc(engine: PipelineEngine, source: Path) -> None:
    result = engine.ingest(source, "people")
    path = engine.config.catalog_lineage_path() / f"{result['batch_id']}.json"
    raw = json.loads(path.read_text())
    (log,) = raw["transitions"]
    assert log["status"] == "success"
    assert log["target_file"] == f"staged/default/people/{result['batch_id']}.parquet"
    started = datetime.fromisoformat(log["started_at"])
    assert started.utcoffset() == timedelta(0)
    assert datetime.fromisoformat(log["completed_at"]) >= started


def test_the_pipeline_gives_what_the_four_calls_give(tmp_path: Path, source: Path) -> None:
    one = PipelineEngine(PipelineConfig(tmp_path / "one"))
    other = PipelineEngine(PipelineConfig(tmp_path / "other"))
    whole = one.run_full_pipeline(source, "people", "hr", SCHEMA, [paid], [doubled])
    staged = other.ingest(source, "people", "hr")
    bronze = other.promote_to_bronze(staged["staged_path"], SCHEMA)
    silver = other.promote_to_silver(bronze["bronze_path"], [paid])
    gold = other.promote_to_gold(silver["silver_path"], [doubled])
    volatile = ["_ingested_at", "_batch_id"]
    for mine, theirs in (
        (whole["staged_path"], staged["staged_path"]),
        (whole["bronze_path"], bronze["bronze_path"]),
        (whole["silver_path"], silver["silver_path"]),
        (whole["gold_path"], gold["gold_path"]),
    ):
        left = pl.read_parquet(mine).drop(volatile)
        assert left.equals(pl.read_parquet(theirs).drop(volatile))
    assert staged["batch_id"] == gold["batch_id"]
    parts = [staged["log"], bronze["log"], silver["log"], gold["log"]]
    assert [log.account for log in whole["logs"]] == [log.account for log in parts]


def test_layers_work_without_an_engine(config: PipelineConfig, source: Path) -> None:
    staged = StagedLayer().ingest(source, config)
    bronze = BronzeLayer().process(staged, config, SCHEMA)
    silver = SilverLayer().process(bronze, config, [paid])
    gold = GoldLayer().process(silver, config, [doubled])
    assert gold.parts[-4:-1] == ("gold", "default", "people")
    assert data(gold).height == 3
    (record,) = lineage.all_records(config)
    assert len(record.transitions) == 4


def test_layers_know_their_name_and_their_operations() -> None:
    names = [layer.name for layer in (StagedLayer, BronzeLayer, SilverLayer, GoldLayer)]
    assert names == ["staged", "bronze", "silver", "gold"]
    assert StagedLayer.allowed_operations == {"add_provenance"}
    assert BronzeLayer.allowed_operations == {"rename", "cast"}
    assert "aggregate" not in SilverLayer.allowed_operations
    assert "aggregate" in GoldLayer.allowed_operations


def test_without_schema_and_transforms_every_value_passes(
    engine: PipelineEngine, source: Path
) -> None:
    result = engine.run_full_pipeline(source, "people")
    assert data(result["gold_path"]).equals(data(result["staged_path"]))


def test_a_second_promote_of_a_batch_takes_a_new_path(engine: PipelineEngine, source: Path) -> None:
    staged = engine.ingest(source, "people")
    first = engine.promote_to_bronze(staged["staged_path"])
    again = engine.promote_to_bronze(staged["staged_path"], SCHEMA)
    batch = staged["batch_id"]
    assert first["bronze_path"].name == f"{batch}.parquet"
    assert again["bronze_path"].name == f"{batch}.2.parquet"
    assert data(first["bronze_path"]).columns == ["Code", "Pay"]


def test_row_numbers_can_be_turned_off(tmp_path: Path, source: Path) -> None:
    engine = PipelineEngine(PipelineConfig(tmp_path / "root", row_numbers=False))
    result = engine.run_full_pipeline(source, "people", "hr", SCHEMA, [paid], [doubled])
    gold = pl.read_parquet(result["gold_path"])
    assert gold.columns[-4:] == COLUMNS[1:]
    assert "_source_row" not in gold.columns
    assert [log.row_count_out for log in result["logs"]] == [4, 4, 3, 3]


def test_the_clock_is_passed_in(config: PipelineConfig, source: Path) -> None:
    noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    result = PipelineEngine(config, clock=lambda: noon).ingest(source, "people")
    assert result["log"].started_at == result["log"].completed_at == noon
    assert pl.read_parquet(result["staged_path"])["_ingested_at"].unique().to_list() == [noon]


def test_a_clock_that_goes_backwards_gives_no_negative_time(
    config: PipelineConfig, source: Path
) -> None:
    times = iter(datetime(2026, 1, 2, 12, tzinfo=UTC) - timedelta(hours=n) for n in range(9))
    log = PipelineEngine(config, clock=lambda: next(times)).ingest(source, "people")["log"]
    assert log.completed_at == log.started_at


def test_files_describe_themselves(engine: PipelineEngine, source: Path, tmp_path: Path) -> None:
    result = engine.run_full_pipeline(source, "people", "hr", SCHEMA)
    footer = json.loads(pl.read_parquet_metadata(result["silver_path"])["jobforge"])
    assert (footer["table"], footer["domain"], footer["layer"]) == ("people", "hr", "silver")
    assert footer["batch_id"] == result["batch_id"]
    assert footer["sources"][0]["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    # A promote needs the path alone, wherever the file and the new root are.
    moved = tmp_path / "elsewhere.parquet"
    moved.write_bytes(Path(result["silver_path"]).read_bytes())
    other = PipelineEngine(PipelineConfig(tmp_path / "other"))
    gold = other.promote_to_gold(moved)
    assert gold["gold_path"].parent == tmp_path / "other/gold/hr/people"


def test_parquet_files_are_zstd(engine: PipelineEngine, source: Path) -> None:
    import pyarrow.parquet as pq

    result = engine.run_full_pipeline(source, "people")
    for layer in ("staged", "bronze", "silver", "gold"):
        path = result[f"{layer}_path"]  # type: ignore[literal-required] # built
        metadata = pq.ParquetFile(path).metadata
        group = metadata.row_group(0)
        codecs = {group.column(n).compression for n in range(metadata.num_columns)}
        assert codecs == {"ZSTD"}


def test_nothing_but_the_four_files_and_the_records_is_left(
    engine: PipelineEngine, source: Path
) -> None:
    batch = engine.run_full_pipeline(source, "people", "hr", SCHEMA)["batch_id"]
    found = files_below(engine.config.data_root)
    entries = [name for name in found if "/_delta_log/" in name]
    assert len(entries) == 3 * 2
    assert [name for name in found if name not in entries] == sorted(
        [
            *(
                f"{layer}/hr/people/{batch}.parquet"
                for layer in ("staged", "bronze", "silver", "gold")
            ),
            *(f"catalog/chain/0000000{number}.json" for number in (1, 2, 3, 4)),
            f"catalog/lineage/{batch}.json",
            "catalog/root.json",
            "catalog/schemas/hr/people.json",
            "catalog/tables/hr/people.json",
        ]
    )
    assert not debris(engine.config.data_root)


def test_events_are_lines_on_standard_error_and_json_on_request(
    engine: PipelineEngine, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events.configure("console")
    engine.ingest(source, "people")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "transition.finished" in shown.err
    assert "rows_out=4" in shown.err
    events.configure("json")
    engine.ingest(source, "people")
    event = json.loads(capsys.readouterr().err)
    assert event["event"] == "transition.finished"
    assert (event["rows_in"], event["layer"], event["table"]) == (4, "staged", "default/people")
    with pytest.raises(InvalidConfigError, match="console or json"):
        events.configure("xml")


def test_a_trial_leaves_neither_files_nor_events(
    engine: PipelineEngine, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events.configure("console")
    before = files_below(source.parent)
    tried = engine.check_contract(source, {})
    assert (tried["rows"], tried["passed"], tried["stopped"]) == (4, 4, None)
    assert capsys.readouterr().err == ""
    assert files_below(source.parent) == before
    engine.ingest(source, "people")
    assert "transition.finished" in capsys.readouterr().err


def test_a_config_of_another_type_is_refused() -> None:
    with pytest.raises(InvalidConfigError, match="str"):
        PipelineEngine("data")  # type: ignore[arg-type] # the mistake under test


def test_logs_cannot_be_changed(engine: PipelineEngine, source: Path) -> None:
    log = engine.ingest(source, "people")["log"]
    assert isinstance(log, LayerTransitionLog)
    with pytest.raises(ValueError, match="frozen"):
        log.table = "other"  # type: ignore[misc] # the mistake under test


def test_a_select_with_the_selector_keeps_rows_traceable(
    engine: PipelineEngine, source: Path
) -> None:
    def few(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.select("code", PROVENANCE)

    result = engine.run_full_pipeline(source, "people", "hr", SCHEMA, [few], [few])
    assert pl.read_parquet(result["gold_path"]).columns == ["code", *COLUMNS]
