"""One file for each trap: what it is, its bytes, and what staged makes of it.

The table in docs/staged.md is made of these.
"""

from __future__ import annotations

import bz2
import datetime as dt
import gzip
import io
import zipfile
from dataclasses import dataclass, field
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from jobforge.readers.base import ReadOptions
from jobforge.readers.csv import CsvOptions
from jobforge.readers.excel import ExcelOptions
from jobforge.readers.json import JsonOptions


@dataclass(frozen=True)
class Trap:
    """One file.

    Args:
        what: The trap, for a person.
        name: Of the file.
        data: Its bytes.
        outcome: `values`, followed by the rows of the table, or `refused` with
            the place; for a person too.
        rows: What the table holds; None where the file is refused.
        code: Code of the error; empty where it is read.
        place: Part of the error's place.
        options: To read it with.
    """

    what: str
    name: str
    data: bytes
    outcome: str
    rows: list[tuple[Any, ...]] | None = None
    code: str = ""
    place: dict[str, Any] = field(default_factory=dict)
    options: ReadOptions | None = None


def read(
    what: str,
    name: str,
    data: bytes,
    outcome: str,
    rows: list[tuple[Any, ...]],
    options: ReadOptions | None = None,
) -> Trap:
    return Trap(what, name, data, outcome, rows, options=options)


def refused(
    what: str, name: str, data: bytes, code: str, options: ReadOptions | None = None, **place: Any
) -> Trap:
    where = ", ".join(f"{key} {value}" for key, value in place.items())
    outcome = f"refused ({code}{', ' + where if where else ''})"
    return Trap(what, name, data, outcome, None, code, place, options)


def workbook(*rows: list[Any], sheets: int = 1) -> bytes:
    book = openpyxl.Workbook()
    for number in range(sheets):
        sheet = book.worksheets[0] if number == 0 else book.create_sheet()
        for row in rows:
            sheet.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def parquet(table: pa.Table, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(f"{name}.csv", "a\n1\n")
    return buffer.getvalue()


def decorated(
    *, merge: str = "", hidden: bool = False, epoch: bool = False, part: bytes = b""
) -> bytes:
    """A workbook with one thing that is worth a note, or a part that is a trap."""
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.append(["a", "b"])
    if epoch:
        book.epoch = CALENDAR_MAC_1904
    sheet.append(["x", dt.date(2024, 2, 29) if epoch else "y"])
    if merge:
        sheet.merge_cells(merge)
    if hidden:
        book.create_sheet("Secret").sheet_state = "hidden"
    buffer = io.BytesIO()
    book.save(buffer)
    if part:
        with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("xl/extra.xml", part)
    return buffer.getvalue()


def wrong_page() -> bytes:
    table = pa.table({"a": [f"value {n}" for n in range(500)]})
    data = bytearray(
        parquet(table, write_page_checksum=True, compression="none", use_dictionary=False)
    )
    data[data.index(b"value 400")] ^= 1
    return bytes(data)


LIMITED = CsvOptions(max_record=50)
DOCTYPE = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x/>'
A2: dict[str, Any] = {"sheet": "Sheet", "cell": "A2"}
KEPT = "kept as it stands"
TRAPS = [
    read("text that looks like a number", "t.csv", b"a\n007\n1E-7\n", KEPT, [("007",), ("1E-7",)]),
    read("words that mean null elsewhere", "t.csv", b"a,b\nNA,null\n", KEPT, [("NA", "null")]),
    read("empty and quoted empty", "t.csv", b'a,b\n,""\n', "null and empty text", [(None, "")]),
    read("blanks around a field", "t.csv", b"a,b\n x ,y\n", KEPT, [(" x ", "y")]),
    read("line ends inside quotes", "t.csv", b'a,b\n"x\r\ny",z\n', KEPT, [("x\r\ny", "z")]),
    read("CRLF and LF in one file", "t.csv", b"a,b\r\n1,2\n", "read, noted", [("1", "2")]),
    read("lines that end with CR", "t.csv", b"a,b\r1,2\r", "read, noted", [("1", "2")]),
    read("a byte order mark", "t.csv", b"\xef\xbb\xbfa,b\n1,2\n", "read, noted", [("1", "2")]),
    read("UTF-16 with its mark", "t.csv", "a\né\n".encode("utf-16"), "read, noted", [("é",)]),
    refused("bytes that are not UTF-8", "t.csv", b"a\nx\n\xe9\n", "JF205", line=3),
    read("semicolons", "t.csv", b"a;b\n1;2,5\n", "read, noted", [("1", "2,5")]),
    refused("two delimiters that fit", "t.csv", b"a;b|c\n1;2|3\n", "JF209"),
    read("two columns of one name", "t.csv", b"a,a\n1,2\n", "second is `a_2`, noted", [("1", "2")]),
    read("a column without a name", "t.csv", b"a,\n1,2\n", "`column_2`, noted", [("1", "2")]),
    refused("a short record", "t.csv", b"a,b\n1,2\n3\n", "JF205", line=3),
    refused("a long record", "t.csv", b"a,b\n1,2,3\n", "JF205", line=2),
    read(
        "a short record, `bad_rows='quarantine'`",
        "t.csv",
        b"a,b\n1,2\n3\n",
        "kept raw in quarantine",
        [("1", "2")],
        CsvOptions(bad_rows="quarantine"),
    ),
    refused("a quote that is never closed", "t.csv", b'a,b\n1,"2\n3,4\n', "JF205", line=2),
    refused("text after a closing quote", "t.csv", b'a,b\n"1"x,2\n', "JF205", line=2),
    refused("a quote inside a field", "t.csv", b'a,b\n1,2"\n', "JF205", line=2),
    refused("a NUL byte", "t.csv", b"a,b\n1,\0\n", "JF205", line=2),
    refused("a lone carriage return", "t.csv", b"a,b\n1,2\r3,4\n", "JF205", line=2),
    read("blank lines", "t.csv", b"a,b\n\n1,2\n\n", "passed over, noted", [("1", "2")]),
    refused("a blank line in one column", "t.csv", b"a\n1\n\n2\n", "JF205", line=3),
    read("a header and no record", "t.csv", b"a,b\n", "a table without rows", []),
    refused("no bytes", "t.csv", b"", "JF203"),
    refused("gzip data cut off", "t.csv.gz", gzip.compress(b"a\n1\n" * 99)[:-9], "JF205"),
    refused("zstandard cut off", "t.csv.zst", zstandard.compress(b"a\n1\n" * 99)[:-3], "JF205"),
    read("UTF-32 with its mark", "t.csv", "a\né\n".encode("utf-32"), "read, noted", [("é",)]),
    read(
        "another encoding, `encoding='cp1252'`",
        "t.csv",
        "a\né\n".encode("cp1252"),
        "read, noted",
        [("é",)],
        CsvOptions(encoding="cp1252"),
    ),
    read(
        "comments, `comment='#'`",
        "t.csv",
        b"#x\na,b\n1,2\n",
        "passed over, noted",
        [("1", "2")],
        CsvOptions(comment="#"),
    ),
    read(
        "a title, `skip_lines=1`",
        "t.csv",
        b"Title\na,b\n1,2\n",
        "passed over, noted",
        [("1", "2")],
        CsvOptions(skip_lines=1),
    ),
    read(
        "no header, `header=False`",
        "t.csv",
        b"1,2\n",
        "`column_1`, `column_2`",
        [("1", "2")],
        CsvOptions(header=False),
    ),
    refused("a record past the limit", "t.csv", b"a,b\n1," + b"x" * 99, "JF205", LIMITED, line=2),
    read("bzip2", "t.csv.bz2", bz2.compress(b"a\n1\n"), "read, noted", [("1",)]),
    read("a zip with one file", "t.csv.zip", zipped("a"), "read, noted", [("1",)]),
    refused("a zip with two files", "t.csv.zip", zipped("a", "b"), "JF209"),
    refused("a column of a name of ours", "t.csv", b"_layer\n1\n", "JF207"),
    read("a key first seen late", "t.json", b'{"a":1}\n{"b":2}', KEPT, [(1, None), (None, 2)]),
    read(
        "integers beyond 64 bits",
        "t.json",
        b'[{"a":12345678901234567890}]',
        "text of the number, noted",
        [("12345678901234567890",)],
    ),
    read(
        "a number that no float holds",
        "t.json",
        b'[{"a":82544000000000707.52}]',
        "text of the number, noted",
        [("82544000000000707.52",)],
    ),
    read('`1` and `"1"`', "t.json", b'[{"a":1},{"a":"1"}]', "JSON text, noted", [("1",), ('"1"',)]),
    read("nested values", "t.json", b'[{"a":{"b":1.10}}]', "JSON text, noted", [('{"b":1.10}',)]),
    refused("two equal keys", "t.json", b'[{"a":1,"a":2}]', "JF205", line=1),
    refused("JSON cut off", "t.json", b'[{"a":1', "JF205", line=1),
    read(
        "records inside, `records_path='data.items'`",
        "t.json",
        b'{"data":{"items":[{"a":1}]}}',
        "read, noted",
        [(1,)],
        JsonOptions(records_path="data.items"),
    ),
    read(
        "a key that is missing, and a null",
        "t.json",
        b'[{"a":null,"b":1},{"b":2}]',
        "both null, the missing ones counted and noted",
        [(None, 1), (None, 2)],
    ),
    refused("NaN", "t.json", b'[{"a":NaN}]', "JF205", line=1),
    refused("a trailing comma", "t.json", b'[{"a":1},]', "JF205", line=1),
    refused("half a surrogate pair", "t.json", b'[{"a":"\\ud800"}]', "JF205", line=1),
    refused("100,000 levels", "t.json", b"[" * 100_000, "JF205", line=1),
    read("text in a workbook", "t.xlsx", workbook(["a"], ["007"]), KEPT, [("007",)]),
    read(
        "late text among numbers",
        "t.xlsx",
        workbook(["a"], [7], ["7"]),
        "text, noted",
        [("7",), ('"7"',)],
    ),
    read(
        "a date",
        "t.xlsx",
        workbook(["a"], [dt.date(2024, 2, 29)]),
        "a Date",
        [(dt.date(2024, 2, 29),)],
    ),
    refused(
        "an error cell", "t.xlsx", workbook(["a"], ["#N/A"]), "JF206", sheet="Sheet", cell="A2"
    ),
    refused(
        "a formula without a value",
        "t.xlsx",
        workbook(["a"], ["=1+1"]),
        "JF206",
        sheet="Sheet",
        cell="A2",
    ),
    read(
        "an error cell, `errors='null'`",
        "t.xlsx",
        workbook(["a", "b"], ["x", "#N/A"]),
        "null, the cell noted",
        [("x", None)],
        ExcelOptions(errors="null"),
    ),
    read(
        "an elapsed time",
        "t.xlsx",
        workbook(["a"], [dt.timedelta(hours=30)]),
        "a Duration",
        [(dt.timedelta(hours=30),)],
    ),
    read(
        "merged cells",
        "t.xlsx",
        decorated(merge="A2:B2"),
        "value in the first, noted",
        [("x", None)],
    ),
    read("a hidden sheet", "t.xlsx", decorated(hidden=True), "noted", [("x", "y")]),
    read(
        "dates counted from 1904",
        "t.xlsx",
        decorated(epoch=True),
        "right, noted",
        [("x", dt.date(2024, 2, 29))],
    ),
    refused("a DOCTYPE in a workbook", "t.xlsx", decorated(part=DOCTYPE), "JF205"),
    refused("a zip bomb", "t.xlsx", decorated(part=b" " * 50_000_000), "JF205"),
    refused("two filled sheets", "t.xlsx", workbook(["a"], [1], sheets=2), "JF209"),
    refused("a CSV called .xls", "t.xls", b"a,b\n1,2\n", "JF205"),
    read(
        "decimals, times, lists",
        "t.parquet",
        parquet(pa.table({"a": pa.array([dt.time(1, 2)], pa.time32("ms")), "b": [[1, None]]})),
        KEPT,
        [(dt.time(1, 2), [1, None])],
    ),
    read(
        "a map with a repeated key",
        "t.parquet",
        parquet(pa.table({"a": pa.array([[("k", 1), ("k", 2)]], pa.map_(pa.string(), pa.int8()))})),
        "list of key and value, noted",
        [([{"key": "k", "value": 1}, {"key": "k", "value": 2}],)],
    ),
    refused(
        "two columns of one name in Parquet",
        "t.parquet",
        parquet(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["c", "c"])),
        "JF206",
    ),
    read(
        "INT96 timestamps",
        "t.parquet",
        parquet(
            pa.table({"a": pa.array([dt.datetime(1500, 1, 1)], pa.timestamp("us"))}),
            use_deprecated_int96_timestamps=True,
        ),
        "in the unit that holds them, noted",
        [(dt.datetime(1500, 1, 1),)],
    ),
    refused(
        "a time zone that nobody knows",
        "t.parquet",
        parquet(pa.table({"a": pa.array([0]).cast(pa.timestamp("us", "-05:30"))})),
        "JF206",
        column="a",
    ),
    refused("a page whose checksum is wrong", "t.parquet", wrong_page(), "JF205", row_group=0),
    refused(
        "an encrypted footer", "t.parquet", parquet(pa.table({"a": [1]}))[:-4] + b"PARE", "JF205"
    ),
    refused("Parquet cut off", "t.parquet", parquet(pa.table({"a": [1]}))[:-9], "JF205"),
    refused("an ending that nobody knows", "t.docx", b"x", "JF204"),
]
