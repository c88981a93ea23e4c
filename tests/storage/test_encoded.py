"""Encoded columns of two files put together to a third one, which any reader reads."""

from __future__ import annotations

import io
import struct
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from polars.testing.parametric import dataframes

from jobforge.storage.compact import CompactError, Field, Items, decode, encode
from jobforge.storage.encoded import Group, NotSplicedError, read_groups, splice

DTYPES: list[Any] = [
    pl.Boolean, pl.Int8, pl.Int64, pl.UInt32, pl.Float32, pl.Float64, pl.String, pl.Binary,
    pl.Date, pl.Datetime("us", "UTC"), pl.Duration("us"), pl.Time, pl.Decimal(12, 2),
    pl.List(pl.String), pl.Struct({"a": pl.Int32, "b": pl.List(pl.Int8)}),
]  # fmt: skip


def put(frame: pl.DataFrame, path: Path, rows: int | None = None, **options: Any) -> Path:
    frame.write_parquet(path, row_group_size=rows, **options)
    return path


def footer_of(data: bytes) -> bytes:
    (size,) = struct.unpack("<i", data[-8:-4])
    return data[-8 - size : -8]


def spliced(folder: Path, left: Path, right: Path, renamed: dict[str, str], form: Path) -> Path:
    """All columns of `left` and some of `right`, under other names."""
    target = folder / "whole.parquet"
    with ExitStack() as stack:
        pairs = zip(read_groups(left, stack), read_groups(right, stack), strict=True)
        groups = [
            Group(a.rows, {**a.columns, **{new: b.columns[old] for new, old in renamed.items()}})
            for a, b in pairs
        ]
        splice(target, form, groups)
    return target


@settings(max_examples=40)
@given(
    frame=dataframes(min_cols=1, max_cols=6, max_size=30, allowed_dtypes=DTYPES),
    moved=st.sets(st.integers(0, 5)),
    rows=st.sampled_from([3, 7, 100]),
    codec=st.sampled_from(["zstd", "snappy", "uncompressed"]),
)
def test_a_spliced_file_is_the_frame(
    tmp_path_factory: pytest.TempPathFactory,
    frame: pl.DataFrame,
    moved: set[int],
    rows: int,
    codec: str,
) -> None:
    folder = tmp_path_factory.mktemp("splice")
    frame = frame.rename({name: f"{name} é{at}" for at, name in enumerate(frame.columns)})
    there = {f"old {name}": name for at, name in enumerate(frame.columns) if at in moved}
    number = pl.int_range(pl.len()).alias("number")
    left = put(frame.select(number, pl.exclude(list(there.values()))), folder / "a", rows)
    right = put(
        frame.select(number, *[pl.col(name).alias(old) for old, name in there.items()]),
        folder / "b",
        rows,
        compression=codec,
    )
    whole = frame.with_columns(number)
    form = put(whole.clear(), folder / "form", metadata={"said": "yes"})
    path = spliced(folder, left, right, {name: old for old, name in there.items()}, form)
    assert_frame_equal(pl.read_parquet(path, glob=False), whole, check_exact=True)
    assert pl.read_parquet_metadata(path)["said"] == "yes"
    arrow = pq.read_table(path)
    assert arrow.num_rows == whole.height
    assert_frame_equal(pl.DataFrame(pl.from_arrow(arrow)), whole, check_exact=True)


def test_other_readers_find_rows_by_pages_and_statistics(tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": range(5_000), "word": [f"w{n // 50}" for n in range(5_000)]})
    left = put(frame.select("id"), tmp_path / "a", 1_000, data_page_size=200)
    right = put(frame.select(text="word"), tmp_path / "b", 1_000, data_page_size=200)
    form = put(frame.clear(), tmp_path / "form")
    path = spliced(tmp_path, left, right, {"word": "text"}, form)
    said = pq.read_metadata(path)
    assert said.num_row_groups == 5
    assert said.row_group(1).column(0).statistics.min == 1_000
    assert said.row_group(4).column(1).path_in_schema == "word"
    assert said.row_group(2).column(0).has_offset_index
    found = duckdb.read_parquet(str(path)).filter("id = 4321").project("word").fetchall()
    assert found == [("w86",)]
    lazy = pl.scan_parquet(path, glob=False).filter(pl.col("id") == 4321).select("word")
    assert lazy.collect().item() == "w86"
    table = pq.read_table(path, filters=[("word", "=", "w99")])
    assert table["id"].to_pylist() == list(range(4_950, 5_000))


def test_columns_of_another_type_do_not_fit(tmp_path: Path) -> None:
    left = put(pl.DataFrame({"a": [1]}), tmp_path / "a")
    right = put(pl.DataFrame({"b": ["x"]}), tmp_path / "b")
    form = put(pl.DataFrame(schema={"a": pl.Int64, "b": pl.Int32}), tmp_path / "form")
    with pytest.raises(NotSplicedError):
        spliced(tmp_path, left, right, {"b": "b"}, form)


@pytest.mark.parametrize(
    "data", [b"", b"PAR1", b"no Parquet at all", b"PAR1\x15\x04\x30\x00\x00\x00PAR1"]
)
def test_what_is_no_parquet_has_no_columns(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    with ExitStack() as stack, pytest.raises(NotSplicedError):
        read_groups(path, stack)


@given(dataframes(max_cols=4, max_size=20, allowed_dtypes=DTYPES))
def test_a_footer_is_read_and_written_as_it_was(frame: pl.DataFrame) -> None:
    for write in (frame.write_parquet, lambda out: pq.write_table(frame.to_arrow(), out)):
        buffer = io.BytesIO()
        write(buffer)
        footer = footer_of(buffer.getvalue())
        assert encode(decode(footer)) == footer


INTEGER = st.integers(-(2**63), 2**63 - 1)
VALUES = st.recursive(
    st.one_of(
        st.builds(Field, st.just(6), INTEGER),
        st.builds(Field, st.just(8), st.binary(max_size=20)),
        st.builds(Field, st.sampled_from([1, 2]), st.none()),
        st.builds(Field, st.just(3), st.integers(0, 255)),
        st.builds(Field, st.just(7), st.binary(min_size=8, max_size=8)),
        st.builds(Field, st.just(9), st.builds(Items, st.just(5), st.lists(INTEGER, max_size=20))),
        st.builds(
            Field, st.just(9), st.builds(Items, st.just(1), st.lists(st.sampled_from([1, 2])))
        ),
    ),
    lambda inner: st.one_of(
        st.builds(Field, st.just(12), st.dictionaries(st.integers(1, 400), inner, max_size=4)),
        st.builds(
            Field,
            st.just(9),
            st.builds(
                Items,
                st.just(12),
                st.lists(st.dictionaries(st.integers(1, 400), inner, max_size=3), max_size=3),
            ),
        ),
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.integers(1, 400), VALUES, max_size=6))
def test_any_struct_comes_back(fields: dict[int, Field]) -> None:
    assert decode(encode(fields)) == fields


@given(st.binary(max_size=60))
def test_what_is_no_struct_is_refused(data: bytes) -> None:
    try:
        decode(data)
    except CompactError:
        return
    assert b"\x00" in data  # a struct ends with it
