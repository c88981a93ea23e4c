"""Workbooks: every cell as an independent library has it, or refused with sheet and cell."""

from __future__ import annotations

import datetime as dt
import io
import math
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest
import xlsxwriter
import xlwt
from hypothesis import given
from hypothesis import strategies as st
from odf import opendocument
from odf import table as odf_table
from odf import text as odf_text

from jobforge import PipelineEngine
from jobforge.errors import (
    AmbiguousSourceError,
    EmptySourceError,
    InvalidOptionError,
    JobforgeError,
    MalformedSourceError,
    SourceError,
    UnsupportedValueError,
)
from jobforge.readers import isolate
from jobforge.readers.excel import ExcelOptions, ExcelReader
from jobforge.readers.excel.cells import encode
from jobforge.readers.excel.guard import guard_zip
from jobforge.readers.excel.sheet import SheetTable, read_sheet
from jobforge.readers.isolate import call_in_child
from jobforge.testing import ReaderConformance, Sample
from oracles import damages, read

Make = Callable[[openpyxl.Workbook], Any]


def xlsx(*rows: list[Any], make: Make | None = None) -> bytes:
    """A workbook by openpyxl: rows of its first sheet, then whatever `make` does."""
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for row in rows:
        sheet.append(row)
    if make is not None:
        make(book)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def xls(*rows: list[Any]) -> bytes:
    book = xlwt.Workbook()
    sheet = book.add_sheet("S")
    for number, row in enumerate(rows):
        for place, value in enumerate(row):
            if value is not None:
                sheet.write(number, place, value)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def ods(*rows: list[Any]) -> bytes:
    book = opendocument.OpenDocumentSpreadsheet()
    table = odf_table.Table(name="S")
    for row in rows:
        line = odf_table.TableRow()
        for value in row:
            if isinstance(value, float):
                cell = odf_table.TableCell(valuetype="float", value=repr(value))
            else:
                cell = odf_table.TableCell(valuetype="string")
                cell.addElement(odf_text.P(text=str(value)))
            line.addElement(cell)
        table.addElement(line)
    book.spreadsheet.addElement(table)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def rewritten(data: bytes, part: str, change: Callable[[bytes], bytes]) -> bytes:
    """The workbook with one of its parts changed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", 8) as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content) if name == part else content)
    return buffer.getvalue()


SHEET1 = "xl/worksheets/sheet1.xml"


def table(data: bytes, name: str = "t.xlsx", **options: Any) -> SheetTable:
    return read_sheet(data, name, ExcelOptions(**options))


def rows(data: bytes, name: str = "t.xlsx", **options: Any) -> list[tuple[Any, ...]]:
    return table(data, name, **options).frame.rows()


class TestConformance(ReaderConformance):
    reader = ExcelReader()

    def sample(self, folder: Path) -> Sample:
        path = folder / "sample.xlsx"
        path.write_bytes(xlsx(["code", "n", "x"], ["007", 1, 0.5], [" pad ", 2, None]))
        holds = pl.DataFrame({"code": ["007", " pad "], "n": [1, 2], "x": [0.5, None]})
        return Sample(path, holds)

    def damaged(self, folder: Path) -> list[Sample]:
        good = self.sample(folder).path.read_bytes()
        found = []
        for name, data in {
            "text.xls": b"a,b\n1,2\n",
            "html.xls": b"<html><table></table></html>",
            "short.xlsx": good[:-100],
            "noise.xlsx": b"PK\x03\x04" + b"\0" * 100,
            "other.xls": good,
        }.items():
            path = folder / name
            path.write_bytes(data)
            found.append(Sample(path, pl.DataFrame()))
        return found


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: 0 != abs(x) < 1e300),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=6).filter(
        lambda t: not t.startswith(("=", "_x", "#")) and t != ""
    ),
    st.datetimes(dt.datetime(1901, 1, 1), dt.datetime(9999, 1, 1)).map(
        lambda moment: moment.replace(microsecond=0)
    ),
)


@given(
    body=st.integers(1, 3).flatmap(
        lambda width: st.lists(
            st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=5
        )
    )
)
def test_cells_are_those_of_an_independent_library(body: list[list[Any]]) -> None:
    names = [f"c{n}" for n in range(len(body[0]))]
    data = xlsx(names, *body)
    judge = openpyxl.load_workbook(io.BytesIO(data), data_only=True).worksheets[0]
    wanted = [[cell.value for cell in row] for row in judge.iter_rows(min_row=2)]
    frame = table(data).frame
    while wanted and all(cell is None for cell in wanted[-1]):
        wanted.pop()
    assert frame.height == len(wanted)
    for name, column in zip(names, zip(*wanted, strict=True) if wanted else [], strict=False):
        if name not in frame.columns:
            assert all(cell is None for cell in column)
            continue
        found = frame[name].to_list()
        for mine, theirs in zip(found, column, strict=True):
            assert same(mine, theirs), (mine, theirs, frame.schema[name])


def same(mine: Any, theirs: Any) -> bool:
    if mine is None or theirs is None:
        return mine is theirs
    if isinstance(mine, str) and not isinstance(theirs, str):
        midnight = isinstance(theirs, dt.datetime) and theirs.time() == dt.time()
        return mine == encode(theirs.date() if midnight else theirs)
    if isinstance(mine, str):
        return theirs in (mine, mine[1:-1]) or mine == encode(theirs)
    if isinstance(theirs, dt.datetime) and type(mine) is dt.date:
        return theirs == dt.datetime.combine(mine, dt.time())
    if isinstance(theirs, (int, float)) and not isinstance(theirs, bool):
        return math.isclose(mine, theirs, rel_tol=1e-15, abs_tol=0)
    return bool(mine == theirs)


@given(
    kind=st.sampled_from(["xlsx", "xls", "ods"]),
    seeds=st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), min_size=1, max_size=3),
)
def test_damage_is_refused_or_harmless_and_never_an_error_of_another_kind(
    kind: str, seeds: list[tuple[int, int]]
) -> None:
    made = {"xlsx": xlsx, "xls": xls, "ods": ods}[kind](["a", "b"], ["007", 1.5], ["x", 2.5])
    for data in damages(made, seeds):
        try:
            frame = table(data, f"t.{kind}").frame
        except SourceError:
            continue
        if kind != "xls":  # a zip has checksums: what is read is what was written
            assert frame.rows() == [("007", 1.5), ("x", 2.5)]


def test_text_stays_text_to_the_letter() -> None:
    texts = ["007", " pad ", "   ", "a\nb", "é😀", "'", "TRUE", "1e5", "#N/A text", "\u00a0x\u00a0"]
    data = xlsx(["t"], *[[text] for text in texts])
    assert [row[0] for row in rows(data)] == texts
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True})
    sheet = book.add_worksheet()
    for number, text in enumerate(["t", *texts]):
        sheet.write_string(number, 0, text)
    book.close()
    assert [row[0] for row in rows(buffer.getvalue())] == texts
    cell = re.compile(rb'<c r="A2".*?</c>')
    padded = b'<c r="A2" t="inlineStr"><is><t> y </t></is></c>'
    inline = rewritten(xlsx(["t"], ["x"]), SHEET1, lambda xml: cell.sub(padded, xml))
    assert rows(inline) == [(" y ",)]


def test_empty_text_and_blank_cells_stay_apart() -> None:
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True, "strings_to_formulas": False})
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, ["a", "b"])
    sheet.write_string(1, 0, "x")
    sheet.write_string(2, 1, "y")
    book.close()
    data = rewritten(
        buffer.getvalue(),
        SHEET1,
        lambda xml: xml.replace(b'<row r="3"', b'<row r="3"').replace(
            b'<c r="B3"', b'<c r="A3" t="str"><v></v></c><c r="B3"'
        ),
    )
    assert rows(data) == [("x", None), ("", "y")]


@pytest.mark.parametrize(
    ("cells", "dtype", "held"),
    [
        ([1, 2], pl.Int64(), [1, 2]),
        ([1, 2.5], pl.Float64(), [1.0, 2.5]),
        ([2**60], pl.Float64(), [float(2**60)]),
        ([True, None, False], pl.Boolean(), [True, None, False]),
        ([dt.date(2024, 2, 29)], pl.Date(), [dt.date(2024, 2, 29)]),
        (
            [dt.date(2024, 2, 29), dt.datetime(2024, 2, 29, 1, 2, 3)],
            pl.Datetime("us"),
            [dt.datetime(2024, 2, 29), dt.datetime(2024, 2, 29, 1, 2, 3)],
        ),
        ([dt.time(1, 2, 3)], pl.Time(), [dt.time(1, 2, 3)]),
        ([dt.timedelta(hours=30)], pl.Duration("us"), [dt.timedelta(hours=30)]),
        ([7, "7"], pl.String(), ["7", '"7"']),
        ([True, "true"], pl.String(), ["true", '"true"']),
        ([dt.date(2024, 1, 1), 5], pl.String(), ["2024-01-01", "5"]),
    ],
)
def test_types_are_decided_over_all_rows(
    cells: list[Any], dtype: pl.DataType, held: list[Any]
) -> None:
    # A second column keeps rows whose first cell is blank inside the sheet.
    frame = table(xlsx(["c", "row"], *[[cell, n] for n, cell in enumerate(cells)])).frame
    assert frame.schema["c"] == dtype
    assert frame["c"].to_list() == held


def test_a_late_text_is_not_lost() -> None:
    cells = [[n] for n in range(2000)] + [["late"]]
    frame = table(xlsx(["c"], *cells)).frame
    assert frame["c"].to_list() == [*map(str, range(2000)), '"late"']


def test_dates_counted_from_1904_are_right() -> None:
    def since_1904(book: openpyxl.Workbook) -> None:
        book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904

    moment = dt.datetime(2024, 2, 29, 12)
    data = xlsx(["d"], [moment], make=since_1904)
    found = table(data)
    assert found.frame.rows() == [(moment,)]
    assert ("dates", "counted from 1904") in found.notes


def two_sheets(book: openpyxl.Workbook) -> None:
    second = book.create_sheet("Second")
    second["B3"] = "h"
    second["B4"] = "v"
    book.create_sheet("Empty")


def test_a_workbook_with_several_filled_sheets_asks_which(tmp_path: Path) -> None:
    data = xlsx(["a"], ["x"], make=two_sheets)
    with pytest.raises(AmbiguousSourceError, match="'Sheet', 'Second'"):
        table(data)
    assert rows(data, sheet="Second") == [("v",)] == rows(data, sheet=2)
    for sheet, said in (("Secnd", "did you mean 'Second'"), (9, "number 9 is asked for")):
        with pytest.raises(InvalidOptionError, match=said):
            table(data, sheet=sheet)
    with pytest.raises(EmptySourceError):
        table(data, sheet="Empty")
    with pytest.raises(EmptySourceError):
        table(xlsx())
    path = tmp_path / "t.xlsx"
    path.write_bytes(data)
    found = read(path, tmp_path / "s", ExcelOptions(sheet="*"))
    assert isinstance(found, InvalidOptionError)


def test_every_sheet_can_become_a_table(engine: PipelineEngine, tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    path.write_bytes(xlsx(["a"], ["x"], make=two_sheets))
    results = engine.ingest_sheets(path, "book")
    assert {sheet: r["log"].table for sheet, r in results.items()} == {
        "Sheet": "book_Sheet",
        "Second": "book_Second",
    }
    assert pl.read_parquet(results["Second"]["staged_path"])["h"].to_list() == ["v"]
    assert len({r["batch_id"] for r in results.values()}) == 2

    def alike(book: openpyxl.Workbook) -> None:
        book.create_sheet("a b")["A1"] = "x"
        book.create_sheet("a_b")["A1"] = "x"

    path.write_bytes(xlsx(["a"], ["x"], make=alike))
    with pytest.raises(JobforgeError, match="two sheets would be one table"):
        engine.ingest_sheets(path, "book")


def test_header_row_and_range_are_selectable() -> None:
    data = xlsx(["Title"], [], ["x", "a", "b"], [None, 1, 2], [None, 3, 4], ["note"])
    assert rows(data, header_row=3)[:2] == [(None, 1, 2), (None, 3, 4)]
    assert table(data, range="B3:C5").frame.to_dict(as_series=False) == {"a": [1, 3], "b": [2, 4]}
    assert rows(data, range="B4:C5", header=False) == [(1, 2), (3, 4)]
    assert table(data, range="B4:C5", header=False).frame.columns == ["column_1", "column_2"]
    with pytest.raises(EmptySourceError):
        table(data, range="X1:Z9")
    for wrong in ({"range": "3:5"}, {"sheet": 0}, {"header_row": 1, "range": "A1:B2"}):
        with pytest.raises(InvalidOptionError):
            ExcelOptions(**wrong)


def test_blank_rows_and_columns_in_front_are_passed_over_and_inside_kept() -> None:
    data = xlsx([], [None, "a", None, "b"], [None, 1, None, 2], [], [None, 3, None, 4])
    found = table(data)
    assert found.frame.columns == ["a", "column_2", "b"]
    assert found.frame.rows() == [(1, None, 2), (None, None, None), (3, None, 4)]
    assert ("header", "row 2") in found.notes


def test_what_was_noticed_is_noted() -> None:
    def decorate(book: openpyxl.Workbook) -> None:
        sheet = book.worksheets[0]
        sheet.merge_cells("A2:A3")
        book.create_sheet("Secret").sheet_state = "hidden"

    found = table(xlsx(["a", "b"], ["x", 1], [None, 2], make=decorate))
    assert ("merged cells", "A2:A3: the value is in the first cell of each") in found.notes
    assert ("hidden sheets", "Secret") in found.notes
    assert found.frame.rows() == [("x", 1), (None, 2)]


def computed(formula: str, value: Any) -> bytes:
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True})
    sheet = book.add_worksheet()
    sheet.write(0, 0, "a")
    sheet.write_formula(1, 0, formula, None, value)
    book.close()
    return buffer.getvalue()


def test_stored_values_of_formulas_are_read_and_noted() -> None:
    for value, held in ((5, 5), ("x", "x"), (True, True)):
        found = table(computed("=1+4", value))
        assert found.frame.rows() == [(held,)]
        assert any(topic == "formulas" for topic, _ in found.notes)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (xlsx(["a", "b"], ["x", "=1+1"]), "formula without a stored value"),
        (computed("=NA()", "#N/A"), "the error #N/A"),
        (xlsx(["a", "b"], ["x", "#DIV/0!"]), "the error #DIV/0!"),
    ],
)
def test_errors_and_missing_values_are_refused_or_null_and_noted(data: bytes, said: str) -> None:
    with pytest.raises(UnsupportedValueError, match=said) as caught:
        table(data)
    assert caught.value.place["cell"] in ("A2", "B2")
    assert caught.value.place["sheet"] in ("Sheet", "Sheet1")
    found = table(data, errors="null")
    assert found.frame.row(0)[-1] is None
    assert any("kept as null: " in text for _, text in found.notes)


@pytest.mark.parametrize(
    ("value", "shown", "written", "said"),
    [
        (7, b"7", b"9007199254740993", "no 64-bit float holds"),
        (7, b"7", b"1e400", "no 64-bit float holds"),
        (7, b"7", b"abc", "no 64-bit float holds"),
        (dt.date(2024, 1, 1), b"45292", b"-1", "do not store reliably"),
        (dt.date(2024, 1, 1), b"45292", b"60", "do not store reliably"),
        (dt.date(2024, 1, 1), b"45292", b"5", "do not store reliably"),
        (dt.date(2024, 1, 1), b"45292", b"2958466", "do not store reliably"),
    ],
)
def test_numbers_and_dates_that_are_not_what_they_seem_are_refused(
    value: object, shown: bytes, written: bytes, said: str
) -> None:
    base = xlsx(["a"], [value])
    old, new = b"<v>" + shown + b"</v>", b"<v>" + written + b"</v>"
    data = rewritten(base, SHEET1, lambda xml: xml.replace(old, new))
    with pytest.raises(UnsupportedValueError, match=said):
        table(data)
    assert rows(base)


def test_bombs_doctypes_and_damage_are_refused_before_a_parser_sees_them() -> None:
    good = xlsx(["a"], ["x"])
    guard_zip(good)
    entity = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    doctype = rewritten(good, "xl/workbook.xml", lambda xml: entity + xml)
    bomb = rewritten(good, SHEET1, lambda xml: xml + b" " * 50_000_000)
    with pytest.raises(MalformedSourceError, match="DOCTYPE"):
        table(doctype)
    with pytest.raises(MalformedSourceError, match="expands more than"):
        table(bomb)
    far = xlsx(["a"], make=lambda book: book.worksheets[0].cell(1_048_576, 16_384, "x"))
    with pytest.raises(UnsupportedValueError, match="XFD1048576"):
        table(far)
    shared = computed("=1", 1)
    texts = rewritten(
        shared,
        "xl/sharedStrings.xml",
        lambda xml: re.sub(rb'uniqueCount="[0-9]+"', b'uniqueCount="4000000000"', xml),
    )
    with pytest.raises(MalformedSourceError, match="declares 4,000,000,000 texts"):
        table(texts)


@pytest.mark.parametrize(
    "cells",
    [
        b'<c r="A2" t="inlineStr"><is><t>x</t></is><v>0</v></c>',
        b'<c r="A2" t="inlineStr"><is><t>x</t></is><is><t>y</t></is></c>',
        b'<c r="A2" t="str"><is><t>x</t></is></c>',
        b'<c r="A2"><v>1</v></c><c r="A2"><v>2</v></c>',
        b'<c r="A2"><v>1<!-- x -->2</v></c>',
    ],
)
def test_cells_that_libraries_read_differently_are_refused(cells: bytes) -> None:
    cell = re.compile(rb'<c r="A2".*?</c>')
    data = rewritten(xlsx(["t"], ["x"]), SHEET1, lambda xml: cell.sub(cells, xml))
    with pytest.raises(UnsupportedValueError, match="cannot be read reliably") as caught:
        table(data)
    assert caught.value.place["cell"] == "A2"


@pytest.mark.parametrize("place", [b"XFE2", b"B1048577", b"ZZZZZZ1"])
def test_cells_beyond_the_end_of_a_sheet_are_refused(place: bytes) -> None:
    data = rewritten(
        xlsx(["t"], ["x"]), SHEET1, lambda xml: xml.replace(b'r="A2"', b'r="' + place + b'"')
    )
    with pytest.raises(MalformedSourceError, match="beyond what a sheet can have"):
        table(data)


def test_a_year_as_a_header_is_a_year() -> None:
    assert table(xlsx([2023, 2024.5, "x"], [1, 2, 3])).frame.columns == ["2023", "2024.5", "x"]


def test_a_blank_row_of_a_range_without_header_is_a_row() -> None:
    data = xlsx([None, None], [1, 2], [3, 4])
    assert rows(data, range="A1:B3", header=False) == [(None, None), (1, 2), (3, 4)]


def test_encrypted_workbooks_are_refused() -> None:
    data = bytearray(xls(["a"], ["x"]))
    name = "Workbook".encode("utf-16le")
    place = data.index(name)
    other = "EncryptedPackage".encode("utf-16le")
    data[place : place + len(other)] = other
    data[place + 64 : place + 66] = (len(other) + 2).to_bytes(2, "little")
    with pytest.raises(UnsupportedValueError, match="encrypted"):
        table(bytes(data), "t.xlsx")


def test_xls_and_ods_hold_their_cells(tmp_path: Path) -> None:
    body: list[list[Any]] = [["code", "x"], ["007", 1.5], [" pad ", 2.0]]
    for name, data in (("t.xls", xls(*body)), ("t.ods", ods(*body))):
        if name == "t.xls":
            assert rows(data, name) == [("007", 1.5), (" pad ", 2.0)]
        else:
            # OpenDocument folds outer blanks, and libraries do not agree on them.
            with pytest.raises(UnsupportedValueError, match="cannot be read reliably"):
                table(data, name)
            data = ods(["code", "x"], ["007", 1.5], ["pad", 2.0])  # noqa: PLW2901 - without them
            assert rows(data, name) == [("007", 1.5), ("pad", 2.0)]
        path = tmp_path / name
        path.write_bytes(data)
        found = read(path, tmp_path / "s")
        assert not isinstance(found, JobforgeError), found
        assert found[1]["code"][0] == "007"


def changed_ods(old: str, new: str) -> bytes:
    """A small OpenDocument workbook with its content changed."""
    made = ods(["a", "b"], ["x", 1.5])
    data = rewritten(made, "content.xml", lambda xml: xml.replace(old.encode(), new.encode()))
    assert data != made
    return data


def test_ods_errors_formulas_and_hidden_sheets_are_seen() -> None:
    value = 'office:value-type="float" office:value="1.5"'
    for new, said in (
        (f'table:formula="of:=NA()" {value} calcext:value-type="error"', "the error"),
        ('table:formula="of:=1+1"', "formula without a stored value"),
        ('office:value-type="float" office:value="9007199254740993"', "no 64-bit float holds"),
        ('office:value-type="time" office:time-value="PT36H00M00S"', "not store reliably"),
    ):
        with pytest.raises(UnsupportedValueError, match=said) as caught:
            table(changed_ods(value, new), "t.ods")
        assert caught.value.place["cell"] == "B2"
    kept = table(changed_ods(value, 'table:formula="of:=1+1"'), "t.ods", errors="null")
    assert kept.frame.row(0)[0] == "x"
    with pytest.raises(UnsupportedValueError, match="encrypted"):
        table(
            with_member(ods(["a"], ["x"]), "META-INF/manifest.xml", b"<encryption-data/>"), "t.ods"
        )


def with_member(data: bytes, name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", 8) as new:
        for member in old.namelist():
            if member != name:
                new.writestr(member, old.read(member))
        new.writestr(name, content)
    return buffer.getvalue()


@given(
    body=st.lists(
        st.tuples(
            st.text(st.characters(min_codepoint=65, max_codepoint=122), min_size=1, max_size=5),
            st.floats(-1e9, 1e9).map(lambda x: round(x, 3) or 0.5),
        ),
        min_size=1,
        max_size=5,
    ),
    kind=st.sampled_from(["xls", "ods"]),
)
def test_cells_of_the_other_formats_come_back(body: list[tuple[str, float]], kind: str) -> None:
    make = {"xls": xls, "ods": ods}[kind]
    found = table(make(["t", "x"], *[list(row) for row in body]), f"t.{kind}").frame
    assert [(text, float(number)) for text, number in found.rows()] == body


def test_a_workbook_with_macros_is_read_like_one_without(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsm"
    path.write_bytes(xlsx(["a"], ["x"]))
    found = read(path, tmp_path / "s")
    assert not isinstance(found, JobforgeError), found
    assert found[1].to_dict(as_series=False) == {"a": ["x"]}


def test_a_child_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hanging.py").write_text("import threading\nthreading.Event().wait()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(isolate, "LIMIT_SECONDS", 0.5)
    with pytest.raises(MalformedSourceError, match="took longer"):
        isolate.call_in_child("hanging", {}, tmp_path / "scratch")


def test_errors_in_xls_name_their_cell() -> None:
    book = xlwt.Workbook()
    sheet = book.add_sheet("S")
    sheet.write(0, 0, "a")
    sheet.row(1).set_cell_error(0, "#DIV/0!")
    buffer = io.BytesIO()
    book.save(buffer)
    with pytest.raises(UnsupportedValueError, match="the error #DIV/0!") as caught:
        table(buffer.getvalue(), "t.xls")
    assert caught.value.place == {"cell": "A2", "sheet": "S"}


def test_a_crash_of_the_parser_is_an_error_of_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that ends by a signal is told as what it is."""
    (tmp_path / "crashing.py").write_text("import os\nos.abort()\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MalformedSourceError, match="exit code -6"):
        call_in_child("crashing", {}, tmp_path / "scratch")
