"""One file for each trap: what it is, its bytes, and what staged makes of it.

The table in docs/staged.md is made of these.
"""

from __future__ import annotations

import datetime as dt
import gzip
import io
from dataclasses import dataclass, field
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from jobforge.readers.base import ReadOptions
from jobforge.readers.csv import CsvOptions
from jobforge.readers.excel import ExcelOptions


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
    refused("Parquet cut off", "t.parquet", parquet(pa.table({"a": [1]}))[:-9], "JF205"),
    refused("an ending that nobody knows", "t.docx", b"x", "JF204"),
]
