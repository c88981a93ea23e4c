"""The published NOC, OaSIS and COPS files under contracts and rules."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobforge import (
    Column,
    Contract,
    PipelineEngine,
    expect,
    keep,
    normalise_whitespace,
    null_words,
    references,
    trim,
)
from jobforge.errors import RejectLimitError
from jobforge.pipeline.models import LayerTransitionLog
from support import NOC, data, needs_noc

pytestmark = needs_noc

STRUCTURE = NOC / "noc_structure_en.csv"
SUMMARY = NOC / "summary_sommaire_2024_2033_noc2021.csv"
EMPLOYMENT = NOC / "employment_emploi_2024_2033_noc2021.csv"
SKILLS = NOC / "skills_oasis_2023_v1.0.csv"
DUTIES = NOC / "main-duties_oasis-2023_v1.0.csv"


def records(path: Path) -> list[dict[str, str]]:
    """The records as Python's strict reader has them."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, strict=True))


CLASSES = Contract(
    {
        "level": Column("Int8", source="Level", nullable=False, ge=1, le=5),
        "kind": Column(
            "String",
            source="Hierarchical structure",
            allowed=[
                "Broad Category",
                "Major Group",
                "Sub-major Group",
                "Minor Group",
                "Unit Group",
            ],
        ),
        "code": Column(
            "String",
            source="Code - NOC 2021 V1.0",
            nullable=False,
            key=True,
            pattern="^[0-9]{1,5}$",
        ),
        "title": Column("String", source="Class title", nullable=False),
        "definition": Column("String", source="Class definition", nullable=False),
    },
    extra_columns="fail",
)


@pytest.fixture
def classified(engine: PipelineEngine) -> PipelineEngine:
    """An engine that has the classification as `reference/noc`."""
    result = engine.run_full_pipeline(STRUCTURE, "noc", "reference", CLASSES)
    assert result["logs"][2].row_count_out == len(records(STRUCTURE))
    return engine


def numbers_of(engine: PipelineEngine, log: LayerTransitionLog) -> list[int]:
    path = engine.config.data_root / str(log.quarantine_file)
    return sorted(pl.read_parquet(path)["_source_row"].to_list())


NUMBERS = [
    "Employment_emploi_2023",
    "Employment_Growth_croissance_emploi",
    "Retirements_retraites",
    "Other_Replacement_autre_remplacement",
    "Total_Job_Openings_Perspective_d'emploi",
    "School_Leavers_Sortants_scolaires",
    "Immigration",
    "Other_Seekers_autres_chercheurs",
    "Job_Seekers_Chercheurs_emploi",
]


def test_marks_for_no_value_are_rejected_where_they_are_not_declared(
    engine: PipelineEngine,
) -> None:
    strict = Contract({name: Column("Int64", thousands=",") for name in NUMBERS})
    staged = engine.ingest(SUMMARY, "summary", "cops")["staged_path"]
    log = engine.promote_to_bronze(staged, strict)["log"]
    marked = [
        number
        for number, row in enumerate(records(SUMMARY), start=1)
        if any(row[name] == "N/A" for name in NUMBERS)
    ]
    assert marked
    assert numbers_of(engine, log) == marked
    reasons = engine.reject_rows(log.batch_id)
    assert set(reasons["value"]) == {"N/A"}
    # Declared, they are no value, and every record comes through.
    known = Contract({**strict.columns}, null_values=["N/A"])
    bronze = engine.promote_to_bronze(staged, known)
    own = data(bronze["bronze_path"])
    assert own.height == len(records(SUMMARY))
    total = next(row for row in records(SUMMARY) if row["Code"] == "00000")
    seekers = own.filter(pl.col("Code") == "00000")["Job_Seekers_Chercheurs_emploi"].item()
    assert f"{seekers:,}" == total["Job_Seekers_Chercheurs_emploi"]


def test_a_limit_stops_a_file_with_too_many_marks(engine: PipelineEngine) -> None:
    staged = engine.ingest(SUMMARY, "summary", "cops")["staged_path"]
    strict = {name: Column("Int64", thousands=",") for name in NUMBERS}
    marked = sum(any(row[name] == "N/A" for name in NUMBERS) for row in records(SUMMARY))
    with pytest.raises(RejectLimitError, match=f"{marked} of {len(records(SUMMARY))} rows"):
        engine.promote_to_bronze(staged, Contract(strict, max_rejects=marked - 1))
    assert not list(engine.config.bronze_path().rglob("*.parquet"))
    log = engine.promote_to_bronze(staged, Contract(strict, max_rejects=marked))["log"]
    assert log.row_count_out == len(records(SUMMARY)) - marked


def test_aggregate_codes_are_found(engine: PipelineEngine) -> None:
    steps: list[Any] = [
        trim("Code"),
        expect("unit group", pl.col("Code").str.contains("^[0-9]{5}$")),
        keep("not the total", pl.col("Code") != "00000"),
    ]
    result = engine.run_full_pipeline(EMPLOYMENT, "employment", "cops", silver_transforms=steps)
    rows = records(EMPLOYMENT)
    aggregates = [n for n, r in enumerate(rows, 1) if not re.fullmatch("[0-9]{5}", r["Code"])]
    assert any(rows[n - 1]["Code"] == "TEER_0" for n in aggregates)
    log = result["logs"][2]
    assert numbers_of(engine, log) == aggregates
    assert log.account is not None
    assert log.account.filtered == {"not the total": 1}
    assert log.row_count_out == len(rows) - len(aggregates) - 1


def noc_code(column: str) -> Any:
    def with_code(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(pl.col(column).str.head(5).alias("noc_code"))

    return with_code


@pytest.mark.parametrize(
    ("path", "column"),
    [(SKILLS, "OaSIS Code - Final"), (DUTIES, "OaSIS profile code")],
    ids=["skills", "duties"],
)
def test_profiles_are_linked_to_the_classification_by_code(
    classified: PipelineEngine, path: Path, column: str
) -> None:
    steps: list[Any] = [
        noc_code(column),
        references("noc_code", "reference/noc", "code", on_fail="fail"),
    ]
    log = classified.run_full_pipeline(path, "profiles", "oasis", silver_transforms=steps)["logs"][
        2
    ]
    codes = {row["Code - NOC 2021 V1.0"] for row in records(STRUCTURE)}
    assert all(row[column][:5] in codes for row in records(path))
    (rule,) = log.rules
    assert (rule.judged, rule.failed) == (len(records(path)), 0)
    assert log.inputs[1].table == "noc"


def test_projections_link_but_for_their_aggregates(classified: PipelineEngine) -> None:
    log = classified.run_full_pipeline(
        EMPLOYMENT,
        "employment",
        "cops",
        silver_transforms=[references("Code", "reference/noc", "code")],
    )["logs"][2]
    codes = {row["Code - NOC 2021 V1.0"] for row in records(STRUCTURE)}
    strangers = [n for n, row in enumerate(records(EMPLOYMENT), 1) if row["Code"] not in codes]
    assert strangers
    assert numbers_of(classified, log) == strangers
    account = classified.account(log.batch_id)
    assert account.layers[2].lines[0].rows == len(strangers)


def test_header_and_text_with_spaces_come_out_clean(engine: PipelineEngine) -> None:
    contract = Contract.infer(SKILLS)
    assert contract.columns["writing"].source == "Writing  "
    path = NOC / "workplaces-employers_oasis_2023_v1.0.csv"
    steps: list[Any] = [normalise_whitespace(), null_words(["N/A", ""])]
    result = engine.run_full_pipeline(path, "workplaces", "oasis", silver_transforms=steps)
    own = data(result["silver_path"])
    for name in own.columns:
        for value, row in zip(own[name].to_list(), records(path), strict=True):
            assert value == (" ".join(row[name].split()) or None)
