"""What careless callers, changing functions and other processes may not break."""

from __future__ import annotations

import json
import random
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobforge import PipelineConfig, PipelineEngine, generate_batch_id
from jobforge.errors import (
    AccountError,
    InvalidConfigError,
    InvalidNameError,
    InvalidTransformError,
    JobforgeError,
    NotAJobforgeFileError,
    ProvenanceLostError,
    RecordError,
    RowIdentityError,
    TransformError,
)
from jobforge.pipeline import lineage
from jobforge.pipeline.fingerprint import fingerprint
from jobforge.pipeline.layers import StagedLayer
from jobforge.pipeline.models import ProvenanceColumns, TransitionStatus
from support import debris, files_below, write_csv

ROWS = [["a", "b"], *[[str(n), str(n % 3)] for n in range(1, 10)]]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "s.csv", ROWS)


@pytest.fixture
def bronze(engine: PipelineEngine, source: Path) -> Path:
    return engine.promote_to_bronze(engine.ingest(source, "t")["staged_path"])["bronze_path"]


@pytest.fixture
def silver(engine: PipelineEngine, bronze: Path) -> Path:
    return engine.promote_to_silver(bronze)["silver_path"]


def test_an_iterator_of_transforms_is_refused_and_not_forgotten(
    engine: PipelineEngine, source: Path
) -> None:
    mistakes: list[Any] = [iter([lambda lf: lf.head(1)]), map(str, []), {}, 5]
    for transforms in mistakes:
        with pytest.raises(InvalidTransformError, match="not a list"):
            engine.run_full_pipeline(source, "t", silver_transforms=transforms)


def test_two_promotes_of_one_batch_lose_neither_data_nor_log(
    engine: PipelineEngine, bronze: Path
) -> None:
    inner: list[Path] = []

    def meanwhile(lf: pl.LazyFrame) -> pl.LazyFrame:
        if not inner:
            other = PipelineEngine(engine.config)
            inner.append(other.promote_to_silver(bronze, [lambda f: f.head(1)])["silver_path"])
        return lf

    with pytest.raises(JobforgeError, match="published version 1 meanwhile"):
        engine.promote_to_silver(bronze, [meanwhile])
    assert pl.read_parquet(inner[0]).height == 1
    again = engine.promote_to_silver(bronze)["silver_path"]
    assert again != inner[0]
    assert pl.read_parquet(again).height == 9
    (record,) = lineage.all_records(engine.config)
    statuses = [log.status for log in record.transitions if log.target_layer == "silver"]
    assert statuses == [
        TransitionStatus.FAILED,
        TransitionStatus.SUCCESS,
        TransitionStatus.SUCCESS,
    ]


def test_a_damaged_table_record_stops_before_anything_is_published(
    engine: PipelineEngine, source: Path
) -> None:
    staged = engine.ingest(source, "t")["staged_path"]
    table = engine.config.catalog_tables_path() / "default" / "t.json"
    for text in ("{", '{"format_version": 99}'):
        table.write_text(text)
        with pytest.raises(RecordError):
            engine.promote_to_bronze(staged)
        assert not list(engine.config.bronze_path().rglob("*.parquet"))
        assert table.read_text() == text


def test_a_damaged_batch_record_is_named(engine: PipelineEngine, source: Path) -> None:
    result = engine.ingest(source, "t")
    path = engine.config.catalog_lineage_path() / f"{result['batch_id']}.json"
    whole = json.loads(path.read_text())
    for text, said in (
        ("{", "cannot be read"),
        (json.dumps({**whole, "format_version": 99}), "upgrade"),
        (json.dumps({**whole, "surprise": 1}), "cannot be read"),
    ):
        path.write_text(text)
        with pytest.raises(RecordError, match=said):
            engine.promote_to_bronze(result["staged_path"])
        assert path.read_text() == text


def test_a_layer_file_of_a_newer_jobforge_is_refused_by_name(
    engine: PipelineEngine, source: Path, tmp_path: Path
) -> None:
    staged = engine.ingest(source, "t")["staged_path"]
    footer = json.loads(pl.read_parquet_metadata(staged)["jobforge"])
    newer = tmp_path / "newer.parquet"
    text = json.dumps({**footer, "format_version": 99, "surprise": 1})
    pl.scan_parquet(staged).sink_parquet(newer, metadata={"jobforge": text})
    with pytest.raises(RecordError, match="upgrade jobforge"):
        engine.promote_to_bronze(newer)


def test_a_schema_that_does_not_fit_names_layer_and_table(
    engine: PipelineEngine, source: Path
) -> None:
    staged = engine.ingest(source, "t")["staged_path"]
    with pytest.raises(JobforgeError) as caught:
        engine.promote_to_bronze(staged, {"cast": {"zz": "Date"}})
    assert caught.value.place == {"layer": "bronze", "table": "t", "column": "zz"}


def test_a_batch_belongs_to_one_table(config: PipelineConfig, source: Path) -> None:
    batch = generate_batch_id()
    StagedLayer().ingest(source, config, table_name="one", batch_id=batch)
    with pytest.raises(InvalidNameError, match="is one of default/one"):
        StagedLayer().ingest(source, config, table_name="two", batch_id=batch)
    for wrong in ("x", 5, "../../x"):
        with pytest.raises(InvalidNameError, match="no batch id"):
            StagedLayer().ingest(source, config, batch_id=wrong)  # type: ignore[arg-type] # the mistake under test


def test_a_table_name_is_asked_for_where_the_file_gives_none(
    config: PipelineConfig, tmp_path: Path
) -> None:
    with pytest.raises(InvalidNameError, match="table_name="):
        StagedLayer().ingest(write_csv(tmp_path / "my file.csv", ROWS), config)


@pytest.mark.parametrize("source", [None, 5, [None], "a\0b", "a" * 5000, {}])
def test_what_is_no_source_is_an_error_of_ours(engine: PipelineEngine, source: Any) -> None:
    with pytest.raises(JobforgeError):
        engine.ingest(source, "t")
    with pytest.raises(NotAJobforgeFileError):
        engine.promote_to_bronze(source)


@pytest.mark.parametrize("root", [None, 5, "", "a\0b"])
def test_what_is_no_root_is_refused(root: Any) -> None:
    with pytest.raises(InvalidConfigError):
        PipelineConfig(root)
    with pytest.raises(InvalidConfigError):
        PipelineConfig(Path("x"), row_numbers="no")  # type: ignore[arg-type] # the mistake under test


def test_gold_keeps_counting_after_the_identity_is_lost(
    engine: PipelineEngine, silver: Path
) -> None:
    def by_b(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.group_by("b").agg(pl.len())

    def only_1(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.filter(pl.col("b") == "1")

    account = engine.promote_to_gold(silver, [by_b, only_1])["log"].account
    assert account is not None
    assert (account.aggregated, account.generated, account.dropped, account.rows_out) == (
        9,
        {"by_b": 3},
        {"only_1": 2},
        1,
    )


def test_a_record_number_that_is_a_list_is_lost_identity(
    engine: PipelineEngine, silver: Path
) -> None:
    result = engine.promote_to_gold(silver, [lambda lf: lf.group_by("b").agg(pl.all())])
    assert "_source_row" not in pl.read_parquet(result["gold_path"]).columns
    assert result["log"].account is not None
    assert result["log"].account.aggregated == 9


def test_gold_refuses_source_records_that_silver_does_not_have(
    engine: PipelineEngine, silver: Path
) -> None:
    def invent(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(pl.col("_source_row") + 1000)

    with pytest.raises(RowIdentityError, match="9 source records") as caught:
        engine.promote_to_gold(silver, [lambda lf: lf, invent])
    assert caught.value.place["step"] == "invent"


def test_gold_takes_rows_that_come_from_no_record(engine: PipelineEngine, silver: Path) -> None:
    def with_total(lf: pl.LazyFrame) -> pl.LazyFrame:
        total = lf.select(pl.lit("total").alias("a"), pl.lit("x").alias("b")).head(1)
        return pl.concat([lf, total], how="diagonal")

    result = engine.promote_to_gold(silver, [with_total])
    frame = pl.read_parquet(result["gold_path"])
    assert frame.filter(pl.col("a") == "total")["_source_row"].to_list() == [None]
    assert result["log"].account is not None
    assert result["log"].account.generated == {"with_total": 1}
    assert result["log"].account.dropped == {}


def test_a_function_that_changes_from_run_to_run_gives_a_true_account_or_none(
    engine: PipelineEngine, silver: Path
) -> None:
    def sample(lf: pl.LazyFrame) -> pl.LazyFrame:
        def coin(values: pl.Series) -> pl.Series:
            return pl.Series([random.random() < 0.5 for _ in values], dtype=pl.Boolean)  # noqa: S311 - a coin

        return lf.filter(pl.col("a").map_batches(coin, return_dtype=pl.Boolean))

    for _ in range(5):
        try:
            result = engine.promote_to_gold(silver, [sample, lambda lf: lf])
        except AccountError:
            continue
        account = result["log"].account
        assert account is not None
        assert account.rows_out == pl.read_parquet(result["gold_path"]).height
        assert account.generated == {}
        assert sum(account.dropped.values()) == 9 - account.rows_out


def test_rows_that_come_back_are_refused_by_the_step_that_brings_them(
    engine: PipelineEngine, bronze: Path
) -> None:
    def all_again(_: pl.LazyFrame) -> pl.LazyFrame:
        return pl.scan_parquet(bronze)

    def twice(lf: pl.LazyFrame) -> pl.LazyFrame:
        return pl.concat([lf, lf])

    def once(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.unique("_source_row")

    for steps, name in (
        ([lambda lf: lf.head(3), all_again], "all_again"),
        ([twice, once], "twice"),
    ):
        with pytest.raises(RowIdentityError) as caught:
            engine.promote_to_silver(bronze, steps)
        assert caught.value.place["step"] == name


@pytest.mark.parametrize("numbered", [True, False])
def test_the_file_of_a_row_is_guarded_in_a_batch_of_many(tmp_path: Path, *, numbered: bool) -> None:
    for name in ("x", "y"):
        write_csv(tmp_path / f"{name}.csv", ROWS)
    engine = PipelineEngine(PipelineConfig(tmp_path / "root", row_numbers=numbered))
    staged = engine.ingest([tmp_path / "x.csv", tmp_path / "y.csv"], "t")["staged_path"]
    bronze = engine.promote_to_bronze(staged)["bronze_path"]
    forged = pl.lit("forged.csv").alias("_source_file")
    for step, kind in (
        (lambda lf: lf.with_columns(forged), RowIdentityError),
        (lambda lf: lf.drop("_source_file"), ProvenanceLostError),
        (lambda lf: lf.with_columns(pl.lit(5).alias("_source_file")), JobforgeError),
    ):
        with pytest.raises(kind):
            engine.promote_to_silver(bronze, [step])
    kept = engine.promote_to_silver(bronze, [lambda lf: lf.filter(pl.col("b") == "1")])
    assert kept["log"].row_count_out == 6


def test_errors_of_a_function_are_not_taken_for_trouble_with_the_disk(
    engine: PipelineEngine, bronze: Path
) -> None:
    def read_more(lf: pl.LazyFrame) -> pl.LazyFrame:
        def look(frame: pl.DataFrame) -> pl.DataFrame:
            Path("/nowhere/at/all").read_text()
            return frame

        return lf.map_batches(look)

    with pytest.raises(TransformError, match="read_more"):
        engine.promote_to_silver(bronze, [read_more])


def test_a_damaged_input_is_named_and_not_the_function(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    rows = [["a"], *[[f"text {n} {random.random()}"] for n in range(3000)]]  # noqa: S311 - filler
    staged = engine.ingest(write_csv(tmp_path / "s.csv", rows), "t")["staged_path"]
    bronze = engine.promote_to_bronze(staged)["bronze_path"]
    damaged = bytearray(bronze.read_bytes())
    damaged[2000:6000] = b"\xff" * 4000
    bronze.write_bytes(damaged)
    with pytest.raises(NotAJobforgeFileError, match="cannot be read"):
        engine.promote_to_silver(bronze, [lambda lf: lf])
    assert not debris(engine.config.data_root)


def test_a_log_that_cannot_be_written_changes_no_outcome(
    engine: PipelineEngine, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobforge.pipeline import events

    class Broken:
        def __getattr__(self, _: str) -> Any:
            raise BrokenPipeError

    monkeypatch.setattr(events, "get_logger", Broken)
    assert engine.ingest(source, "t")["log"].status is TransitionStatus.SUCCESS
    with pytest.raises(JobforgeError, match="there is no file"):
        engine.ingest(source.with_name("no.csv"), "t")


def test_an_interrupt_after_publishing_leaves_no_failed_log_for_visible_data(
    engine: PipelineEngine, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobforge.pipeline import catalog

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(catalog, "update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        engine.ingest(source, "t")
    (record,) = lineage.all_records(engine.config)
    (log,) = record.transitions
    assert log.status is TransitionStatus.SUCCESS
    assert files_below(engine.config.staged_path()) == [str(log.target_file)[len("staged/") :]]


def scale(lf: pl.LazyFrame, by: int) -> pl.LazyFrame:
    return lf.with_columns(pl.col("a") * by)


def closing_over(value: int) -> Any:
    def inner(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.head(value)

    return inner


def test_code_that_differs_has_another_hash_and_the_same_code_the_same() -> None:
    one, other = (lambda lf: lf.head(1)), (lambda lf: lf.head(2))
    pairs = [
        (one, other),
        (partial(scale, by=1), partial(scale, by=2)),
        (closing_over(1), closing_over(2)),
    ]
    for left, right in pairs:
        assert fingerprint(left, "x").code_sha256 != fingerprint(right, "x").code_sha256
        assert fingerprint(left, "x") == fingerprint(left, "x")
    assert fingerprint(closing_over(1), "x") == fingerprint(closing_over(1), "x")


def test_the_record_of_one_rows_provenance() -> None:
    row = ProvenanceColumns(
        source_row=1,
        source_file="a.csv",
        ingested_at="2026-01-02T03:04:05Z",
        batch_id=generate_batch_id(),
        layer="gold",
    )
    assert ProvenanceColumns.model_validate_json(row.model_dump_json()) == row
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        ProvenanceColumns.model_validate({**row.model_dump(), "source_row": 0})
