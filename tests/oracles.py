"""Independent judges of what a file holds; none of them is code under test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from jobforge.errors import JobforgeError
from jobforge.readers.base import RECORD, ReadContext, ReadOptions, SourceTable
from jobforge.readers.registry import read_source
from jobforge.storage.source import SourceFile


class Broken(Exception):  # noqa: N818 - a verdict of the judge, not an error of the code
    """The text breaks a rule of the dialect."""


def csv_cells(text: str, delimiter: str = ",", quote: str = '"') -> list[list[str | None]]:
    """Records of delimited text, one character at a time; an empty unquoted cell is None.

    Raises:
        Broken: The text breaks a rule.
    """
    records: list[list[str | None]] = []
    record: list[str | None] = []
    cell, state = "", "start"
    at = 0
    while at <= len(text):
        char = text[at] if at < len(text) else "END"
        at += 1
        if state == "quoted" or (state == "closing" and char == quote):
            if char == "END":
                raise Broken("never closed")
            if state == "quoted" and char == quote:
                state = "closing"
            else:
                cell, state = cell + char, "quoted"
            continue
        if char == "\r" and text[at : at + 1] == "\n":
            char = "\n"
            at += 1
        if char in (delimiter, "\n", "END"):
            if char == "END" and state == "start" and not record:
                break
            blank = char != delimiter and not record and state == "start"
            record.append(cell if state == "closing" else (cell or None))
            cell, state = "", "start"
            if char != delimiter:
                records.append([] if blank else record)
                record = []
        elif char == quote and state == "start":
            state = "quoted"
        elif state == "closing" or char in (quote, "\r"):
            raise Broken(f"{char!r} in the wrong place")
        else:
            cell, state = cell + char, "plain"
    return records


def read(
    path: Path, scratch: Path, options: ReadOptions | None = None
) -> tuple[SourceTable, pl.DataFrame] | JobforgeError:
    """What the reader makes of a file: a table and its rows, or the refusal."""
    try:
        table = read_source(SourceFile(path), options, ReadContext(scratch))
        return table, table.frame.collect(engine="streaming")
    except JobforgeError as error:
        return error


def values(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    """Rows without the record number."""
    return frame.drop(RECORD, strict=False).rows()


def damages(data: bytes, seeds: list[tuple[int, int]]) -> Iterator[bytes]:
    """Copies of some bytes with one of them changed, one left out, and a tail cut off."""
    for place, byte in seeds:
        at = place % len(data)
        yield data[:at] + bytes([byte]) + data[at + 1 :]
        yield data[:at] + data[at + 1 :]
        yield data[:at]
