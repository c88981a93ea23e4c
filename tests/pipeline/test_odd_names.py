"""Column names with a meaning elsewhere are names like any other here."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobforge import PipelineConfig, PipelineEngine
from jobforge.errors import ReservedColumnError
from support import data, write_csv

ODD = ["*", "^note$", "^.*$", "^b.*$", "bb", "a b", 'q"x', "é", "__failed_0", "__cast_n", "rows"]
NAMES = st.lists(
    st.one_of(st.sampled_from(ODD), st.text(st.sampled_from('ab*^$."_ '), min_size=1, max_size=5)),
    min_size=2,
    max_size=6,
    unique=True,
)


@given(names=NAMES)
def test_every_column_reaches_gold_under_its_name(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("odd")
    values = [str(n) for n in range(len(names))]
    source = write_csv(folder / "t.csv", [names, values])
    engine = PipelineEngine(PipelineConfig(folder / "root"))
    result = engine.run_full_pipeline(
        source,
        "t",
        bronze_schema={"cast": {names[0]: "Int64"}},
        silver_transforms=[lambda lf: lf],
        gold_transforms=[lambda lf: lf],
    )
    gold = data(result["gold_path"])
    assert gold.columns == names
    assert gold.row(0) == (0, *values[1:])


def test_columns_called_like_temporary_ones_keep_their_values(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    rows = [["n", "__cast_n", "__failed_0"], ["1", "secret", "x"], ["no", "other", "y"]]
    staged = engine.ingest(write_csv(tmp_path / "t.csv", rows), "t")["staged_path"]
    result = engine.promote_to_bronze(staged, {"cast": {"n": "Int64"}})
    assert data(result["bronze_path"]).rows() == [(1, "secret", "x")]
    rejects = pl.read_parquet(engine.config.data_root / str(result["log"].quarantine_file))
    assert rejects.select("n", "__cast_n", "__failed_0").rows() == [("no", "other", "y")]


@pytest.mark.parametrize("name", ["_reasons", "_step"])
def test_names_of_quarantine_are_reserved(
    engine: PipelineEngine, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ReservedColumnError, match="keeps for itself"):
        engine.ingest(write_csv(tmp_path / "t.csv", [[name], ["1"]]), "t")
