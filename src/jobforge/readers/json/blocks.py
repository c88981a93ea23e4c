"""Records of a JSON source in blocks that can be read again, with the text of their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from jobforge.errors import MalformedSourceError
from jobforge.readers.json.parse import parse_lines
from jobforge.readers.places import Checkpoint, spread

_BLOCK_BYTES = 8 << 20
_BLOCK_ROWS = 20_000
MAX_LINE = 1 << 30
Records = list[dict[str, Any]]


class Blocks(Protocol):
    """Where records come from."""

    def first_pass(self) -> Iterator[Records]:
        """Every record once, in blocks."""
        ...

    def again(self, number: int) -> Records:
        """The records of one block (0-based) once more, with the text of their numbers."""
        ...


class Document:
    """Records that one JSON document holds; they are in memory already."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def first_pass(self) -> Iterator[Records]:
        """See `Blocks`."""
        for start in range(0, len(self._records), _BLOCK_ROWS):
            yield self._records[start : start + _BLOCK_ROWS]

    def again(self, number: int) -> Records:
        """See `Blocks`."""
        return self._records[number * _BLOCK_ROWS : (number + 1) * _BLOCK_ROWS]


@dataclass
class Lines:
    """Records that stand one on each line (newline-delimited JSON).

    Args:
        path: UTF-8 text.
        bom: Bytes of a byte order mark to pass over.
    """

    path: Path
    bom: int
    blank: int = 0
    _starts: list[tuple[int, int, int]] = field(default_factory=list)
    """Offset, bytes and number of the first line of each block."""
    _marks: list[Checkpoint] = field(default_factory=list)

    def first_pass(self) -> Iterator[Records]:
        """See `Blocks`; memory does not grow with the number of lines."""
        offset, line, record = self.bom, 1, 1
        with self.path.open("rb") as file:
            file.seek(offset)
            while data := self._block(file.read(_BLOCK_BYTES), file):
                lines = _split(data)
                kept = [text for text in lines if text.strip()]
                self.blank += len(lines) - len(kept)
                if kept:
                    self._starts.append((offset, len(data), line))
                    self._marks.append(Checkpoint(record, offset, line))
                    yield self._parse(lines, kept, line, lossless=False)
                offset += len(data)
                line += len(lines)
                record += len(kept)

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """From where records can be read on, once every one was read."""
        return spread(self._marks, self.path.stat().st_size)

    def again(self, number: int) -> Records:
        """See `Blocks`."""
        offset, size, line = self._starts[number]
        with self.path.open("rb") as file:
            file.seek(offset)
            lines = _split(file.read(size))
        kept = [text for text in lines if text.strip()]
        return self._parse(lines, kept, line, lossless=True)

    @staticmethod
    def _block(data: bytes, file: Any) -> bytes:  # noqa: ANN401 - an open binary file
        """Bytes up to a line end."""
        if not data or data.endswith(b"\n"):
            return data
        rest: bytes = file.readline(MAX_LINE)
        if len(rest) >= MAX_LINE:
            raise MalformedSourceError(
                f"a line is longer than {MAX_LINE:,} bytes",
                hint="a file that is one JSON document begins with [ or is one object",
            )
        return data + rest

    @staticmethod
    def _parse(lines: list[bytes], kept: list[bytes], line: int, *, lossless: bool) -> Records:
        if len(kept) == len(lines):
            return parse_lines(kept, line, lossless=lossless)
        # With blank lines in between, each line is parsed under its own number.
        numbered = [(text, number) for number, text in enumerate(lines, line) if text.strip()]
        records: Records = []
        for text, number in numbered:
            records += parse_lines([text], number, lossless=lossless)
        return records


def _split(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines
