"""The published NOC, OaSIS and COPS files through all four layers."""

from __future__ import annotations

import csv
from pathlib import Path

import polars as pl
import pytest

from jobforge import PipelineEngine
from support import NOC, data, needs_noc

pytestmark = needs_noc

FILES = sorted(NOC.glob("*.csv")) if NOC.is_dir() else []
YEARS = [str(year) for year in range(2024, 2034)]


def oracle(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and records as Python's strict reader has them."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file, strict=True)
    return header, rows


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_passes_with_rows_and_text_unchanged(engine: PipelineEngine, path: Path) -> None:
    header, rows = oracle(path)
    result = engine.run_full_pipeline(path, path.stem.replace("-", "_"), "reference")
    assert [log.row_count_out for log in result["logs"]] == [len(rows)] * 4
    for layer in ("staged", "gold"):
        frame = pl.read_parquet(result[f"{layer}_path"])  # type: ignore[literal-required] # built
        assert frame["_source_row"].to_list() == list(range(1, len(rows) + 1))
        own = data(result[f"{layer}_path"])  # type: ignore[literal-required] # built
        assert own.columns == header
        assert set(own.dtypes) == {pl.String()}
        assert [list(row) for row in own.fill_null("").iter_rows()] == rows


def test_codes_that_look_like_one_number_stay_different(engine: PipelineEngine) -> None:
    staged = engine.ingest(NOC / "noc_structure_en.csv", "noc")["staged_path"]
    header, rows = oracle(NOC / "noc_structure_en.csv")
    place = next(n for n, name in enumerate(header) if "Code" in name)
    codes = data(staged)[header[place]].to_list()
    assert codes == [row[place] for row in rows]
    assert {"0", "00", "000"} <= set(codes)


def test_header_names_keep_their_spaces_until_bronze_renames_them(engine: PipelineEngine) -> None:
    path = NOC / "skills_oasis_2023_v1.0.csv"
    header, rows = oracle(path)
    padded = [name for name in header if name != name.strip()]
    assert padded
    staged = engine.ingest(path, "skills")
    assert data(staged["staged_path"]).columns == header
    skills = header[2:]
    schema = {
        "rename": {name: name.strip() for name in padded},
        "cast": {name.strip(): "Int8" for name in skills},
    }
    bronze = engine.promote_to_bronze(staged["staged_path"], schema)
    frame = data(bronze["bronze_path"])
    assert frame.columns == [name.strip() for name in header]
    assert frame.height == len(rows)
    assert frame.select(frame.columns[2:]).rows() == [tuple(map(int, row[2:])) for row in rows]


def five_digits(lf: pl.LazyFrame) -> pl.LazyFrame:
    """Unit groups only: not TEER_0 and the like, and not 00000, which is all of them."""
    return lf.filter(pl.col("code").str.contains(r"^[0-9]{5}$") & (pl.col("code") != "00000"))


def projected(lf: pl.LazyFrame) -> pl.LazyFrame:
    """Only where both ends of the projection are published."""
    return lf.filter(pl.col("2024").is_not_null() & pl.col("2033").is_not_null())


def tidy_names(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.with_columns(pl.col("name").str.strip_chars())


def growth_by_broad_category(lf: pl.LazyFrame) -> pl.LazyFrame:
    """Employment growth from the first to the last projected year, in percent."""
    first, last = pl.col("2024").sum(), pl.col("2033").sum()
    return (
        lf.group_by(pl.col("code").str.head(1).alias("broad"))
        .agg(
            first.alias("employment_2024"),
            last.alias("employment_2033"),
            ((last - first) / first * 100).round(1).alias("growth_percent"),
        )
        .sort("broad")
    )


def test_employment_growth_by_broad_category(engine: PipelineEngine) -> None:
    path = NOC / "employment_emploi_2024_2033_noc2021.csv"
    header, rows = oracle(path)
    code, name = header[0], header[1]
    years = {column: year for column in header for year in YEARS if year in column}
    assert sorted(years.values()) == YEARS
    result = engine.run_full_pipeline(
        path,
        "employment",
        "cops",
        bronze_schema={
            "rename": {code: "code", name: "name", **years},
            "cast": dict.fromkeys(YEARS, "Int64"),
            "null_values": ["N/A"],
        },
        silver_transforms=[five_digits, tidy_names, projected],
        gold_transforms=[growth_by_broad_category],
    )
    bronze, silver, gold = result["logs"][1:]
    assert bronze.account is not None
    columns = {year: header.index(column) for column, year in years.items()}
    groups = [row for row in rows if row[0].isdigit() and len(row[0]) == 5 and row[0] != "00000"]
    kept = [row for row in groups if "N/A" not in (row[columns["2024"]], row[columns["2033"]])]
    assert silver.account is not None
    assert silver.account.dropped == {
        "five_digits": len(rows) - len(groups),
        "projected": len(groups) - len(kept),
    }
    assert gold.account is not None
    assert gold.account.aggregated == len(kept)
    expected = []
    for broad in sorted({row[0][0] for row in kept}):
        mine = [row for row in kept if row[0].startswith(broad)]
        start = sum(int(row[columns["2024"]]) for row in mine)
        end = sum(int(row[columns["2033"]]) for row in mine)
        expected.append((broad, start, end, round((end - start) / start * 100, 1)))
    found = data(result["gold_path"]).rows()
    assert [row[:3] for row in found] == [row[:3] for row in expected]
    for mine_row, theirs in zip(found, expected, strict=True):
        assert mine_row[3] == pytest.approx(theirs[3], abs=0.1)


def test_marks_that_are_no_number_are_rejected_or_declared(engine: PipelineEngine) -> None:
    path = NOC / "summary_sommaire_2024_2033_noc2021.csv"
    header, rows = oracle(path)
    numeric = next(
        name
        for place, name in enumerate(header)
        if any(row[place] == "N/A" for row in rows)
        and any(row[place].lstrip("-").isdigit() for row in rows)
    )
    place = header.index(numeric)
    marks = sum(row[place] == "N/A" for row in rows)
    staged = engine.ingest(path, "summary", "cops")["staged_path"]
    strict = engine.promote_to_bronze(staged, {"cast": {numeric: "Float64"}})
    assert strict["log"].account is not None
    assert strict["log"].account.quarantined == {f"cast:{numeric}": marks}
    lenient = engine.promote_to_bronze(
        staged, {"cast": {numeric: "Float64"}, "null_values": ["N/A"]}
    )
    assert lenient["log"].row_count_out == len(rows)
    assert data(lenient["bronze_path"])[numeric].null_count() == marks
