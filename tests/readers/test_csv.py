"""Delimited text: equal to an independent reader, or refused with the line."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from jobforge.errors import JobforgeError, MalformedSourceError, SourceError
from jobforge.readers.csv import CsvOptions, CsvReader
from jobforge.readers.csv.records import Dialect
from jobforge.readers.csv.scan import by_blocks
from jobforge.readers.csv.structure import by_records
from jobforge.readers.names import unique_names
from jobforge.testing import ReaderConformance, Sample
from oracles import Broken, csv_cells, damages, read, values

CELLS = st.text(st.sampled_from('a,"\n\r;\té '), max_size=6)
TEXTS = st.text(st.sampled_from('ab,"\n\r'), max_size=30)
GOOD = 'a,b\n007,\n"",x\n"q\n""r",y\n'
HOLDS = pl.DataFrame({"a": ["007", "", 'q\n"r'], "b": [None, "x", "y"]})


class TestConformance(ReaderConformance):
    reader = CsvReader()

    def sample(self, folder: Path) -> Sample:
        path = folder / "sample.csv"
        path.write_bytes(GOOD.encode())
        return Sample(path, HOLDS)

    def alone(self, folder: Path, raw: str) -> Path:
        path = folder / "alone.csv"
        path.write_bytes(("a,b\n" + raw).encode())
        return path

    def damaged(self, folder: Path) -> list[Sample]:
        found = []
        for name, text in {
            "short": b"a,b\n1\n",
            "long": b"a,b\n1,2,3\n",
            "quote": b'a,b\n"1,2\n',
            "after": b'a,b\n"1"x,2\n',
            "nul": b"a,b\n1,\0\n",
            "latin": b"a,b\n1,\xe9\n",
        }.items():
            path = folder / f"{name}.csv"
            path.write_bytes(text)
            found.append(Sample(path, HOLDS))
        return found


def table_of(tmp_path: Path, data: bytes, **options: Any) -> list[tuple[Any, ...]]:
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    found = read(path, tmp_path / "scratch", CsvOptions(**options) if options else None)
    assert not isinstance(found, JobforgeError), found
    table, frame = found
    assert table.rows == frame.height
    return values(frame)


def refusal_of(tmp_path: Path, data: bytes, **options: Any) -> JobforgeError:
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    found = read(path, tmp_path / "scratch", CsvOptions(**options) if options else None)
    assert isinstance(found, SourceError), found
    return found


def written(rows: list[list[str]], ends: str, *, last: bool) -> str:
    """Text as a careful writer makes it: quotes where they are needed and around empty text."""

    def field(text: str) -> str:
        if text and not set(text) & set(',"\r\n'):
            return text
        return '"' + text.replace('"', '""') + '"'

    text = ends.join(",".join(map(field, row)) for row in rows)
    return text + (ends if last else "")


@given(
    rows=st.integers(1, 4).flatmap(
        lambda width: st.lists(
            st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=8
        )
    ),
    ends=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
    bom=st.booleans(),
)
def test_written_tables_come_back(
    tmp_path: Path, rows: list[list[str]], ends: str, *, last: bool, bom: bool
) -> None:
    names = [f"c{n}" for n in range(len(rows[0]))]
    text = written([names, *rows], ends, last=last)
    data = (codecs.BOM_UTF8 if bom else b"") + text.encode()
    assert table_of(tmp_path, data) == [tuple(row) for row in rows]


@given(
    rows=st.lists(
        st.lists(st.text(max_size=8).filter(lambda t: "\0" not in t), min_size=2, max_size=2),
        min_size=1,
        max_size=6,
    )
)
def test_what_pythons_own_reader_reads_is_what_staged_holds(
    tmp_path: Path, rows: list[list[str]]
) -> None:
    """Written by `csv.writer`, judged by `csv.reader`, which does not tell empty from null."""
    path = tmp_path / "t.csv"
    with path.open("w", encoding="utf-8", newline="", errors="surrogatepass") as file:
        csv.writer(file, lineterminator="\n").writerows([["x", "y"], *rows])
    try:
        path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        assert isinstance(read(path, tmp_path / "s"), SourceError)
        return
    with path.open(encoding="utf-8", newline="") as file:
        wanted = [tuple(row) for row in csv.reader(file, strict=True)][1:]
    found = read(path, tmp_path / "s", CsvOptions(delimiter=","))
    if isinstance(found, JobforgeError):
        # A field with a bare carriage return is quoted by some writers and not by others.
        assert any("\r" in cell for row in rows for cell in row)
        return
    assert [tuple(cell or "" for cell in row) for row in values(found[1])] == wanted


@given(
    seeds=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), min_size=1, max_size=4),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"]),
    keep=st.booleans(),
)
def test_damaged_bytes_are_equal_to_the_judge_refused_or_kept_out(
    tmp_path: Path, seeds: list[tuple[int, int]], encoding: str, *, keep: bool
) -> None:
    path = tmp_path / "t.csv"
    good = 'é,b\n007,\n"",x\n"q\n""r",y\n'.encode(encoding)
    for number, data in enumerate(damages(good, seeds)):
        if not data:
            continue
        path.write_bytes(data)
        options = CsvOptions(
            delimiter=",",
            encoding="cp1252" if encoding == "cp1252" else None,
            bad_rows="quarantine" if keep else "refuse",
        )
        found = read(path, tmp_path / f"s{number}", options)
        if isinstance(found, JobforgeError):
            continue
        table, frame = found
        assert frame.height == table.rows
        if table.rejected:
            assert keep
            continue
        used = next(note.text for note in table.notes if note.topic == "encoding")
        text = data.decode(used.split()[0].lower()).removeprefix("\ufeff")
        try:
            records = [record for record in csv_cells(text) if record]
        except Broken:
            assert "\r" in text  # a whole file of carriage returns has its own rules
            continue
        assert values(frame) == [tuple(record) for record in records[1:]]


@given(text=TEXTS, keep=st.booleans())
def test_any_text_is_equal_to_the_judge_or_refused(
    tmp_path: Path, text: str, *, keep: bool
) -> None:
    """No third outcome: also with bad records kept, good ones are exactly those of the judge."""
    path = tmp_path / "t.csv"
    data = ("x,y\n" + text).encode()
    path.write_bytes(data)
    options = CsvOptions(delimiter=",", bad_rows="quarantine" if keep else "refuse")
    found = read(path, tmp_path / "scratch", options)
    try:
        records = [record for record in csv_cells(text) if record]
        sound = all(len(record) == 2 for record in records)
    except Broken:
        sound = False
    if isinstance(found, JobforgeError):
        assert not sound, found
        assert not keep
        assert int(found.place["line"]) >= 2
        return
    table, frame = found
    if sound:
        assert table.rejected == 0
        assert values(frame) == [tuple(record) for record in records]
        return
    assert keep
    assert table.rejected > 0
    assert table.rejects is not None
    rejects = table.rejects.collect()
    assert rejects.height == table.rejected
    numbers = sorted([*rejects["_source_row"], *frame["_source_row"]])
    assert numbers == list(range(1, table.rows + table.rejected + 1))
    # Every character of the data is in a good record, a bad one, or a line end.
    for raw in rejects["_raw"]:
        assert raw in text


DIALECT = Dialect(",", '"', None, 1 << 20)


@given(TEXTS, st.integers(1, 40), st.integers(3, 40), st.integers(0, 4))
def test_the_structure_check_says_the_same_for_every_block_size_and_record_by_record(
    tmp_path: Path, text: str, block: int, longest: int, start: int
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(("x,y\n" + text).encode())

    for dialect in (DIALECT, replace(DIALECT, max_record=longest), replace(DIALECT, quote=None)):
        for columns in (1, 2):
            at = {"start": start, "data_start": 4}
            parts, whole = (
                by_blocks(path, columns, dialect, **at, report=lambda _: None, block=size)
                for size in (block, 1 << 20)
            )
            records = by_records(path, columns, dialect, **at)
            assert parts.regular == whole.regular == records.regular
            assert parts.sha256 == whole.sha256 == records.sha256
            if whole.regular:
                assert parts == whole == records
    found = by_records(path, 2, DIALECT, start=0, data_start=4)
    if found.regular:
        assert found.records + found.blank_end == len(csv_cells("x,y\n" + text))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), min_size=1, max_size=4))
def test_the_structure_check_says_the_same_of_damaged_bytes_record_by_record(
    tmp_path: Path, seeds: list[tuple[int, int]]
) -> None:
    path = tmp_path / "t.csv"
    for data in damages('é,b\n007,\n"",x\n"q\r\n""r",y\r\n'.encode(), seeds):
        path.write_bytes(data)
        whole = by_blocks(path, 2, DIALECT, start=0, data_start=5, report=lambda _: None)
        records = by_records(path, 2, DIALECT, start=0, data_start=5)
        assert whole == records if whole.regular else not records.regular


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=5))
def test_what_is_called_regular_is_what_the_judge_takes(
    tmp_path: Path, rows: list[list[str]]
) -> None:
    text = written([["x", "y"], *rows], "\n", last=True)
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    found = by_blocks(path, 2, DIALECT, start=0, data_start=4, report=lambda _: None, block=7)
    assert found.regular
    assert found.records == len(rows) + 1


PACKED = {
    "gz": gzip.compress(GOOD.encode()),
    "gz of two members": gzip.compress(GOOD[:9].encode()) + gzip.compress(GOOD[9:].encode()),
    "bz2": bz2.compress(GOOD.encode()),
    "zst": zstandard.compress(GOOD.encode()),
    "zst of two frames": zstandard.compress(GOOD[:9].encode())
    + zstandard.compress(GOOD[9:].encode()),
}


def zipped(**members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(f"{name}.csv", text)
    return buffer.getvalue()


@pytest.mark.parametrize("name", PACKED)
def test_packed_files_hold_the_same(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"t.csv.{name.split(maxsplit=1)[0]}"
    path.write_bytes(PACKED[name])
    found = read(path, tmp_path / "scratch")
    assert not isinstance(found, JobforgeError), found
    assert values(found[1]) == HOLDS.rows()
    assert found[0].notes[0].topic == "compression"


@pytest.mark.parametrize("name", PACKED)
def test_packed_files_that_are_cut_off_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"t.csv.{name.split(maxsplit=1)[0]}"
    for size in range(4, len(PACKED[name]) - 1):
        path.write_bytes(PACKED[name][:size])
        found = read(path, tmp_path / "scratch")
        if not isinstance(found, JobforgeError):
            # Only between two members or frames is the rest a whole file of its own.
            assert "two" in name
            assert values(found[1]) == HOLDS.rows()[:1]


def test_archives_hold_one_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.zip"
    path.write_bytes(zipped(one=GOOD))
    found = read(path, tmp_path / "scratch")
    assert not isinstance(found, JobforgeError)
    assert values(found[1]) == HOLDS.rows()
    for members in ({}, {"one": GOOD, "two": GOOD}):
        path.write_bytes(zipped(**members))
        error = read(path, tmp_path / "scratch")
        assert isinstance(error, SourceError)
        assert f"holds {len(members)} files" in str(error)


def test_a_name_that_hides_or_invents_a_compression_is_refused(tmp_path: Path) -> None:
    for name, data in (("t.csv", PACKED["gz"]), ("t.csv.gz", GOOD.encode())):
        path = tmp_path / name
        path.write_bytes(data)
        assert isinstance(read(path, tmp_path / "scratch"), MalformedSourceError)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-32-be"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path: Path, encoding: str) -> None:
    text = "a,b\n1,é€😀\n"
    mark = "" if encoding in ("utf-8-sig", "utf-16", "utf-32") else "\ufeff"
    assert table_of(tmp_path, (mark + text).encode(encoding)) == [("1", "é€😀")]


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "shift_jis", "utf-16-le"])
def test_other_encodings_are_named(tmp_path: Path, encoding: str) -> None:
    word = "日本" if encoding == "shift_jis" else "é"
    data = f"a,b\n1,{word}\n".encode(encoding)
    assert table_of(tmp_path, data, encoding=encoding) == [("1", word)]


def test_bytes_that_are_not_valid_name_the_line_and_suggest(tmp_path: Path) -> None:
    error = refusal_of(tmp_path, "a,b\n1,2\n3,été\n".encode("cp1252"))
    assert error.place["line"] == 3
    assert "encoding='cp1252' shows '3,été'" in error.hint
    error = refusal_of(tmp_path, b"a,b\n1,\x81\n", encoding="cp1252")
    assert error.place["line"] == 2
    error = refusal_of(tmp_path, "a,b\n1,2".encode("utf-16")[:-1])
    assert "utf-16" in str(error)


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a;b\n1;2,5\n", "semicolon"),
        ("a\tb\n1\t2\n", "tab"),
        ("a|b\n1|2\n", "pipe"),
    ],
)
def test_the_only_delimiter_that_fits_is_taken_and_noted(
    tmp_path: Path, text: str, delimiter: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    found = read(path, tmp_path / "scratch")
    assert not isinstance(found, JobforgeError)
    assert found[1].columns == ["a", "b"]
    assert ("delimiter", delimiter) in [(note.topic, note.text) for note in found[0].notes]


def test_two_delimiters_that_fit_are_asked_about(tmp_path: Path) -> None:
    error = refusal_of(tmp_path, b"a;b|c\n1;2|3\n")
    assert "semicolon, pipe" in str(error)
    assert table_of(tmp_path, b"a;b|c\n1;2|3\n", delimiter="|") == [("1;2", "3")]


def test_names_are_made_unique_in_the_documented_way_and_noted(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,a,, x ,a_2,column_3\n1,2,3,4,5,6\n")
    found = read(path, tmp_path / "scratch")
    assert not isinstance(found, JobforgeError)
    assert found[1].columns == ["a", "a_3", "column_3_2", " x ", "a_2", "column_3"]
    notes = [note.text for note in found[0].notes if note.topic == "header"]
    assert notes == ["column 2: 'a' is called 'a_3'", "column 3: '' is called 'column_3_2'"]


@pytest.mark.parametrize(
    ("data", "options", "rows"),
    [
        (b"Title\nmore\n\na,b\n1,2\n", {"skip_lines": 2}, [("1", "2")]),
        (b'Ti"tle\na,b\n"1",2\n', {"skip_lines": 1}, [("1", "2")]),
        (b"# x\na,b\n#y\n1,2\n", {"comment": "#"}, [("1", "2")]),
        (b"1,2\n3,4\n", {"header": False}, [("1", "2"), ("3", "4")]),
        (b"1,2\n", {"header": False, "names": ("x", "y")}, [("1", "2")]),
        (b"a,b\n\n1,2\n\n", {}, [("1", "2")]),
        (b"a,b\r1,2\r3,4\r", {}, [("1", "2"), ("3", "4")]),
        (b"a,b\r\n1,2\n", {}, [("1", "2")]),
        (b"a\n1\n\n2\n", {"blank_lines": "keep"}, [("1",), (None,), ("2",)]),
        (b"a\n1\n\n2\n", {"blank_lines": "skip"}, [("1",), ("2",)]),
        (b'a\n""\n', {}, [("",)]),
        (b"a\tb\n5\"\t6'\n", {"quote": None, "delimiter": "\t"}, [('5"', "6'")]),
        (b"a,b\n'x,y',2\n", {"quote": "'"}, [("x,y", "2")]),
        (b"x^2,y\n1,2\n", {}, [("1", "2")]),
        (b"x,y\n\xef\xbb\xbfa,b\n", {}, [("\ufeffa", "b")]),
        (b'"a\nb",c\n1,2\n', {}, [("1", "2")]),
        (b"a,b\n", {}, []),
        (b"a,b", {}, []),
        (b"a,b\nNA,null\n", {}, [("NA", "null")]),
        (
            b"t\n\xef\xbb\xbfa,b\n1,2\n",
            {"skip_lines": 1, "header": False},
            [("\ufeffa", "b"), ("1", "2")],
        ),
        (b"\n\na,b\n", {"header": False, "blank_lines": "keep"}, [(None, None)] * 2 + [("a", "b")]),
        (b"t\ra,b\n1,2\n", {"skip_lines": 1, "header": False}, [("a", "b"), ("1", "2")]),
        (b"\ra,b\n1,2\n", {"header": False}, [("a", "b"), ("1", "2")]),
        (b"a,b\n1,2\n\n\r\n\n", {}, [("1", "2")]),
        (b"a,b\r\n1,2\r\n\r\n", {}, [("1", "2")]),
        (b"a,b\n1,2\n\n", {"blank_lines": "keep"}, [("1", "2"), (None, None)]),
    ],
)
def test_files_of_every_kind(
    tmp_path: Path, data: bytes, options: dict[str, Any], rows: list[tuple[Any, ...]]
) -> None:
    assert table_of(tmp_path, data, **options) == rows


def test_a_carriage_return_in_a_record_makes_no_record_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\n1,2\nx\ry,z\n\r5,6\n3,4\n")
    found = read(path, tmp_path / "s", CsvOptions(bad_rows="quarantine"))
    assert not isinstance(found, JobforgeError)
    assert values(found[1]) == [("1", "2"), ("3", "4")]
    assert found[1]["_source_row"].to_list() == [1, 4]
    assert found[0].rejects is not None
    assert found[0].rejects.collect()["_raw"].to_list() == ["x\ry,z", "\r5,6"]


def test_the_limit_of_a_record_may_fall_between_the_characters_of_a_line_end(
    tmp_path: Path,
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b'a\r\n1234567890\r\n5\r\n"x\r\n')
    found = read(path, tmp_path / "s", CsvOptions(max_record=10, bad_rows="quarantine"))
    assert not isinstance(found, JobforgeError)
    assert values(found[1]) == [("5",)]
    assert found[0].rejected == 2


def test_lines_are_counted_behind_a_record_of_mixed_ends_that_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    # Records end with CR; the second one goes on behind a LF, past the limit.
    path.write_bytes(b"a\r1\r23\n4567890123\r5\r")
    found = read(path, tmp_path / "s", CsvOptions(max_record=6, bad_rows="quarantine"))
    assert not isinstance(found, JobforgeError)
    assert values(found[1]) == [("1",), ("5",)]
    assert found[0].rejects is not None
    assert found[0].rejects.collect()["_line"].to_list() == [3]


def test_one_short_record_is_a_fault_and_no_other_delimiter(tmp_path: Path) -> None:
    error = refusal_of(tmp_path, b"a;b\n1;2\n3\n4;5\n")
    assert error.place["line"] == 3


def test_a_mark_that_contradicts_the_encoding_is_refused(tmp_path: Path) -> None:
    error = refusal_of(tmp_path, "a\n1\n".encode("utf-16"), encoding="utf-16-be")
    assert "byte order mark of utf-16-le" in str(error)


def test_a_folder_called_tilde_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "~").mkdir()
    (tmp_path / "~" / "r.csv").write_text("a\nhere\n")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "r.csv").write_text("a\nelsewhere\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    found = read(Path("~/r.csv"), Path("scratch"))
    assert not isinstance(found, JobforgeError)
    assert values(found[1]) == [("here",)]


@pytest.mark.parametrize("name", ["bz2", "zst", "gz"])
def test_what_follows_packed_data_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"t.csv.{name}"
    path.write_bytes(PACKED[name] + b"XYZ" + PACKED[name][3:])
    assert isinstance(read(path, tmp_path / "s"), MalformedSourceError)


def test_a_first_frame_shorter_than_a_byte_order_mark(tmp_path: Path) -> None:
    for text, cut in ((codecs.BOM_UTF8 + b"a\n1\n", 1), ("a\n1\n".encode("utf-16"), 2)):
        path = tmp_path / "t.csv.zst"
        path.write_bytes(zstandard.compress(text[:cut]) + zstandard.compress(text[cut:]))
        found = read(path, tmp_path / "s")
        assert not isinstance(found, JobforgeError), found
        assert found[1].to_dict(as_series=False) == {"a": ["1"]}


def test_many_equal_names_are_made_unique_in_a_blink() -> None:
    names, changes = unique_names(["a"] * 20_000)
    assert len(set(names)) == 20_000
    assert len(changes) == 19_999


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.zip"
    whole = zipped(one=GOOD)
    for place in range(len(whole)):
        for byte in (0, 0x94, 0xFF):
            path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
            found = read(path, tmp_path / "s")
            assert isinstance(found, JobforgeError) or values(found[1]) == HOLDS.rows()


@pytest.mark.parametrize(
    ("data", "line", "said"),
    [
        (b"a,b\n1,2\n3\n", 3, "has 1 field instead of 2"),
        (b"a,b\n1,2,3\n", 2, "has 3 fields instead of 2"),
        (b'a,b\n"1\n2",3\n4\n', 4, "has 1 field"),
        (b'a,b\n1,"2\n3,4\n', 2, "never closed"),
        (b'a,b\n1,"2"3\n', 2, "text after a closing quote"),
        (b'a,b\n1,2"3\n', 2, "quote inside a field"),
        (b"a,b\n1,\0\n", 2, "NUL"),
        (b"a,b\n1,2\r3,4\n", 2, "carriage return"),
        (b"a\n1\n\n", 3, "blank line"),
        (b'a,"b\n', 1, "never closed"),
    ],
)
def test_broken_records_name_their_line(tmp_path: Path, data: bytes, line: int, said: str) -> None:
    error = refusal_of(tmp_path, data, delimiter=",")
    assert said in str(error)
    assert error.place["line"] == line
    assert error.hint


def test_a_record_past_the_limit_is_refused(tmp_path: Path) -> None:
    data = b"a,b\n1," + b"x" * 200 + b"\n" + b'"' + b"y\n" * 100 + b'",2\n3,4\n'
    error = refusal_of(tmp_path, b"a,b\n1\n" + data, max_record=100)
    assert error.place["line"] == 2
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    found = read(path, tmp_path / "s", CsvOptions(max_record=100, bad_rows="quarantine"))
    assert not isinstance(found, JobforgeError)
    assert found[0].rejects is not None
    rules = set(found[0].rejects.collect()["_rule"])
    assert "read:size" in rules
    assert ("3", "4") in values(found[1])


@pytest.mark.parametrize(
    "options",
    [
        {"delimiter": ""},
        {"delimiter": ";;"},
        {"delimiter": "\n"},
        {"delimiter": "é"},
        {"delimiter": '"'},
        {"names": ("a",)},
        {"header": False, "names": ("a", "a")},
        {"skip_lines": -1},
        {"bad_rows": "drop"},
        {"nonsense": 1},
        {"max_record": 0},
    ],
)
def test_options_without_meaning_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(JobforgeError, match="CsvOptions"):
        CsvOptions(**options)


def test_an_unknown_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a\n1\n")
    error = read(path, tmp_path / "s", CsvOptions(encoding="klingon"))
    assert isinstance(error, JobforgeError)
    assert "klingon" in str(error)
