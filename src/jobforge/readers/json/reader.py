"""The reader for JSON: an array of objects, one object, or one object a line."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from jobforge.errors import (
    EmptySourceError,
    InvalidOptionError,
    MalformedSourceError,
    UnsupportedValueError,
    nearest,
)
from jobforge.readers.base import ReadContext, ReadOptions, SourceNote, SourceTable
from jobforge.readers.frames import lazy_frames
from jobforge.readers.json.blocks import Blocks, Document, Lines, Records
from jobforge.readers.json.columns import AS_TEXT, DTYPES, Kind, as_text, build, join, widen
from jobforge.readers.json.lookup import (
    places_in_document,
    places_on_lines,
    record_on_line,
    records_on_line,
)
from jobforge.readers.json.parse import parse_document
from jobforge.readers.places import RecordPlace, in_order
from jobforge.readers.text import COMPRESSIONS, PlainText, as_utf8
from jobforge.storage.source import SourceFile

_ENDINGS = (".json", ".ndjson", ".jsonl", ".jsonlines", ".geojson")
MAX_KEYS = 2_000
"""Columns that a table from JSON may have."""
_KIND_NOTES = {
    Kind.NUMBER: "numbers that 64 bits do not hold, kept as text",
    Kind.NESTED: "objects or arrays, kept as JSON text",
    Kind.MIXED: "values of different kinds, each kept as JSON text",
}


class JsonOptions(ReadOptions):
    """How JSON is to be read; the defaults fit most files.

    Raises:
        InvalidOptionError: An option is unknown, or its value makes no sense.
    """

    records_path: str | None = None
    """Where the array of records is in a document: names joined by dots, as in `data.items`."""
    encoding: str | None = None
    """UTF-8, or what a byte order mark says, unless given."""


class JsonReader:
    """JSON of every shape that is a table, whatever the file's ending says.

    Lines are read in blocks, so that memory does not grow with their number.
    A document (an array, or an object over several lines) is held in memory
    as Python values, some ten times its bytes.
    """

    name: ClassVar[str] = "json"
    suffixes: ClassVar[tuple[str, ...]] = tuple(
        ending + packed for ending in _ENDINGS for packed in ("", *COMPRESSIONS)
    )
    options: ClassVar[type[ReadOptions]] = JsonOptions

    def read(self, source: SourceFile, options: JsonOptions, context: ReadContext) -> SourceTable:
        """See `Reader.read`; types are decided over all records (`readers.json.columns`)."""
        text = as_utf8(source, options.encoding, context)
        blocks, shape = _blocks(text, options)
        spool = _Spool(blocks, context, source)
        spool.fill()
        if not spool.kinds:
            raise EmptySourceError(
                "the file holds no record with a key",
                hint="a table needs at least one object with one key",
            )
        if spool.rows == 1 and isinstance(blocks, Lines):
            shape = "one object"
        notes = [*text.notes, SourceNote("shape", shape), *spool.notes()]
        if isinstance(blocks, Lines) and blocks.blank:
            notes.append(SourceNote("blank lines", f"{blocks.blank} passed over"))
        return SourceTable(
            spool.frame(),
            spool.rows,
            tuple(notes),
            encoded=frozenset(spool.encoded()),
            resolved={"encoding": text.encoding},
            detected={**text.detected, "shape": shape},
            checkpoints=blocks.checkpoints() if isinstance(blocks, Lines) else (),
        )

    def places(
        self,
        source: SourceFile,
        options: JsonOptions,
        records: Sequence[int],
        context: ReadContext,
    ) -> list[RecordPlace]:
        """See `Locating.places`; a document is parsed again up to the last of the records."""
        text = as_utf8(source, options.encoding, context)
        in_file = text.path == source.path
        if _on_lines(text, options):
            found = places_on_lines(text, records, context.checkpoints, in_file=in_file)
        else:
            found = places_in_document(text, options.records_path, records, in_file=in_file)
        return in_order(found, records, source.name)

    def records_at(
        self, source: SourceFile, options: JsonOptions, line: int, context: ReadContext
    ) -> range:
        """See `Locating.records_at`; a line of a document may have a part of many records."""
        text = as_utf8(source, options.encoding, context)
        if _on_lines(text, options):
            return record_on_line(text, line, context.checkpoints)
        return records_on_line(text, options.records_path, line)


def _blocks(text: PlainText, options: JsonOptions) -> tuple[Blocks, str]:
    """The records, by what the file begins with."""
    if _on_lines(text, options):
        return Lines(text.path, text.bom), "one object a line"
    with text.path.open("rb") as file:
        file.seek(text.bom)
        document = parse_document(file.read())
    return _document(document, options)


def _on_lines(text: PlainText, options: JsonOptions) -> bool:
    """Whether the file has an object on each line, by what it begins with."""
    with text.path.open("rb") as file:
        file.seek(text.bom)
        first = b""
        while not first.strip():
            line = file.readline(64 << 20)
            if not line:
                raise EmptySourceError(
                    "the file holds nothing but white space", hint="look at how it was made"
                )
            first = line
    return options.records_path is None and first.lstrip().startswith(b"{") and _complete(first)


def _complete(line: bytes) -> bool:
    """Whether a line is a JSON value of its own, or is not meant to be part of a larger one."""
    try:
        parse_document(line)
    except MalformedSourceError:
        # A document over several lines has its first line end within the object.
        return not line.rstrip().endswith((b"{", b"[", b",", b":")) and line.rstrip().endswith(b"}")
    return True


def _document(document: Any, options: JsonOptions) -> tuple[Blocks, str]:  # noqa: ANN401 - any JSON value
    shape = "one object" if isinstance(document, dict) else "an array of objects"
    found = document
    if options.records_path is not None:
        shape = f"an array of objects at {options.records_path}"
        for name in options.records_path.split("."):
            if not isinstance(found, dict) or name not in found:
                known = list(found) if isinstance(found, dict) else []
                raise InvalidOptionError(
                    f"records_path: there is no {name!r} in the document",
                    hint=nearest(name, known) if known else "there is no object at that place",
                )
            found = found[name]
    records = [found] if isinstance(found, dict) else found
    if not isinstance(records, list):
        raise MalformedSourceError(
            f"the document is {_describe(records)}, not an array of objects",
            hint="name the place of the array: records_path='data.items'",
        )
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise MalformedSourceError(
                f"the record is {_describe(record)}, not an object",
                hint="every record of a table is an object with keys",
                record=number,
            )
    return Document(records), shape


def _describe(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


class _Spool:
    """Typed columns of every block, on their way through temporary files."""

    def __init__(self, blocks: Blocks, context: ReadContext, source: SourceFile) -> None:
        self._blocks, self._context, self._source = blocks, context, source
        self._files: list[Path] = []
        self._types: dict[Path, pl.Schema] = {}
        self._sizes: list[int] = []
        self._missing: Counter[str] = Counter()
        self._places: dict[str, str] = {}
        self.kinds: dict[str, Kind] = {}
        self.rows = 0

    def fill(self) -> None:
        """Read every record once and find the kind of each key."""
        for records in self._blocks.first_pass():
            self._add(records)
            self._context.progress(f"reading {self._source.name} (records)", self.rows, None)
        # An integer of one block may not be exact in a column of floats.
        for name, kind in self.kinds.items():
            if kind is Kind.FLOAT and any(self._lossy(name, path) for path in self._files):
                self.kinds[name] = Kind.NUMBER

    def frame(self) -> pl.LazyFrame:
        """The columns in their final types, block by block."""
        schema = pl.Schema({name: DTYPES[kind] for name, kind in self._named().items()})
        return lazy_frames(schema, lambda: map(self._block, range(len(self._files))))

    def encoded(self) -> Iterator[str]:
        """Columns whose text is JSON text."""
        return (name for name, kind in self._named().items() if kind in AS_TEXT)

    def notes(self) -> Iterator[SourceNote]:
        """Types that are kept as text, keys that some records lack, names that were made."""
        for name, kind in self.kinds.items():
            if kind in _KIND_NOTES:
                yield SourceNote("types", f"{name}: {_KIND_NOTES[kind]}")
        for name in self.kinds:
            if self._missing[name]:
                text = f"{name}: {self._missing[name]} of {self.rows} records do not have the key"
                yield SourceNote("missing keys", text)
        if "" in self.kinds:
            yield SourceNote("header", f"the empty key is called {self._name('')!r}")

    def _add(self, records: Records) -> None:
        names = dict.fromkeys(chain.from_iterable(records))
        if set(map(len, records)) != {len(names)}:
            present = Counter(chain.from_iterable(records))
        else:
            present = Counter(dict.fromkeys(names, len(records)))
        for name in names:
            if name not in self.kinds:
                self._missing[name] = self.rows
        columns = {}
        if len(self.kinds) + len(names) > MAX_KEYS:
            self._check_keys(names)
        for name in names:
            kind, values = build([record.get(name) for record in records])
            self.kinds[name] = join(self.kinds.get(name, Kind.NULL), kind)
            if values is not None:
                columns[self._column(name)] = values
        for name in self.kinds:
            self._missing[name] += len(records) - present[name]
        self._write(columns, len(records))

    def _check_keys(self, names: dict[str, None]) -> None:
        keys = len({*self.kinds, *names})
        if keys > MAX_KEYS:
            raise UnsupportedValueError(
                f"the records have more than {MAX_KEYS:,} different keys",
                hint="keys that are values want another form: {'key': ..., 'value': ...}",
            )

    def _write(self, columns: dict[str, pl.Series], rows: int) -> None:
        self._context.scratch.mkdir(parents=True, exist_ok=True)
        path = self._context.scratch / f"{uuid.uuid4().hex}.arrow"
        block = pl.DataFrame(columns)
        block.write_ipc(path)
        self._types[path] = block.schema
        self._files.append(path)
        self._sizes.append(rows)
        self.rows += rows

    def _lossy(self, name: str, path: Path) -> bool:
        key = self._column(name)
        if self._types[path].get(key) != pl.Int64:
            return False
        return widen(pl.read_ipc(path)[key], Kind.FLOAT) is None

    def _column(self, key: str) -> str:
        """The name of a key's column in temporary files: keys may be odd, numbers are not."""
        return self._places.setdefault(key, f"c{len(self._places)}")

    def _named(self) -> dict[str, Kind]:
        return {self._name(name): kind for name, kind in self.kinds.items()}

    def _name(self, key: str) -> str:
        if key:
            return key
        position = list(self.kinds).index("") + 1
        name = f"column_{position}"
        while name in self.kinds:
            name += "_"
        return name

    def _block(self, number: int) -> pl.DataFrame:
        stored = pl.read_ipc(self._files[number])
        size = self._sizes[number]
        again: Records | None = None
        columns = []
        for key, kind in self.kinds.items():
            name = self._name(key)
            if kind in AS_TEXT:
                again = self._blocks.again(number) if again is None else again
                values = as_text([record.get(key) for record in again])
            elif self._column(key) in stored.columns:
                values = stored[self._column(key)].cast(DTYPES[kind])
            else:
                values = pl.Series([None] * size, dtype=DTYPES[kind])
            columns.append(values.alias(name))
        return pl.DataFrame(columns)
