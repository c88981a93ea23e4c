"""JSON: every value as Python's own parser has it, or refused with the place."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobforge import PipelineEngine
from jobforge.errors import EmptySourceError, InvalidOptionError, JobforgeError, SourceError
from jobforge.readers.json import JsonOptions, JsonReader, blocks
from jobforge.readers.json.parse import may_lose_digits
from jobforge.testing import ReaderConformance, Sample
from oracles import damages, read, values

LINES = b'{"code":"007","n":1,"x":0.5}\n{"code":null,"n":2,"late":true,"x":1e3}\n'
HOLDS = pl.DataFrame({"code": ["007", None], "n": [1, 2], "x": [0.5, 1000.0], "late": [None, True]})
NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False, places=4).map(lambda d: f"{d:f}"),
    st.sampled_from(
        ["82544000000000707.52", "0.1", "1e400", "-0", "-0.0", "1E2", "1.10", "1e-400"]
    ),
)
SCALARS = st.one_of(
    st.sampled_from(["null", "true", "false"]),
    NUMBERS,
    st.text(max_size=5).map(json.dumps),
    st.text(st.characters(codec="utf-8"), max_size=5).map(
        lambda t: json.dumps(t, ensure_ascii=False)
    ),
)
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=3).map(lambda v: "[" + ", ".join(v) + "]"),
    st.dictionaries(st.text("xy", max_size=2), SCALARS, max_size=2).map(
        lambda d: "{" + ",".join(f"{json.dumps(k)}: {v}" for k, v in d.items()) + "}"
    ),
)
RECORDS = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "c d", "é"]), VALUES, max_size=4),
    min_size=1,
    max_size=8,
)


class TestConformance(ReaderConformance):
    reader = JsonReader()

    def sample(self, folder: Path) -> Sample:
        path = folder / "sample.ndjson"
        path.write_bytes(LINES)
        return Sample(path, HOLDS)

    def alone(self, folder: Path, raw: str) -> Path:
        path = folder / "alone.ndjson"
        path.write_bytes(raw.encode())
        return path

    def damaged(self, folder: Path) -> list[Sample]:
        found = []
        for number, text in enumerate(REFUSED):
            path = folder / f"bad{number}.json"
            path.write_bytes(text)
            found.append(Sample(path, HOLDS))
        return found


REFUSED = [
    b'[{"a":1,"a":2}]',
    b'[{"a":{"b":1,"b":2}}]',
    b'[{"a":NaN}]',
    b'[{"a":Infinity}]',
    b'[{"a":1},]',
    b'[{"a":1}',
    b'{"a":1}\n{"a":',
    b'{"a":1}\n{"a":1,"a":2}\n',
    b'{"a":[1\n2]}\n',
    b'[{"a":"\\ud800"}]',
    b'[{"a":"\xff"}]',
    b'[{"a":01}]',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"[1, 2]",
    b'[{"a":1}, 5]',
    b"[]",
    b"{}",
    b'"text"',
    b"   \n ",
    b'{"a":1}{"a":2}',
    b"[{'a':1}]",
]


def text_of(record: dict[str, str]) -> str:
    return "{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in record.items()) + "}"


class Number(str):
    """The text of a number."""

    __slots__ = ()


def judge(text: str) -> Any:
    return json.loads(text, parse_float=Number, parse_int=Number)


def same(found: Any, wanted: Any, dtype: pl.DataType) -> bool:
    """Whether a staged value is the JSON value, in the form that the column has."""
    if wanted is None or found is None:
        return found is wanted
    if (
        isinstance(wanted, Number)
        and isinstance(found, (int, float))
        and not isinstance(found, bool)
    ):
        return Decimal(wanted) == Decimal(repr(found))
    if isinstance(wanted, bool) and isinstance(found, bool):
        return found == wanted
    if dtype != pl.String:
        return False
    if isinstance(wanted, str) and not isinstance(wanted, Number) and found == wanted:
        return True
    return isinstance(found, str) and plain(judge(found)) == plain(wanted)


def plain(value: Any) -> Any:
    """A value with its numbers as numbers: `-0` and `0` are one."""
    if isinstance(value, Number):
        return Decimal(value)
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return (type(value).__name__, value)


@given(records=RECORDS, shape=st.sampled_from(["lines", "array", "crlf"]), small=st.booleans())
def test_every_value_is_the_one_of_pythons_parser(
    tmp_path: Path, records: list[dict[str, str]], shape: str, *, small: bool
) -> None:
    texts = [text_of(record) for record in records]
    joined = {"lines": "\n".join(texts), "crlf": "\r\n".join([*texts, ""])}
    data = joined.get(shape, "[" + ",\n".join(texts) + "]").encode()
    path = tmp_path / "t.json"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        if small:
            patch.setattr(blocks, "_BLOCK_BYTES", 8)
            patch.setattr(blocks, "_BLOCK_ROWS", 2)
        found = read(path, tmp_path / "scratch")
    wanted = [judge(text) for text in texts]
    keys = list(dict.fromkeys(key for record in wanted for key in record))
    if not keys:
        assert isinstance(found, EmptySourceError)
        return
    assert not isinstance(found, JobforgeError), found
    table, frame = found
    assert frame.columns == keys
    assert table.rows == frame.height == len(records)
    for key in keys:
        for mine, record in zip(frame[key].to_list(), wanted, strict=True):
            assert same(mine, record.get(key), frame.schema[key]), (key, mine, record)
    missing = {
        note.text.split(":")[0]: int(note.text.split(": ")[1].split()[0])
        for note in table.notes
        if note.topic == "missing keys"
    }
    lacking = {key: sum(key not in record for record in wanted) for key in keys}
    assert missing == {key: count for key, count in lacking.items() if count}


@given(seeds=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), min_size=1, max_size=5))
def test_damaged_bytes_are_equal_to_the_judge_or_refused(
    tmp_path: Path, seeds: list[tuple[int, int]]
) -> None:
    path = tmp_path / "t.json"
    for data in damages(LINES, seeds):
        if not data:
            continue
        path.write_bytes(data)
        found = read(path, tmp_path / "scratch")
        if isinstance(found, JobforgeError):
            continue
        wanted = [judge(line) for line in data.decode().split("\n") if line.strip()]
        for number, record in enumerate(wanted):
            row = found[1].row(number, named=True)
            for key, value in record.items():
                name = key or next(n for n in row if n.startswith("column_"))
                assert same(row[name], value, found[1].schema[name])


@given(number=NUMBERS)
def test_a_block_that_cannot_lose_digits_does_not(number: str) -> None:
    if not may_lose_digits(b'[{"a":' + number.encode() + b"},12345678901234567,{}]"):
        raise AssertionError("the mark between the lines is a long number itself")
    if not may_lose_digits(b'[{"padding": "xxxxxxxx", "a":' + number.encode() + b"}]"):
        integer = number.lstrip("-").isdigit()
        assert integer or Decimal(repr(float(number))) == Decimal(number)


@pytest.mark.parametrize(
    ("records", "dtype", "held"),
    [
        ([b"1", b"2"], pl.Int64(), [1, 2]),
        ([b"1", b"2.5"], pl.Float64(), [1.0, 2.5]),
        ([b"1.10", b"null"], pl.Float64(), [1.1, None]),
        ([b"12345678901234567890", b"1"], pl.String(), ["12345678901234567890", "1"]),
        ([b"82544000000000707.52", b"1"], pl.String(), ["82544000000000707.52", "1"]),
        ([b"9007199254740993", b"0.5"], pl.String(), ["9007199254740993", "0.5"]),
        ([b"31656166034181632", b"0.5"], pl.String(), ["31656166034181632", "0.5"]),
        ([b"31656166034181632", b"1e2"], pl.String(), ["31656166034181632", "1e2"]),
        ([b"1", b'"1"'], pl.String(), ["1", '"1"']),
        ([b"true", b"null"], pl.Boolean(), [True, None]),
        ([b"true", b"1"], pl.String(), ["true", "1"]),
        ([b"[1, 2.50]", b'{"b": null}'], pl.String(), ["[1,2.50]", '{"b":null}']),
        ([b"null", b"null"], pl.Null(), [None, None]),
        ([b'"007"', b'""'], pl.String(), ["007", ""]),
    ],
)
def test_types_are_decided_over_all_records(
    tmp_path: Path, records: list[bytes], dtype: pl.DataType, held: list[Any]
) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(b"\n".join(b'{"a":' + record + b"}" for record in records))
    found = read(path, tmp_path / "scratch")
    assert not isinstance(found, JobforgeError), found
    assert found[1].schema["a"] == dtype
    assert found[1]["a"].to_list() == held


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b'{"a":1}\n\n{"a":tru}\n', {"line": 3}),
        (b'[{"a":1},\n {"a":1,"a":2}]', {"line": 2}),
        (b'[{"a":1}, 5]', {"record": 2}),
        (b'{"a":1}\n[1]\n', {"line": 2}),
    ],
)
def test_the_place_of_a_fault_is_named(tmp_path: Path, data: bytes, place: dict[str, int]) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(data)
    error = read(path, tmp_path / "scratch")
    assert isinstance(error, SourceError)
    assert place.items() <= dict(error.place).items()


def test_records_inside_a_document_are_found_by_their_path(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(b'{"meta": 1, "data": {"items": [{"a": 1}, {"a": 2}]}}')
    found = read(path, tmp_path / "s", JsonOptions(records_path="data.items"))
    assert not isinstance(found, JobforgeError)
    assert values(found[1]) == [(1,), (2,)]
    for wrong, said in (("data.itms", "did you mean 'items'"), ("meta.x", "no object")):
        error = read(path, tmp_path / "s", JsonOptions(records_path=wrong))
        assert isinstance(error, InvalidOptionError)
        assert said in str(error)
    assert isinstance(read(path, tmp_path / "s", JsonOptions(records_path="meta")), SourceError)


def test_shape_is_found_whatever_the_ending(tmp_path: Path) -> None:
    for name, data in {
        "lines.json": b'{"a":1}\n{"a":2}\n',
        "array.ndjson": b'[{"a":1},{"a":2}]',
        "marked.jsonl": b'\xef\xbb\xbf{"a":1}\n{"a":2}',
        "wide.json": '{"a":1}\n{"a":2}'.encode("utf-16"),
    }.items():
        path = tmp_path / name
        path.write_bytes(data)
        found = read(path, tmp_path / "s")
        assert not isinstance(found, JobforgeError), found
        assert values(found[1]) == [(1,), (2,)]
    path = tmp_path / "one.json"
    path.write_bytes(b'{\n  "a": 1,\n  "b": {"c": 2}\n}\n')
    found = read(path, tmp_path / "s")
    assert not isinstance(found, JobforgeError)
    assert values(found[1]) == [(1, '{"c":2}')]


def test_an_empty_key_gets_a_name_that_is_free(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(b'{"":1,"column_1":2}')
    found = read(path, tmp_path / "s")
    assert not isinstance(found, JobforgeError)
    assert found[1].columns == ["column_1_", "column_1"]
    assert values(found[1]) == [(1, 2)]


@pytest.mark.parametrize("small", [True, False])
def test_odd_keys_are_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, small: bool) -> None:
    if small:
        monkeypatch.setattr(blocks, "_BLOCK_BYTES", 10)
    path = tmp_path / "t.json"
    path.write_bytes(b'{"a":1,"^a$":0.5,"*":"x"}\n{"a":1,"^a$":9007199254740993,"":2}\n')
    found = read(path, tmp_path / "s")
    assert not isinstance(found, JobforgeError), found
    assert found[1].to_dict(as_series=False) == {
        "a": [1, 1],
        "^a$": ["0.5", "9007199254740993"],
        "*": ["x", None],
        "column_4": [None, 2],
    }


def test_keys_without_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text("".join(f'{{"k{n}":1}}\n' for n in range(8_000)))
    error = read(path, tmp_path / "s")
    assert isinstance(error, SourceError)
    assert "2,000 different keys" in str(error)


def test_text_of_different_meaning_is_not_merged(engine: PipelineEngine, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"b":"[1]"}')
    (tmp_path / "y.json").write_text('{"b":[1]}')
    with pytest.raises(SourceError, match=r"plain text in x\.json"):
        engine.ingest([tmp_path / "x.json", tmp_path / "y.json"], "t")
