"""From a record to its place in the file and back: judged by texts whose places are known."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from jobforge.errors import JobforgeError, MalformedSourceError, RecordNotFoundError
from jobforge.readers import places as places_module
from jobforge.readers.base import Locating, ReadContext, ReadOptions, SourceTable
from jobforge.readers.csv import CsvOptions
from jobforge.readers.csv import reader as csv_reader
from jobforge.readers.csv.records import Dialect
from jobforge.readers.csv.scan import by_blocks
from jobforge.readers.csv.skip import nearer
from jobforge.readers.excel import ExcelOptions
from jobforge.readers.fixed_width import FixedWidthOptions
from jobforge.readers.json import JsonOptions
from jobforge.readers.places import Checkpoint, RecordPlace
from jobforge.readers.registry import choose
from jobforge.storage.source import SourceFile
from oracles import csv_cells
from support import NOC, needs_noc

CELLS = st.text(st.sampled_from('a,"\n\r;é '), max_size=5)
ROWS = st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=8)
DIALECT = Dialect(",", '"', None, 1 << 20)


@dataclass
class Told:
    """A reading of a file: what was asked again is asked with what was found."""

    reader: Locating
    source: SourceFile
    options: ReadOptions
    table: SourceTable
    context: ReadContext

    def places(self, *records: int) -> list[RecordPlace]:
        return self.reader.places(self.source, self.options, records, self.context)

    def all(self) -> list[RecordPlace]:
        return self.places(*range(1, self.table.rows + self.table.rejected + 1))

    def at(self, line: int) -> list[int]:
        return list(self.reader.records_at(self.source, self.options, line, self.context))


def told(path: Path, scratch: Path, options: ReadOptions | None = None) -> Told:
    source = SourceFile(path)
    choice = choose(path.name, options)
    table = choice.read(source, ReadContext(scratch))
    known = choice.as_read(table)
    assert known is not None
    assert isinstance(choice.reader, Locating)
    context = ReadContext(scratch, checkpoints=table.checkpoints, detected=table.detected)
    return Told(choice.reader, source, choice.reader.options(**known), table, context)


def written(tmp_path: Path, name: str, data: bytes, options: ReadOptions | None = None) -> Told:
    path = tmp_path / name
    path.write_bytes(data)
    return told(path, tmp_path / "scratch", options)


def field(text: str) -> str:
    if text and not set(text) & set(',"\r\n'):
        return text
    return '"' + text.replace('"', '""') + '"'


def lines_of(text: str) -> int:
    """Physical lines that begin within a text, one character at a time."""
    count = at = 0
    while at < len(text):
        if text[at] == "\r" and text[at + 1 : at + 2] == "\n":
            at += 1
        count += text[at] in "\r\n"
        at += 1
    return count


@dataclass
class Known:
    """A text, and where its records stand by the way it was made."""

    text: str
    places: list[tuple[int, int, int, str]]
    """First line, last line, characters before it, raw text."""
    lines: int


@st.composite
def texts(draw: st.DrawFn, *, title: bool = True) -> Known:
    end = draw(st.sampled_from(["\n", "\r\n"]))
    text = draw(st.sampled_from(["", "A title" + end, "x" + end + end])) if title else ""
    text += ",".join(map(field, draw(st.sampled_from([["a", "b"], ["a\nb", "c"]])))) + end
    found = []
    for row in draw(ROWS):
        text += end * draw(st.sampled_from([0, 0, 0, 1, 2])) if title else ""
        raw = ",".join(map(field, row))
        first = 1 + lines_of(text)
        found.append((first, first + lines_of(raw), len(text), raw))
        text += raw + end
    whole = text if draw(st.booleans()) or not found else text.removesuffix(end)
    return Known(whole, found, lines_of(text))


def skipped(known: Known) -> int:
    """Physical lines of the title."""
    return {"A": 1, "x": 2}.get(known.text[0], 0)


def check(found: Told, known: Known, *, bytes_before: int | None) -> None:
    places = found.all()
    assert [(p.first_line, p.last_line, p.raw) for p in places] == [
        (first, last, raw) for first, last, _, raw in known.places
    ]
    for number, (place, (_, _, before, raw)) in enumerate(
        zip(places, known.places, strict=True), start=1
    ):
        assert place.record == number
        offset = None if bytes_before is None else bytes_before + len(known.text[:before].encode())
        assert place.offset == offset
        assert place.length == (None if offset is None else len(raw.encode()))
    by_line = {
        line: [number]
        for number, (first, last, _, _) in enumerate(known.places, start=1)
        for line in range(first, last + 1)
    }
    for line in range(known.lines + 3):
        assert found.at(line) == by_line.get(line, []), line


@given(known=texts(), bom=st.booleans(), near=st.booleans())
def test_records_of_written_text_are_where_they_were_written(
    tmp_path: Path, known: Known, *, bom: bool, near: bool
) -> None:
    data = (codecs.BOM_UTF8 if bom else b"") + known.text.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places_module, "_LEAST_BYTES", 1 if near else 1 << 20)
        found = written(tmp_path, "t.csv", data, CsvOptions(skip_lines=skipped(known)))
        check(found, known, bytes_before=3 if bom else 0)
        if near:
            bare = Told(**{**vars(found), "context": ReadContext(tmp_path / "scratch")})
            assert bare.all() == found.all()


@given(known=texts(title=False), block=st.integers(1, 12), every=st.integers(1, 20))
def test_the_scan_of_a_regular_file_takes_its_checkpoints_where_records_begin(
    tmp_path: Path, known: Known, block: int, every: int
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(known.text.encode())
    size = {"block": block, "every": every}
    found = by_blocks(path, 2, DIALECT, start=0, data_start=0, report=lambda _: None, **size)
    assert found.regular
    header = (1, 0, 1)
    begins = {header} | {
        (number, len(known.text[:before].encode()), first)
        for number, (first, _, before, _) in enumerate(known.places, start=2)
    }
    end = (len(known.places) + 2, len(known.text.encode()), known.lines + 1)
    for mark in found.checkpoints:
        assert (mark.record, mark.offset, mark.line) in begins | {end}
    offsets = [mark.offset for mark in found.checkpoints]
    assert all(
        after - before >= every for before, after in zip([0, *offsets], offsets, strict=False)
    )


@given(known=texts(title=False), block=st.integers(1, 12), data=st.data())
def test_regular_records_are_passed_over_up_to_what_is_looked_for(
    tmp_path: Path, known: Known, block: int, data: st.DataObject
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(known.text.encode())
    begins = [
        Checkpoint(number, len(known.text[:before].encode()), first)
        for number, (first, _, before, _) in enumerate(known.places, start=1)
    ]
    if not begins:
        return
    start = data.draw(st.sampled_from(begins))
    target = data.draw(st.sampled_from(begins[start.record - 1 :]))
    for beyond in (
        lambda mark: mark.record > target.record,
        lambda mark: mark.line > target.line,
    ):
        found = nearer(path, start, b'"', beyond, block)
        assert found in begins
        assert start.record <= found.record <= target.record
        assert nearer(path, start, b'"', beyond, 1) == target


@pytest.mark.parametrize("name", ["t.csv.gz", "t.csv.zst", "t.csv.bz2", "t.csv.zip"])
@given(known=texts())
def test_packed_text_has_lines_and_no_bytes(tmp_path: Path, name: str, known: Known) -> None:
    data = known.text.encode()
    if name.endswith(".zip"):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("inner.csv", data)
        data = packed.getvalue()
    else:
        pack: dict[str, Any] = {"gz": gzip.compress, "zst": zstandard.compress, "bz2": bz2.compress}
        data = pack[name.rpartition(".")[2]](data)
    found = written(tmp_path, name, data, CsvOptions(skip_lines=skipped(known)))
    check(found, known, bytes_before=None)
    assert found.table.detected["compression"]
    assert found.table.detected.get("member") == ("inner.csv" if name.endswith(".zip") else None)


@pytest.mark.parametrize(
    ("encoding", "named"),
    [("utf-16", None), ("utf-32", None), ("latin-1", "latin-1"), ("utf-16-le", "utf-16-le")],
)
@given(known=texts())
def test_other_encodings_have_lines_and_the_text_that_was_written(
    tmp_path: Path, encoding: str, named: str | None, known: Known
) -> None:
    options = CsvOptions(skip_lines=skipped(known), encoding=named)
    found = written(tmp_path, "t.csv", known.text.encode(encoding), options)
    check(found, known, bytes_before=None)


@given(text=st.text(st.sampled_from('ab,"\n\r'), max_size=40), near=st.booleans())
def test_whatever_the_text_a_place_shows_the_record_of_its_number(
    tmp_path: Path, text: str, *, near: bool
) -> None:
    """Rejects say their line and text themselves; a good record parsed alone is its row."""
    data = ("a,b\n" + text).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places_module, "_LEAST_BYTES", 1 if near else 1 << 20)
        try:
            found = written(tmp_path, "t.csv", data, CsvOptions(bad_rows="quarantine"))
            good = found.table.frame.collect()
        except JobforgeError:
            return
        places = {place.record: place for place in found.all()}
        if "_source_row" not in good.columns:
            good = good.with_row_index("_source_row", offset=1)
        for row in good.to_dicts():
            number = row.pop("_source_row")
            assert csv_cells(places[number].raw or "") == [list(row.values())]
        rejects = found.table.rejects
        for row in [] if rejects is None else rejects.collect().to_dicts():
            place = places[row["_source_row"]]
            assert (place.first_line, (place.raw or "").rstrip("\r\n")) == (
                row["_line"],
                row["_raw"],
            )
        for place in places.values():
            assert place.offset is not None
            assert place.length is not None
            assert data[place.offset :][: place.length].decode() == place.raw
            for line in range(place.first_line or 0, (place.last_line or 0) + 1):
                assert found.at(line) == [place.record]


def test_comments_and_blank_lines_that_count(tmp_path: Path) -> None:
    data = b"# of 2024\na,b\n# more\n1,2\n\n3,4\n"
    found = written(tmp_path, "t.csv", data, CsvOptions(comment="#", blank_lines="keep"))
    assert [(p.first_line, p.raw) for p in found.all()] == [(4, "1,2"), (5, ""), (6, "3,4")]
    assert found.at(3) == []
    bare = written(tmp_path, "u.csv", b"1,2\n3,4\n", CsvOptions(header=False))
    assert [p.first_line for p in bare.all()] == [1, 2]


def test_a_file_of_lone_carriage_returns_has_lines(tmp_path: Path) -> None:
    found = written(tmp_path, "t.csv", b'a,b\r1,2\r"x\ry",3\r')
    assert [(p.first_line, p.last_line) for p in found.all()] == [(2, 2), (3, 4)]
    assert found.at(4) == [2]


def test_a_record_that_is_too_long_ends_what_is_known_of_bytes(tmp_path: Path) -> None:
    data = b"a,b\n1," + b"x" * 99 + b"\n3,4\n"
    options = CsvOptions(max_record=50, bad_rows="quarantine")
    long, after = written(tmp_path, "t.csv", data, options).all()
    assert (long.first_line, long.offset, long.length) == (2, 4, None)
    assert (after.first_line, after.offset, after.raw) == (3, None, "3,4")


def test_bytes_that_are_no_text_are_shown(tmp_path: Path) -> None:
    found = written(tmp_path, "t.csv", b"a,b\n1,\xe9\n3,4\n", CsvOptions(bad_rows="quarantine"))
    bad, good = found.all()
    assert (bad.raw, bad.length) == ("1,\\xe9", 3)
    assert (good.raw, good.offset) == ("3,4", 8)


def large(path: Path, rows: int) -> Path:
    """Quoted line ends, CRLF and letters beyond ASCII, a record in 20 over two lines."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("id,text\r\n")
        for number in range(1, rows + 1):
            middle = "\n" if number % 20 == 0 else " "
            file.write(f'{number},"é{middle}{number:090d}"\r\n')
    return path


@pytest.mark.parametrize("fault", [False, True], ids=["regular", "with a fault"])
def test_a_large_file_is_looked_up_from_its_checkpoints(tmp_path: Path, *, fault: bool) -> None:
    rows = 200_000
    path = large(tmp_path / "t.csv", rows)
    if fault:
        with path.open("a") as file:
            file.write('1,"2"x\n')
    found = told(path, tmp_path / "scratch", CsvOptions(bad_rows="quarantine"))
    assert found.table.rejected == fault
    assert [type(mark) for mark in found.table.checkpoints] == [Checkpoint] * 2
    wanted = [rows, 1, 20, 77_777, 120_000, 120_001, 130_000]
    places = found.places(*wanted)
    data = path.read_bytes()
    for number, place in zip(wanted, places, strict=True):
        assert place.first_line == 1 + number + (number - 1) // 20
        assert place.last_line == 1 + number + number // 20
        assert place.raw is not None
        assert place.raw.startswith(f'{number},"é')
        assert place.offset is not None
        assert data[place.offset :][: place.length].decode() == place.raw
        assert found.at(place.last_line) == [number]
    bare = Told(**{**vars(found), "context": ReadContext(tmp_path / "scratch")})
    assert bare.places(*wanted) == places
    with pytest.raises(RecordNotFoundError, match="no record 200002"):
        found.places(200_002)


def test_a_large_file_without_checkpoints_is_scanned_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = large(tmp_path / "t.csv", 200_000)
    found = told(path, tmp_path / "scratch")
    bare = Told(**{**vars(found), "context": ReadContext(tmp_path / "scratch")})
    seen: list[object] = []

    def spy(*given: object) -> None:
        seen.append(given[-2:])

    monkeypatch.setattr(csv_reader, "Lookup", spy)
    with pytest.raises(AttributeError):
        bare.places(5)
    assert seen == [(found.table.checkpoints, True)]


def test_lines_of_json(tmp_path: Path) -> None:
    data = codecs.BOM_UTF8 + '{"a":"é"}\r\n\n  {"a":2}\n{"a":3}'.encode()
    found = written(tmp_path, "t.ndjson", data)
    assert [(p.first_line, p.offset, p.raw) for p in found.all()] == [
        (1, 3, '{"a":"é"}'),
        (3, 16, '  {"a":2}'),
        (4, 26, '{"a":3}'),
    ]
    assert [found.at(line) for line in range(6)] == [[], [1], [], [2], [3], []]


def test_many_lines_of_json_are_looked_up_from_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobforge.readers.json.blocks._BLOCK_BYTES", 64)
    monkeypatch.setattr(places_module, "_LEAST_BYTES", 1)
    text = "".join(f'{{"a":{n}}}\n' + "\n" * (n % 3 == 0) for n in range(1, 200))
    found = written(tmp_path, "t.ndjson", text.encode())
    assert len(found.table.checkpoints) > 10
    lines = text.split("\n")
    for place in found.all():
        assert place.first_line is not None
        assert lines[place.first_line - 1] == place.raw == f'{{"a":{place.record}}}'
        assert found.at(place.first_line) == [place.record]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    records=st.lists(
        st.dictionaries(st.text(max_size=3), VALUES, min_size=1, max_size=3), min_size=1, max_size=5
    ),
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
    inside=st.booleans(),
)
def test_a_record_of_a_document_is_the_text_of_its_object(
    tmp_path: Path, records: list[Any], indent: int | None, *, ascii_only: bool, inside: bool
) -> None:
    document: Any = {"x": [1, {"items": 2}], "data": {"y": '"{', "items": records}, "z": []}
    whole = document if inside else records
    text = json.dumps(whole, indent=indent, ensure_ascii=ascii_only)
    data = text.encode("utf-8", "replace")
    options = JsonOptions(records_path="data.items" if inside else None)
    try:
        found = written(tmp_path, "t.json", data, options)
    except JobforgeError:
        return  # lone surrogates, or no key at all
    places = found.all()
    assert (
        [json.loads(place.raw or "") for place in places] == json.loads(data)["data"]["items"]
        if inside
        else json.loads(data)
    )
    for place in places:
        assert place.offset is not None
        assert data[place.offset :][: place.length].decode() == place.raw
        assert place.first_line == 1 + data[: place.offset].count(b"\n")
    for line in range(data.count(b"\n") + 3):
        assert found.at(line) == [
            p.record for p in places if (p.first_line or 0) <= line <= (p.last_line or 0)
        ]


def test_one_object_over_several_lines(tmp_path: Path) -> None:
    found = written(tmp_path, "t.json", b'\n{\n "a": 1\n}\n')
    (place,) = found.all()
    assert (place.first_line, place.last_line, place.raw) == (2, 4, '{\n "a": 1\n}')


@pytest.mark.parametrize("text", ['[{"a":1', '{"b": 1}', "[[[[", "\xff", "[" * 99_999])
def test_a_document_that_is_another_now_is_refused(tmp_path: Path, text: str) -> None:
    found = written(tmp_path, "t.json", b'{"data":\n[{"a":1}]}', JsonOptions(records_path="data"))
    found.source.path.write_bytes(text.encode("latin-1"))
    with pytest.raises(MalformedSourceError):
        found.places(1)


def test_fixed_width(tmp_path: Path) -> None:
    data = "Title\nab é\r\ncd ü\n".encode()
    options = FixedWidthOptions(columns={"a": (0, 2), "b": (3, 1)}, skip_lines=1)
    found = written(tmp_path, "t.fwf", data, options)
    assert [(p.first_line, p.offset, p.length, p.raw) for p in found.all()] == [
        (2, 6, 5, "ab é"),
        (3, 13, 5, "cd ü"),
    ]
    assert [found.at(line) for line in range(5)] == [[], [], [1], [2], []]
    with pytest.raises(RecordNotFoundError):
        found.places(3)


def book(path: Path) -> Path:
    made = openpyxl.Workbook()
    made.worksheets[0]["A1"] = "nothing to see"
    sheet = made.create_sheet("Orders")
    rows: list[list[object]] = [["id", "text"], [1, "x"], [None, None], [3, "y"]]
    for row, cells in enumerate(rows, start=4):
        for column, value in enumerate(cells, start=2):
            sheet.cell(row, column, value)
    made.save(path)
    return path


@pytest.mark.parametrize(
    ("options", "row"),
    [
        (ExcelOptions(sheet="Orders"), 5),
        (ExcelOptions(sheet=2, header_row=4), 5),
        (ExcelOptions(sheet="Orders", range="A1:F50"), 5),
        (ExcelOptions(sheet="Orders", header=False, range="B5:C7"), 5),
        (ExcelOptions(sheet="Orders", header=False), 4),
    ],
)
def test_a_record_of_a_workbook_is_a_row_of_its_sheet(
    tmp_path: Path, options: ExcelOptions, row: int
) -> None:
    found = told(book(tmp_path / "t.xlsx"), tmp_path / "scratch", options)
    places = found.all()
    assert [(p.sheet, p.row, p.cells, p.raw) for p in places] == [
        ("Orders", row + n, f"B{row + n}:C{row + n}", None) for n in range(8 - row)
    ]
    assert [found.at(p.row or 0) for p in places] == [[p.record] for p in places]
    assert found.at(row - 1) == found.at(8) == []
    again = told(found.source.path, tmp_path / "scratch", found.options)
    assert again.table.frame.collect().equals(found.table.frame.collect())


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_rows_of_columnar_files_are_in_groups(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    frame = pl.DataFrame({"a": range(10)})
    if name.endswith("parquet"):
        frame.write_parquet(path, row_group_size=4)
    else:
        frame.write_ipc(path, record_batch_size=4)
    found = told(path, tmp_path / "scratch")
    assert [(p.group, p.row) for p in found.places(1, 4, 5, 10)] == [(0, 1), (0, 4), (1, 1), (2, 2)]
    assert [found.at(line) for line in (0, 1, 10, 11)] == [[], [1], [10], []]
    with pytest.raises(RecordNotFoundError, match="no record 11"):
        found.places(11)
    path.write_bytes(b"PAR1, and then nothing")
    with pytest.raises(MalformedSourceError):
        found.places(1)


@needs_noc
@pytest.mark.parametrize("path", sorted(NOC.glob("*.csv")), ids=lambda path: path.name)
def test_published_files(tmp_path: Path, path: Path) -> None:
    """Every record parsed alone is its row."""
    found = told(path, tmp_path / "scratch", CsvOptions(bad_rows="quarantine"))
    rows = found.table.frame.collect()
    if "_source_row" not in rows.columns:
        rows = rows.with_row_index("_source_row", offset=1)
    places = {place.record: place for place in found.all()}
    for row in rows.to_dicts():
        number = row.pop("_source_row")
        assert csv_cells(places[number].raw or "") == [list(row.values())]
    line = places[len(places)].last_line
    assert line is not None
    assert found.at(line) == [len(places)]


def test_what_a_file_showed_is_in_the_options(tmp_path: Path) -> None:
    found = written(tmp_path, "t.csv", b"\xef\xbb\xbfa;b\n1;2,5\n")
    assert isinstance(found.options, CsvOptions)
    assert (found.options.delimiter, found.options.encoding) == (";", "utf-8")
    assert found.table.detected == {"byte_order_mark": "utf-8", "structure": "regular"}
    assert found.table.checkpoints == ()
