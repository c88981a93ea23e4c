"""Parquet and Arrow files: every value of every type equal as Arrow itself has it, or refused."""

from __future__ import annotations

import datetime as dt
import math
import struct
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobforge import PipelineEngine
from jobforge.errors import JobforgeError, MalformedSourceError, UnsupportedValueError
from jobforge.readers.ipc import IpcReader
from jobforge.readers.parquet import ParquetReader
from jobforge.testing import ReaderConformance, Sample
from oracles import damages, read

TABLE = pa.table(
    {
        "t": pa.array(["007", None, "é"]),
        "n": pa.array([1, None, 2**62], pa.int64()),
        "d": pa.array([Decimal("1.50"), None, Decimal("-2.25")], pa.decimal128(9, 2)),
    }
)
HOLDS = pl.DataFrame(
    {
        "t": ["007", None, "é"],
        "n": [1, None, 2**62],
        "d": pl.Series([Decimal("1.50"), None, Decimal("-2.25")], dtype=pl.Decimal(9, 2)),
    }
)


class TestParquetConformance(ReaderConformance):
    reader = ParquetReader()

    def sample(self, folder: Path) -> Sample:
        path = folder / "sample.parquet"
        pq.write_table(TABLE, path, row_group_size=2)
        return Sample(path, HOLDS)

    def damaged(self, folder: Path) -> list[Sample]:
        good = self.sample(folder).path.read_bytes()
        found = []
        for name, data in {
            "magic": good[:-1] + b"X",
            "short": good[:-30],
            "text": b"hello, this is no Parquet file at all",
            "footer": good[:-40] + b"\xff" * 32 + good[-8:],
        }.items():
            path = folder / f"{name}.parquet"
            path.write_bytes(data)
            found.append(Sample(path, HOLDS))
        return found


class TestIpcConformance(ReaderConformance):
    reader = IpcReader()

    def sample(self, folder: Path) -> Sample:
        path = folder / "sample.arrow"
        with pa.ipc.new_file(str(path), TABLE.schema) as writer:
            writer.write_table(TABLE, max_chunksize=2)
        return Sample(path, HOLDS)

    def damaged(self, folder: Path) -> list[Sample]:
        good = self.sample(folder).path.read_bytes()
        found = []
        for name, data in {"magic": b"FEA1" + good[4:], "short": good[:-10]}.items():
            path = folder / f"{name}.arrow"
            path.write_bytes(data)
            found.append(Sample(path, HOLDS))
        return found


UTC = dt.UTC
NAN = struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_0000_1234))[0]
CASES: dict[str, pa.Array] = {
    "bool": pa.array([True, None, False]),
    **{
        f"int{n}": pa.array([-(2 ** (n - 1)), None, 2 ** (n - 1) - 1], f"int{n}")
        for n in (8, 16, 32, 64)
    },
    **{f"uint{n}": pa.array([0, None, 2**n - 1], f"uint{n}") for n in (8, 16, 32, 64)},
    "float32": pa.array([0.1, None, -0.0, math.inf], pa.float32()),
    "float64": pa.array([0.1, None, -0.0, 5e-324, NAN]),
    "decimal": pa.array([Decimal("1.005"), None, Decimal("-9.999")], pa.decimal128(4, 3)),
    "decimal38": pa.array([Decimal(10**37), None], pa.decimal128(38, 0)),
    "decimal256": pa.array([Decimal(10**37), None], pa.decimal256(60, 0)),
    "string": pa.array(["", None, "a\0b", "😀"]),
    "large_string": pa.array(["x", None], pa.large_string()),
    "string_view": pa.array(["x", None], pa.string_view()),
    "binary": pa.array([b"", None, b"\xff\0"]),
    "fixed": pa.array([b"ab", None], pa.binary(2)),
    "date": pa.array([dt.date(1, 1, 1), None, dt.date(9999, 12, 31)]),
    "time_ms": pa.array([dt.time(1, 2, 3), None], pa.time32("ms")),
    "time_us": pa.array([dt.time(23, 59, 59, 999_999), None], pa.time64("us")),
    **{
        f"stamp_{u}": pa.array([0, None, 2**62], pa.int64()).cast(pa.timestamp(u))
        for u in ("ms", "us", "ns")
    },
    "stamp_utc": pa.array([dt.datetime(2024, 1, 1, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
    "stamp_zone": pa.array([0, None], pa.int64()).cast(pa.timestamp("us", "America/Toronto")),
    "duration": pa.array([-5, None, 2**62], pa.int64()).cast(pa.duration("us")),
    "list": pa.array([[1, None], None, []], pa.list_(pa.int32())),
    "large_list": pa.array([["a"], None, []], pa.large_list(pa.string())),
    "array": pa.array([[1, 2], None], pa.list_(pa.int8(), 2)),
    "struct": pa.array([{"a": 1, "b": None}, None, {"a": None, "b": "x"}]),
    "nested": pa.array([[{"a": [1]}, None], None], pa.list_(pa.struct({"a": pa.list_(pa.int8())}))),
    "dictionary": pa.array(["x", None, "x"]).dictionary_encode(),
    "null": pa.nulls(3),
}


def as_python(values: pa.Array) -> list[Any]:
    """Values with floats by their bits and times by their ticks, so that equal means equal."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return as_python(values.cast(kind.value_type))
    if pa.types.is_floating(kind):
        return [None if v is None else struct.pack("<d", v) for v in values.to_pylist()]
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        return list(values.view(pa.int64()).to_pylist())
    return list(values.to_pylist())


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_every_type_is_equal_in_the_staged_file(
    engine: PipelineEngine, tmp_path: Path, name: str, ending: str
) -> None:
    table = pa.table({"c": pa.concat_arrays([CASES[name]] * 2)})
    path = tmp_path / f"t.{ending}"
    if ending == "parquet":
        pq.write_table(table, path, row_group_size=2)
    else:
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table)
    staged = engine.ingest(path, "t")["staged_path"]
    found = pq.read_table(staged, columns=["c"])["c"].combine_chunks()
    assert as_python(found) == as_python(table["c"].combine_chunks())
    shown = pl.read_parquet(staged, columns=["c"]).to_series()
    assert shown.len() == table.num_rows
    assert shown.null_count() == table["c"].null_count


REFUSED: dict[str, pa.Table] = {
    "decimal256 too wide": pa.table({"c": pa.array([Decimal(10**50)], pa.decimal256(60, 0))}),
    "time beyond the day": pa.table(
        {"c": pa.array([86_400_000], pa.int32()).cast(pa.time32("ms"))}
    ),
    "zone": pa.table({"c": pa.array([0], pa.int64()).cast(pa.timestamp("us", "-05:30"))}),
    "two of one name": pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["c", "c"]),
    "no name": pa.Table.from_arrays([pa.array([1])], [""]),
    "fields of one name": pa.table(
        {"c": pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["x", "x"])}
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_kept_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(REFUSED[name], path)
    error = read(path, tmp_path / "s")
    assert isinstance(error, UnsupportedValueError), error
    assert error.hint


def test_values_in_another_type_are_equal_and_noted(tmp_path: Path) -> None:
    seconds = pa.array([0, None, 10**9], pa.int64())
    table = pa.table(
        {
            "zone": seconds.cast(pa.timestamp("us", "+02:00")),
            "map": pa.array([[("k", 1), ("k", 2)], None, []], pa.map_(pa.string(), pa.int8())),
            "uuid": pa.ExtensionArray.from_storage(
                pa.uuid(), pa.array([uuid.UUID(int=1).bytes, None, b"x" * 16], pa.binary(16))
            ),
        }
    )
    path = tmp_path / "t.parquet"
    pq.write_table(table, path)
    found = read(path, tmp_path / "s")
    assert not isinstance(found, JobforgeError), found
    frame = found[1]
    assert frame["zone"].dt.timestamp("us").to_list() == seconds.to_pylist()
    assert frame["map"].to_list() == [
        [{"key": "k", "value": 1}, {"key": "k", "value": 2}],
        None,
        [],
    ]
    assert frame["uuid"].to_list() == [uuid.UUID(int=1).bytes, None, b"x" * 16]
    noted = " ".join(note.text for note in found[0].notes)
    assert "zone" in noted
    assert "map" in noted


@pytest.mark.parametrize(
    ("stamps", "unit"),
    [
        ([dt.datetime(1500, 1, 1), dt.datetime(9999, 1, 1)], "us"),
        ([dt.datetime(2024, 1, 1, 0, 0, 0, 123_456), None], "us"),
    ],
)
def test_int96_keeps_every_instant(
    tmp_path: Path, stamps: list[dt.datetime | None], unit: str
) -> None:
    path = tmp_path / "t.parquet"
    table = pa.table({"c": pa.array(stamps, pa.timestamp("us"))})
    pq.write_table(table, path, use_deprecated_int96_timestamps=True)
    found = read(path, tmp_path / "s")
    assert not isinstance(found, JobforgeError), found
    assert found[1]["c"].to_list() == stamps
    assert f"INT96 is kept in {unit}" in " ".join(note.text for note in found[0].notes)


def test_int96_nanoseconds_are_kept_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    nanos = pa.array([1, None, 10**18 + 1], pa.int64()).cast(pa.timestamp("ns"))
    pq.write_table(pa.table({"c": nanos}), path, use_deprecated_int96_timestamps=True)
    found = read(path, tmp_path / "s")
    assert not isinstance(found, JobforgeError), found
    assert found[1].schema["c"] == pl.Datetime("ns")
    assert found[1]["c"].dt.timestamp("ns").to_list() == [1, None, 10**18 + 1]


def test_page_checksums_are_verified(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = pa.table({"c": pa.array([f"value {n}" for n in range(1000)])})
    options: dict[str, Any] = {"compression": "none", "use_dictionary": False}
    pq.write_table(table, path, write_page_checksum=True, **options)
    data = bytearray(path.read_bytes())
    data[data.index(b"value 500")] ^= 1
    path.write_bytes(data)
    error = read(path, tmp_path / "s")
    assert isinstance(error, MalformedSourceError)
    assert "row_group" in error.place


def test_encrypted_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"c": [1]}), path)
    path.write_bytes(path.read_bytes()[:-4] + b"PARE")
    assert isinstance(read(path, tmp_path / "s"), MalformedSourceError)


def test_a_file_without_rows_keeps_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(TABLE.slice(0, 0), path)
    found = read(path, tmp_path / "s")
    assert not isinstance(found, JobforgeError)
    assert (found[1].schema, found[1].height) == (HOLDS.schema, 0)


@given(
    rows=st.lists(
        st.tuples(
            st.one_of(st.none(), st.text(max_size=4)),
            st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
            st.one_of(st.none(), st.floats()),
            st.one_of(st.none(), st.lists(st.one_of(st.none(), st.integers(0, 9)), max_size=3)),
        ),
        min_size=1,
        max_size=12,
    ),
    group=st.integers(1, 5),
    codec=st.sampled_from(["none", "snappy", "zstd", "gzip", "brotli", "lz4"]),
    plain=st.booleans(),
)
def test_random_tables_come_back(
    tmp_path: Path, rows: list[tuple[Any, ...]], group: int, codec: str, *, plain: bool
) -> None:
    kinds = [pa.string(), pa.int64(), pa.float64(), pa.list_(pa.int8())]
    columns = [pa.array([row[n] for row in rows], kind) for n, kind in enumerate(kinds)]
    table = pa.Table.from_arrays(columns, ["t", "n", "x", "l"])
    path = tmp_path / "t.parquet"
    pq.write_table(table, path, row_group_size=group, compression=codec, use_dictionary=plain)
    found = read(path, tmp_path / "s")
    assert not isinstance(found, JobforgeError), found
    back = found[1].to_arrow()
    for name in table.column_names:
        mine = back[name].combine_chunks().cast(table.schema.field(name).type)
        assert as_python(mine) == as_python(table[name].combine_chunks())


def test_a_footer_that_counts_other_rows_is_refused(tmp_path: Path) -> None:
    """The number of rows of the file, as a varint in the footer, is made one larger."""
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"c": list(range(77))}), path, compression="none")
    data = bytearray(path.read_bytes())
    size = struct.unpack("<I", data[-8:-4])[0]
    footer = bytearray(data[-8 - size : -8])
    count = bytes([77 * 2 % 128 | 128, 77 * 2 // 128])  # zigzag varint of 77
    places = [n for n in range(len(footer)) if footer[n : n + 2] == count]
    assert places
    refused = 0
    for place in places:
        changed = bytearray(footer)
        changed[place] += 2
        path.write_bytes(data[: -8 - size] + changed + data[-8:])
        found = read(path, tmp_path / "s")
        if isinstance(found, JobforgeError):
            refused += 1
        else:
            assert found[1]["c"].to_list() == list(range(77))
    assert refused >= 2


@given(seeds=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_files_never_raise_an_error_that_is_not_ours(
    tmp_path: Path, seeds: list[tuple[int, int]]
) -> None:
    """In the data of pages, which carry checksums, no damage hides.

    Headers of pages and the footer carry none: there a file may say something
    else and be well formed, and then the reader gives what Arrow reads.
    """
    good = tmp_path / "good.parquet"
    pq.write_table(TABLE, good, write_page_checksum=True, row_group_size=2)
    path = tmp_path / "bad.parquet"
    whole = good.read_bytes()
    pages = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for place, byte in seeds:
        at = place % len(whole)
        data = whole[:at] + bytes([byte]) + whole[at + 1 :]
        path.write_bytes(data)
        found = read(path, tmp_path / "s")
        if not isinstance(found, JobforgeError):
            assert found[1].height == found[0].rows
            if 4 <= at < pages and not found[1].equals(HOLDS):
                said = pq.ParquetFile(path, page_checksum_verification=True).read()
                assert found[1].equals(pl.DataFrame(said))
                assert said != TABLE
    for data in damages(whole, seeds):
        if data:
            path.write_bytes(data)
            found = read(path, tmp_path / "s")
            assert isinstance(found, JobforgeError) or found[1].height == found[0].rows


def test_a_decimal_of_more_places_than_digits_is_kept(tmp_path: Path) -> None:
    """Arrow has it, and Polars has not."""
    digits = b"".join(number.to_bytes(16, "little", signed=True) for number in (12, 0, -99))
    values = pa.Array.from_buffers(pa.decimal128(2, 3), 3, [None, pa.py_buffer(digits)])
    path = tmp_path / "small.arrow"
    with pa.ipc.new_file(str(path), pa.schema([("d", values.type)])) as writer:
        writer.write_table(pa.table({"d": values}))
    found = read(path, tmp_path / "s")
    assert not isinstance(found, JobforgeError)
    assert found[1]["d"].to_list() == [Decimal("0.012"), Decimal(0), Decimal("-0.099")]
    assert found[1].schema["d"] == pl.Decimal(3, 3)


@example(seeds=[(1096, 10)])  # a decimal of more places than digits
@example(seeds=[(1076, 128)])  # a name that is no UTF-8
@given(seeds=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_arrow_files_never_raise_an_error_that_is_not_ours(
    tmp_path: Path, seeds: list[tuple[int, int]]
) -> None:
    good = tmp_path / "good.arrow"
    with pa.ipc.new_file(str(good), TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=2)
    path = tmp_path / "bad.arrow"
    for data in damages(good.read_bytes(), seeds):
        if data:
            path.write_bytes(data)
            found = read(path, tmp_path / "s")
            assert isinstance(found, JobforgeError) or found[1].height == found[0].rows


def test_a_folder_of_one_schema_is_one_batch(engine: PipelineEngine, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    pq.write_table(TABLE, folder / "a.parquet")
    pq.write_table(TABLE, folder / "b.parquet")
    for source in (folder, str(folder / "*.parquet")):
        staged = pl.read_parquet(engine.ingest(source, "t")["staged_path"])
        assert staged.select(HOLDS.columns).equals(pl.concat([HOLDS, HOLDS]))
        assert staged["_source_file"].to_list() == ["a.parquet"] * 3 + ["b.parquet"] * 3
    pq.write_table(
        TABLE.cast(pa.schema([("t", pa.string()), ("n", pa.int64()), ("d", pa.float64())])),
        folder / "c.parquet",
    )
    with pytest.raises(MalformedSourceError, match=r"Float64 in c\.parquet"):
        engine.ingest(folder, "t")


@pytest.mark.parametrize(
    "values",
    [
        pa.array([[1_700_000_000_123_456_789]], pa.list_(pa.timestamp("ns"), 1)),
        pa.array([[10**16]], pa.list_(pa.timestamp("ms"), 1)),
        pa.array([[10**16]], pa.list_(pa.timestamp("ms"))),
        pa.array([[1_700_000_000_123_456_789, None]], pa.list_(pa.timestamp("ns"))),
    ],
)
def test_int96_inside_other_types_is_exact_or_refused(tmp_path: Path, values: pa.Array) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"c": values}), path, use_deprecated_int96_timestamps=True)
    found = read(path, tmp_path / "s")
    if isinstance(found, JobforgeError):
        assert "INT96" in str(found)
        return
    scale = {"ms": 1_000_000, "us": 1_000, "ns": 1}
    mine = found[1].to_arrow()["c"].combine_chunks().values
    theirs = values.values
    assert mine.view(pa.int64())[0].as_py() * scale[mine.type.unit] == (
        theirs.view(pa.int64())[0].as_py() * scale[theirs.type.unit]
    )


def test_a_valid_type_that_cannot_be_converted_is_refused(tmp_path: Path) -> None:
    kind = pa.map_(pa.int32(), pa.large_list(pa.null()))
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"c": pa.array([[(1, [None, None])]], kind)}), path)
    found = read(path, tmp_path / "s")
    assert isinstance(found, JobforgeError) or found[1].height == 1
