"""What the bytes of delimited text are like: is their structure regular, and what is their hash?

Where it is regular, Polars' own parser is known to give exactly the cells of
a strict reader, at full speed; where it is not, the records are read one by
one. Nothing here has to find the place of a fault: the exact reader does.

Regular means: valid UTF-8 without NUL, every record with the same number of
fields, records ended by LF or CRLF, no blank line, and every quote where RFC
4180 has it: around a whole field, doubled inside.
"""

from __future__ import annotations

import codecs
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from jobforge.readers.csv.records import Dialect, records_in
from jobforge.readers.places import Checkpoint

SMALL = 1 << 16
"""Bytes up to which the records are looked at sooner than numpy is imported."""

_MARK = codecs.BOM_UTF8
# Polars tells zlib data by its first bytes, and these are plain ASCII.
_ZLIB_LOOKALIKES = (b"x\x01", b"x^")


@dataclass(frozen=True)
class Structure:
    """What the bytes of a file are like.

    Args:
        regular: Whether Polars reads the file exactly.
        records: Records, the header among them; meaningless where not regular.
        sha256: Of every byte of the file.
        crlf: Records that end with CRLF.
        quoted: Whether there are quotes.
        quoted_newlines: Whether quoted fields hold line ends.
    """

    regular: bool
    records: int
    sha256: str
    crlf: int
    quoted: bool
    quoted_newlines: bool
    blank_end: int = 0
    """Blank lines at the end of the file, which are no records."""
    checkpoints: tuple[Checkpoint, ...] = ()
    """Beginnings of records, where regular; the header counts as one."""


def by_records(
    path: Path, columns: int, dialect: Dialect, *, start: int, data_start: int
) -> Structure:
    """Look at a small file as the exact reader does.

    `scan.by_blocks` says the same of a file of any size, and what the arguments are.
    """
    data = path.read_bytes()
    blank = blank_end(data, columns)
    regular = readable(data, data[data_start:] if data_start else b"")
    records = crlf = 0
    quoted = newlines = False
    for record in records_in(io.BytesIO(data[start : len(data) - len(blank)]), dialect):
        raw = record.raw
        records += 1
        crlf += raw.endswith("\r\n")
        quoted |= dialect.quote is not None and dialect.quote in raw
        newlines |= "\n" in raw.rstrip("\r\n")
        regular &= record.kind == "data" and not record.fault and not raw.endswith("\r")
        regular &= len(record.fields) == columns and len(raw.encode()) <= dialect.max_record
        if not regular:
            break
    return Structure(
        regular,
        records,
        hashlib.sha256(data).hexdigest(),
        crlf,
        quoted,
        newlines,
        blank.count(b"\n"),
    )


def readable(first: bytes, data: bytes) -> bool:
    """Whether Polars takes the beginning of a file, and that of its data, for what they are.

    Args:
        first: The first bytes of the file.
        data: The first bytes of the data records, where others stand before them.
    """
    # Polars drops a byte order mark at the start of the data too.
    return not data.startswith(_MARK) and not first.startswith(_ZLIB_LOOKALIKES)


def blank_end(tail: bytes, columns: int) -> bytes:
    """Line ends at the end of a file beyond that of the last record.

    Args:
        tail: The last bytes of the file.
        columns: Of its records; where it has one, a blank line may be a record.
    """
    kept = tail.rstrip(b"\r\n") if columns > 1 else b""
    ends = tail[len(kept) :]
    first = 2 if ends.startswith(b"\r\n") else 1
    blank = ends[first:]
    return blank if kept and blank.replace(b"\r\n", b"\n").strip(b"\n") == b"" else b""
