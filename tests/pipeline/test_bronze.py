"""Bronze: renames, exact casts, and rejects with their reasons."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobforge import PipelineEngine
from jobforge.errors import CastRejectedError, InvalidSchemaError, UnknownColumnError
from jobforge.pipeline import lineage
from jobforge.pipeline.models import TransitionStatus
from support import PROVENANCE, data, files_below, write_csv

ROWS = [
    ["id", "n", "when"],
    ["1", "10", "2024-02-29"],
    ["2", "1.5", "2024-02-30"],
    ["3", "N/A", "2024-03-01"],
    ["4", "", "31/12/2024"],
]


@pytest.fixture
def staged(engine: PipelineEngine, tmp_path: Path) -> Path:
    return engine.ingest(write_csv(tmp_path / "t.csv", ROWS), "t")["staged_path"]


def test_rejected_rows_keep_values_column_and_reason(engine: PipelineEngine, staged: Path) -> None:
    schema = {
        "rename": {"n": "number"},
        "cast": {"number": "Int64", "when": "Date"},
        "null_values": ["N/A"],
    }
    result = engine.promote_to_bronze(staged, schema)
    log = result["log"]
    assert data(result["bronze_path"]).select("id", "number").rows() == [("1", 10), ("3", None)]
    assert log.account is not None
    assert log.account.model_dump() == {
        "rows_in": 4,
        "rows_out": 2,
        "quarantined": {"cast:number": 1, "cast:when": 1},
        "deduplicated": {},
        "filtered": {},
        "dropped": {},
        "aggregated": 0,
        "generated": {},
    }
    assert log.status is TransitionStatus.PARTIAL
    rejects = pl.read_parquet(engine.config.data_root / str(log.quarantine_file))
    assert rejects.columns == ["id", "n", "when", "_reasons", "_step", *PROVENANCE]
    assert rejects["n"].to_list() == ["1.5", None]
    assert rejects["_source_row"].to_list() == [2, 4]
    assert rejects["_step"].to_list() == ["cast", "cast"]
    assert rejects["_reasons"].to_list() == [
        [
            {"rule": "cast:number", "column": "n", "value": "1.5", "reason": "is no Int64"},
            {"rule": "cast:when", "column": "when", "value": "2024-02-30", "reason": "is no Date"},
        ],
        [{"rule": "cast:when", "column": "when", "value": "31/12/2024", "reason": "is no Date"}],
    ]


def test_formats_and_null_words_can_be_given_by_column(
    engine: PipelineEngine, staged: Path
) -> None:
    schema = {
        "cast": {"when": "Date", "n": "String"},
        "format": {"when": "%d/%m/%Y"},
        "null_values": {"n": ["N/A", "1.5"]},
    }
    result = engine.promote_to_bronze(staged, schema)
    assert data(result["bronze_path"]).rows() == [("4", None, date(2024, 12, 31))]
    reason = pl.read_parquet(engine.config.data_root / str(result["log"].quarantine_file))
    assert reason["_reasons"][0][0]["reason"] == "is no Date in the format '%d/%m/%Y'"


def test_a_cast_that_no_row_survives_is_an_error_and_keeps_the_rejects(
    engine: PipelineEngine, staged: Path
) -> None:
    before = files_below(engine.config.bronze_path())
    with pytest.raises(CastRejectedError, match="no row of 4 survived") as caught:
        engine.promote_to_bronze(staged, {"cast": {"id": "Date"}})
    assert "cast:id" in str(caught.value)
    assert files_below(engine.config.bronze_path()) == before
    (record,) = lineage.all_records(engine.config)
    log = record.transitions[-1]
    assert log.status is TransitionStatus.FAILED
    assert log.target_file is None
    assert log.account is not None
    assert log.account.quarantined == {"cast:id": 4}
    assert pl.read_parquet(engine.config.data_root / str(log.quarantine_file)).height == 4


def test_a_table_without_rows_is_cast_without_complaint(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    source = write_csv(tmp_path / "t.csv", ROWS[:1])
    result = engine.run_full_pipeline(source, "t", bronze_schema={"cast": {"n": "Int64"}})
    assert pl.read_parquet(result["gold_path"]).height == 0
    assert data(result["gold_path"]).schema["n"] == pl.Int64


BAD: list[tuple[Any, type[Exception], str]] = [
    ({"rename": {"idd": "x"}}, UnknownColumnError, "did you mean 'id'"),
    ({"cast": {"wen": "Date"}}, UnknownColumnError, "did you mean 'when'"),
    ({"rename": {"n": "m"}, "cast": {"n": "Int64"}}, UnknownColumnError, "'m' after the rename"),
    ({"rename": {"n": "id"}}, InvalidSchemaError, "another column has that name"),
    ({"rename": {"n": "x", "id": "x"}}, InvalidSchemaError, "cannot become 'x'"),
    ({"rename": {"n": "_layer"}}, InvalidSchemaError, "provenance"),
    ({"renames": {}}, InvalidSchemaError, "no key 'renames'"),
    ({"cast": {"n": "Integer"}}, InvalidSchemaError, "no type"),
    ({"cast": {"n": "Decimal"}}, InvalidSchemaError, "needs its arguments"),
    ({"cast": {"n": "Decimal(50, 2)"}}, InvalidSchemaError, ""),
    ({"cast": {"n": "__import__('os')"}}, InvalidSchemaError, "no type"),
    ({"cast": {"n": pl.List(pl.Int64)}}, InvalidSchemaError, "no type"),
    ({"cast": {"n": len}}, InvalidSchemaError, "no functions"),
    ({"cast": ["n"]}, InvalidSchemaError, "dict by column"),
    ({"format": {"n": "%Y"}}, InvalidSchemaError, "has no cast"),
    ({"cast": {"n": "Int64"}, "format": {"n": "%Y"}}, InvalidSchemaError, "takes no format"),
    ({"cast": {"n": "Int64"}, "null_values": 5}, InvalidSchemaError, "no list of words"),
    (lambda lf: lf, InvalidSchemaError, "takes no functions"),
    ([1], InvalidSchemaError, "is a dict"),
]


@pytest.mark.parametrize(("schema", "kind", "said"), BAD)
def test_a_schema_that_cannot_work_is_refused_with_a_failed_log(
    engine: PipelineEngine, staged: Path, schema: Any, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind) as caught:
        engine.promote_to_bronze(staged, schema)
    assert said in str(caught.value)
    assert files_below(engine.config.bronze_path()) == []
    (record,) = lineage.all_records(engine.config)
    assert record.transitions[-1].status is TransitionStatus.FAILED
    assert record.transitions[-1].errors[0].kind == kind.__name__


def test_two_columns_can_swap_their_names(engine: PipelineEngine, staged: Path) -> None:
    result = engine.promote_to_bronze(staged, {"rename": {"id": "n", "n": "id"}})
    assert data(result["bronze_path"]).row(0) == ("1", "10", "2024-02-29")
    assert data(result["bronze_path"]).columns == ["n", "id", "when"]
