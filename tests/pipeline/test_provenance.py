"""The provenance functions of the specification."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from jobforge.pipeline.provenance import (
    PROVENANCE,
    add_provenance_columns,
    generate_batch_id,
    update_layer_column,
)


def test_a_batch_id_is_a_version_4_uuid_and_new_each_time() -> None:
    ids = {generate_batch_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(uuid.UUID(one).version == 4 and str(uuid.UUID(one)) == one for one in ids)


@given(st.text(), st.text(), st.text())
def test_exactly_four_columns_are_added_and_the_frame_stays_lazy(
    source: str, batch: str, layer: str
) -> None:
    before = datetime.now(UTC)
    frame = add_provenance_columns(pl.LazyFrame({"a": [1, 2]}), source, batch, layer)
    assert isinstance(frame, pl.LazyFrame)
    rows = frame.collect()
    assert rows.schema == {
        "a": pl.Int64,
        "_source_file": pl.String,
        "_ingested_at": pl.Datetime("us", "UTC"),
        "_batch_id": pl.String,
        "_layer": pl.String,
    }
    assert rows["_source_file"].to_list() == [source] * 2
    assert rows["_batch_id"].to_list() == [batch] * 2
    assert rows["_layer"].to_list() == [layer] * 2
    assert before <= rows["_ingested_at"][0] <= datetime.now(UTC)


def test_a_frame_without_rows_gets_typed_columns() -> None:
    frame = pl.LazyFrame(schema={"a": pl.String})
    rows = add_provenance_columns(frame, "f", "b", "staged").collect()
    assert rows.height == 0
    assert rows.schema["_ingested_at"] == pl.Datetime("us", "UTC")


def test_update_sets_the_layer_refreshes_the_time_and_leaves_the_rest() -> None:
    before = add_provenance_columns(pl.LazyFrame({"a": [1]}), "f.csv", "b", "staged").collect()
    after = update_layer_column(before.lazy(), "bronze")
    assert isinstance(after, pl.LazyFrame)
    rows = after.collect()
    assert rows.columns == before.columns
    assert rows["_layer"].to_list() == ["bronze"]
    assert rows["_ingested_at"][0] >= before["_ingested_at"][0]
    same = ["a", "_source_file", "_batch_id"]
    assert rows.select(same).equals(before.select(same))


def test_the_selector_takes_what_is_there() -> None:
    frame = add_provenance_columns(pl.LazyFrame({"a": [1], "b": [2]}), "f", "b", "gold")
    kept = frame.select("b", PROVENANCE).collect_schema().names()
    assert kept == ["b", "_source_file", "_ingested_at", "_batch_id", "_layer"]
