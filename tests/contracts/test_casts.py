"""Exact casts, against Python's own arithmetic as the judge."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobforge.contracts.casts import can_cast, exact_cast
from jobforge.contracts.column import Column
from jobforge.contracts.dtypes import parse_dtype
from jobforge.contracts.short import parse_schema
from jobforge.errors import InvalidSchemaError

NUMBERISH = st.one_of(
    st.text(alphabet="0123456789.+-eE ,_", max_size=22),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.none(),
    st.sampled_from(["nan", "inf", "1e400", "٣", "0x10", "", "82544000000000707.52", "1e-400"]),
)


def run(dtype: pl.DataType, values: list[Any], source: pl.DataType | None = None) -> list[Any]:
    """Each value after the cast, or the text `REJECTED`."""
    kind = source or pl.String()
    value, rejected = exact_cast("a", kind, Column(dtype))
    frame = pl.DataFrame({"a": values}, schema={"a": kind}).lazy()
    rows = frame.select(value.alias("v"), rejected.alias("r")).collect(engine="streaming").rows()
    assert all(isinstance(row[1], bool) for row in rows)
    return ["REJECTED" if row[1] else row[0] for row in rows]


def number(text: str) -> Decimal | None:
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


@given(st.lists(NUMBERISH, max_size=20))
def test_integers_are_the_same_number_or_rejected(texts: list[str | None]) -> None:
    for dtype, low, high in ((pl.Int64(), -(2**63), 2**63 - 1), (pl.UInt8(), 0, 255)):
        for text, got in zip(texts, run(dtype, texts), strict=True):
            plain = text is not None and re.fullmatch(r"[+-]?[0-9]+", text)
            if text is None:
                assert got is None
            elif plain and low <= int(text) <= high:
                assert got == int(text)
            else:
                assert got == "REJECTED"


@given(st.lists(NUMBERISH, max_size=20))
def test_floats_are_the_same_number_or_rejected(texts: list[str | None]) -> None:
    for text, got in zip(texts, run(pl.Float64(), texts), strict=True):
        wanted = None if text is None else number(text)
        if text is None:
            assert got is None
        elif wanted is None or float(text) in (float("inf"), float("-inf")):
            assert got == "REJECTED"
        elif Decimal(repr(float(text))) == wanted:
            assert got == float(text)
        else:
            assert got == "REJECTED"


@given(st.lists(NUMBERISH, max_size=20), st.integers(1, 20), st.integers(0, 6))
def test_decimals_are_the_same_number_or_rejected(
    texts: list[str | None], digits: int, scale: int
) -> None:
    dtype = pl.Decimal(digits + scale, scale)
    limit = Decimal(10) ** digits
    for text, got in zip(texts, run(dtype, texts), strict=True):
        wanted = None if text is None or re.search("[eE]", text) else number(text)
        if text is None:
            assert got is None
        elif wanted is None or abs(wanted) >= limit or wanted % Decimal(10) ** -scale:
            assert got == "REJECTED"
        else:
            assert got == wanted


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), max_size=20))
def test_numbers_cast_only_where_the_way_back_gives_the_same(values: list[int | None]) -> None:
    for value, got in zip(values, run(pl.Int8(), values, pl.Int64()), strict=True):
        assert got == (value if value is None or -128 <= value <= 127 else "REJECTED")
    for value, got in zip(values, run(pl.Float64(), values, pl.Int64()), strict=True):
        exact = value is None or int(float(value)) == value
        assert got == ((None if value is None else float(value)) if exact else "REJECTED")


@given(st.lists(st.one_of(st.none(), st.floats()), max_size=20))
def test_floats_lose_no_fraction(values: list[float | None]) -> None:
    for value, got in zip(values, run(pl.Int64(), values, pl.Float64()), strict=True):
        if value is None:
            assert got is None
        elif value == value and abs(value) < 2**63 and value == int(value):  # noqa: PLR0124 - NaN
            assert got == int(value)
        else:
            assert got == "REJECTED"


@given(st.lists(st.one_of(st.none(), st.dates()), max_size=20))
def test_iso_dates_come_back(values: list[date | None]) -> None:
    texts = [None if value is None else value.isoformat() for value in values]
    assert run(pl.Date(), texts) == values


@pytest.mark.parametrize(
    ("dtype", "text"),
    [
        (pl.Date(), "2024-02-30"),
        (pl.Date(), " 2024-02-01"),
        (pl.Date(), "24-02-01"),
        (pl.Date(), "2024-02-01x"),
        (pl.Datetime("ms"), "2024-01-01T00:00:00.0001"),
        (pl.Datetime("us"), "2024-01-01"),
        (pl.Datetime("us", "America/Toronto"), "2024-01-01T00:00:00"),
        (pl.Time(), "24:00"),
        (pl.Boolean(), "1"),
        (pl.Boolean(), "yes"),
        (pl.Enum(["A"]), "B"),
    ],
)
def test_what_is_not_the_value_is_rejected(dtype: pl.DataType, text: str) -> None:
    assert run(dtype, [text]) == ["REJECTED"]


@pytest.mark.parametrize(
    ("dtype", "text", "shown"),
    [
        (pl.Datetime("ms"), "2024-01-01T10:20:30.120000", "2024-01-01 10:20:30.120000"),
        (pl.Datetime("us"), "2024-01-01 10:20", "2024-01-01 10:20:00"),
        (pl.Datetime("us", "UTC"), "2024-01-01T10:00:00+02:00", "2024-01-01 08:00:00+00:00"),
        (pl.Datetime("us", "UTC"), "2024-01-01T10:00:00Z", "2024-01-01 10:00:00+00:00"),
        (pl.Time(), "10:20", "10:20:00"),
        (pl.Boolean(), "TRUE", "True"),
        (pl.Enum(["A", "B"]), "B", "B"),
    ],
)
def test_what_is_the_value_is_taken(dtype: pl.DataType, text: str, shown: str) -> None:
    assert [str(value) for value in run(dtype, [text])] == [shown]


def test_local_times_that_are_no_one_moment_are_rejected() -> None:
    cast = Column(pl.Datetime("us", "America/Toronto"), format="%Y-%m-%d %H:%M")
    value, rejected = exact_cast("a", pl.String(), cast)
    texts = ["2024-11-03 01:30", "2024-03-10 02:30", "2024-03-11 02:30"]
    frame = pl.LazyFrame({"a": texts}).select(value.alias("v"), rejected.alias("r")).collect()
    assert frame["r"].to_list() == [True, True, False]


@pytest.mark.parametrize(
    ("source", "target", "can"),
    [
        (pl.String(), pl.Int64(), True),
        (pl.Int64(), pl.String(), True),
        (pl.List(pl.Int64()), pl.String(), False),
        (pl.Duration("us"), pl.Int64(), False),
        (pl.Null(), pl.Date(), True),
        (pl.Date(), pl.Datetime("us"), True),
    ],
)
def test_impossible_casts_are_known_before_data(
    source: pl.DataType, target: pl.DataType, *, can: bool
) -> None:
    assert can_cast(source, target) is can


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("Int64", pl.Int64()),
        ("Decimal(12, 2)", pl.Decimal(12, 2)),
        ("Decimal(precision=12, scale=2)", pl.Decimal(12, 2)),
        ("Datetime('ms', 'UTC')", pl.Datetime("ms", "UTC")),
        ("Enum(['a'])", pl.Enum(["a"])),
        ("str", pl.String()),
    ],
)
def test_types_are_read_from_their_names(text: str, dtype: pl.DataType) -> None:
    assert parse_dtype("c", text) == dtype
    assert parse_dtype("c", dtype) == dtype


@given(st.text(max_size=30))
def test_no_text_gets_past_the_type_parser_but_a_type(text: str) -> None:
    try:
        found = parse_dtype("c", text)
    except InvalidSchemaError:
        return
    assert isinstance(found, pl.DataType)


def test_a_parsed_schema_parses_to_itself() -> None:
    schema = parse_schema({"rename": {"A": "a"}, "cast": {"a": pl.Int64}, "null_values": "x"})
    assert parse_schema(schema) is schema
    assert schema.columns["a"] == Column(pl.Int64(), source="A")
    assert schema.words_of("a") == ("x",)
    assert parse_schema(None).columns == {}


TRICKY: list[tuple[pl.DataType, str]] = [
    (pl.Float64(), "0." + "0" * 330 + "12"),
    (pl.Float32(), "0." + "0" * 50 + "1"),
    (pl.Float32(), "0." + "0" * 44 + "123456"),
    (pl.Datetime("ns"), "2500-01-01T00:00:00"),
    (pl.Datetime("ns"), "1600-01-01T00:00:00"),
    (pl.Datetime("us"), "2024-01-01T23:59:60"),
    (pl.Datetime("us"), "2024-01-01  10:00"),
    (pl.Datetime("us"), "2024-01-01T1:02:03"),
    (pl.Date(), "2024- 2- 9"),
    (pl.Date(), "2024-2-9"),
    (pl.Date(), "+2024-02-29"),
    (pl.Time(), "12: 3:15"),
    (pl.Time(), "1:2:3"),
]


@pytest.mark.parametrize(("dtype", "text"), TRICKY)
def test_values_that_parsers_bend_are_rejected(dtype: pl.DataType, text: str) -> None:
    assert run(dtype, [text]) == ["REJECTED"]


@pytest.mark.parametrize(
    ("dtype", "text", "held"),
    [
        (pl.Decimal(4, 2), ".0", Decimal(0)),
        (pl.Decimal(4, 2), "-.50", Decimal("-0.5")),
        (pl.UInt8(), "-0", 0),
        (pl.Float64(), "0e99999999999999999999", 0.0),
        (pl.Float64(), "0.1", 0.1),
        (pl.Float64(), "-12345.678", -12345.678),
    ],
)
def test_values_that_are_exact_are_taken(dtype: pl.DataType, text: str, held: Any) -> None:
    assert run(dtype, [text]) == [held]


@pytest.mark.parametrize(
    ("dtype", "form", "text", "shown"),
    [
        (pl.Datetime("ms"), "%d.%m.%Y %H:%M:%S%.f", "01.02.2024 10:00:00.123456", None),
        (
            pl.Datetime("ms"),
            "%d.%m.%Y %H:%M:%S%.f",
            "01.02.2024 10:00:00.123",
            "2024-02-01 10:00:00.123000",
        ),
        (pl.Datetime("us"), "%m.%Y %d %H:%M", "01.2024 05 10:00", "2024-01-05 10:00:00"),
        (pl.Date(), "%d %b %Y", "05 Jan 2024", "2024-01-05"),
        (pl.Date(), "%-d/%-m/%Y", "5/1/2024", "2024-01-05"),
        (pl.Date(), "%d/%m/%Y", "5/1/2024", None),
        (pl.Date(), "%Y-%j", "2024-060", "2024-02-29"),
        (pl.Time(), "%I:%M %p", "01:02 PM", "13:02:00"),
        (
            pl.Datetime("us", "UTC"),
            "%Y-%m-%d %H:%M %z",
            "2024-01-01 10:00 +0200",
            "2024-01-01 08:00:00+00:00",
        ),
    ],
)
def test_declared_formats_are_heeded_to_the_letter(
    dtype: pl.DataType, form: str, text: str, shown: str | None
) -> None:
    value, rejected = exact_cast("a", pl.String(), Column(dtype, format=form))
    row = pl.LazyFrame({"a": [text]}).select(value.alias("v"), rejected.alias("r")).collect().row(0)
    assert row[1] is (shown is None)
    assert shown is None or str(row[0]) == shown


@pytest.mark.parametrize(
    ("dtype", "form"),
    [
        ("Date", "%Y-%m-%d %H:%M"),
        ("Date", "%Y-%m"),
        ("Date", "%Q"),
        ("Date", "abc"),
        ("Date", "%"),
        ("Time", "%Y %H:%M"),
        ("Datetime", "%Y-%m-%d"),
        ("Datetime", "%Y-%m-%d %H"),
        ("Datetime", "%Y-%m-%d %H:%M %z"),
        ("Datetime", "%Y-%m-%d %H:%M %Z"),
        ("Datetime", "%Y-%m-%d %H:%M:%S %Y"),
        ("Datetime", "%s"),
        ("Datetime", "%Y-%m-%d %H:%M:%S%f"),
    ],
)
def test_formats_with_more_than_one_meaning_are_refused(dtype: str, form: str) -> None:
    with pytest.raises(InvalidSchemaError, match="format"):
        parse_schema({"cast": {"a": dtype}, "format": {"a": form}})


@pytest.mark.parametrize(
    "text",
    [
        "Decimal('a', 1)",
        "Decimal(38.0, 2)",
        "Decimal(0, 0)",
        "Datetime('us', 5)",
        "Datetime('us', 'Nowhere/X')",
        "Enum({[]: 1})",
        "Enum([1])",
        "(" * 500,
    ],
)
def test_types_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(InvalidSchemaError):
        parse_dtype("c", text)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (pl.Datetime("us"), pl.Datetime("us", "America/Toronto")),
        (pl.Datetime("us", "UTC"), pl.Datetime("us")),
        (pl.Date(), pl.Datetime("us", "UTC")),
        (pl.Int64(), pl.Date()),
        (pl.Float64(), pl.Date()),
        (pl.Date(), pl.Boolean()),
        (pl.Time(), pl.Datetime("us")),
        (pl.Int64(), pl.Enum(["a"])),
        (pl.Binary(), pl.String()),
    ],
)
def test_casts_with_more_than_one_meaning_are_refused(
    source: pl.DataType, target: pl.DataType
) -> None:
    assert not can_cast(source, target)


def test_moments_keep_their_instant_in_another_unit_or_zone() -> None:
    moment = datetime(2024, 1, 1, 10, tzinfo=UTC)
    source = pl.Datetime("us", "UTC")
    (found,) = run(pl.Datetime("ms", "America/Toronto"), [moment], source)
    assert found == moment
    assert run(pl.Datetime("ms"), [datetime(2024, 1, 1, 0, 0, 0, 1)], pl.Datetime("us")) == [
        "REJECTED"
    ]
    far = datetime(2500, 1, 1)
    assert run(pl.Datetime("ns"), [far], pl.Datetime("us")) == ["REJECTED"]
    assert run(pl.Date(), [datetime(2024, 1, 1, 1)], pl.Datetime("us")) == ["REJECTED"]


@pytest.mark.parametrize(
    ("source", "value", "text"),
    [
        (pl.Boolean(), True, "true"),
        (pl.Date(), date(2024, 1, 1), "2024-01-01"),
        (pl.Int64(), -5, "-5"),
        (pl.Enum(["x"]), "x", "x"),
    ],
)
def test_most_types_have_a_text(source: pl.DataType, value: Any, text: str) -> None:
    assert run(pl.String(), [value], source) == [text]
