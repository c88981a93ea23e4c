"""The profile of a version, against plain Python."""

from __future__ import annotations

import math
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from jobforge import Column, Contract, PipelineConfig, PipelineEngine
from jobforge.pipeline import catalog
from support import write_csv


@given(st.lists(st.one_of(st.none(), st.integers(-9, 9)), max_size=30))
def test_numbers_are_those_of_a_sorted_list(values: list[int | None]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        engine = PipelineEngine(PipelineConfig(Path(folder) / "root"))
        source = Path(folder) / "t.parquet"
        days = [None if v is None else date(2024, 1, 10) + timedelta(days=v) for v in values]
        money = [None if v is None else Decimal(v) / 4 for v in values]
        pl.DataFrame(
            {"n": values, "d": days, "m": money},
            schema={"n": pl.Int64, "d": pl.Date, "m": pl.Decimal(9, 2)},
        ).write_parquet(source)
        engine.run_full_pipeline(source, "t")
        found = {entry.column: entry for entry in engine.profile("t")}
        for name, own in (("n", values), ("d", days), ("m", money)):
            known: list[Any] = sorted(v for v in own if v is not None)
            entry = found[name]
            assert (entry.rows, entry.nulls) == (len(own), len(own) - len(known))
            assert entry.distinct == len(set(known))
            texts = [f"{v:.2f}" if name == "m" else str(v) for v in known]
            assert entry.minimum == (texts[0] if texts else None)
            assert entry.maximum == (texts[-1] if texts else None)
            for share in (0.25, 0.5, 0.75):
                at = math.floor(share * (len(known) - 1)) if known else 0
                assert entry.quantiles[str(share)] == (texts[at] if texts else None)


def test_every_version_has_its_own(engine: PipelineEngine, tmp_path: Path) -> None:
    for number in ("1", "5"):
        rows = [["n", "t"], [number, "a"], [number, ""]]
        engine.run_full_pipeline(
            write_csv(tmp_path / "t.csv", rows), "t", bronze_schema={"cast": {"n": "Int64"}}
        )
    assert [engine.profile("t", version=v)[0].maximum for v in (1, 2)] == ["1", "5"]
    n, t = engine.profile("t", "bronze")
    assert (n.nulls, t.nulls, t.distinct, t.quantiles) == (0, 1, 1, {})
    # The nulls are known from the pass that wrote the rows; values are not kept there.
    table = catalog.find_table(engine.config, "t")
    columns = {c.name: c for c in table.layers["silver"].columns}  # type: ignore[index] # StrEnum
    assert (columns["t"].null_count, columns["t"].minimum) == (1, None)


def test_values_of_personal_columns_are_withheld(engine: PipelineEngine, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "t.csv", [["name", "n"], ["Ann Roy", "1"]])
    contract = Contract({"name": Column("String", pii="name"), "n": Column("Int64")})

    def copied(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(copy=pl.col("name"))

    engine.run_full_pipeline(source, "t", bronze_schema=contract, silver_transforms=[copied])
    shown = {entry.column: (entry.masked, entry.maximum) for entry in engine.profile("t")}
    assert shown == {"name": (True, None), "n": (False, "1"), "copy": (True, None)}
    asked = {e.column: e.maximum for e in engine.profile("t", personal=True)}
    assert asked["copy"] == "Ann Roy"


def test_types_without_an_order_have_counts(engine: PipelineEngine, tmp_path: Path) -> None:
    source = tmp_path / "t.parquet"
    pl.DataFrame(
        {"l": [[1], None], "b": [b"x", b"y"], "z": [None, None], "*": ["a", "b"]}
    ).write_parquet(source)
    engine.run_full_pipeline(source, "t")
    found = {p.column: (p.nulls, p.distinct, p.minimum) for p in engine.profile("t")}
    assert found == {
        "l": (1, None, None),
        "b": (0, 2, None),
        "z": (2, None, None),
        "*": (0, 2, "a"),
    }


def test_large_numbers_and_fine_times_keep_every_digit(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    source = tmp_path / "t.parquet"
    large = [2**62 + 1, 2**62 + 3, None]
    fine = pl.Series([2**60 + 1, 2**60 + 3, None]).cast(pl.Datetime("ns"))
    pl.DataFrame({"n": large, "t": fine}).write_parquet(source)
    engine.run_full_pipeline(source, "t")
    n, t = engine.profile("t")
    assert (n.quantiles["0.25"], n.quantiles["0.75"]) == (str(large[0]), str(large[0]))
    assert str(t.quantiles["0.5"]).endswith(str(2**60 + 1)[-9:])
