"""Which reader reads a file: by its options, else by the ending of its name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, cast

from jobforge.errors import InvalidOptionError, UnknownFormatError
from jobforge.readers.base import ReadContext, Reader, ReadOptions, SourceTable
from jobforge.storage.source import SourceFile

ENTRY_POINT_GROUP = "jobforge.readers"

# A reader is loaded when the first file of its format comes.
_BUILT_IN = (
    "jobforge.readers.csv:CsvReader",
    "jobforge.readers.json:JsonReader",
    "jobforge.readers.excel:ExcelReader",
    "jobforge.readers.parquet:ParquetReader",
    "jobforge.readers.ipc:IpcReader",
    "jobforge.readers.fixed_width:FixedWidthReader",
)


def readers() -> Iterator[Reader]:
    """Every reader: those of jobforge, then those that installed packages register.

    A package registers a reader class under the entry point group
    `jobforge.readers`. It cannot take over an ending that is already served.
    """
    yield from map(_built_in, _BUILT_IN)
    # Only a file that none of those reads pays for looking at every installed package.
    from importlib.metadata import entry_points

    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name):
        yield cast("Reader", point.load()())


@cache
def _built_in(address: str) -> Reader:
    module, name = address.split(":")
    return cast("Reader", getattr(import_module(module), name)())


def reader_for(name: str, options: ReadOptions | None) -> Reader:
    """The reader for a file name.

    Args:
        name: The file's name.
        options: Options of a format; they choose the reader, whatever the name.

    Raises:
        UnknownFormatError: No reader knows the ending.
        InvalidOptionError: No reader takes options of this type.
    """
    if options is not None and type(options) is not ReadOptions:
        for reader in readers():
            if type(options) is reader.options:
                return reader
        raise InvalidOptionError(
            f"no reader takes options of type {type(options).__name__}",
            hint="use one of " + ", ".join(reader.options.__name__ for reader in readers()),
        )
    lowered = name.lower()
    for reader in readers():
        if lowered.endswith(reader.suffixes):
            return reader
    # Compressed forms are left out: `.csv.gz` says nothing that `.csv` does not.
    endings = sorted(e for reader in readers() for e in reader.suffixes if e.count(".") == 1)
    raise UnknownFormatError(
        f"no reader is known for a file called {name!r}",
        hint="name its format (read=CsvOptions(), --format csv), or other files ('folder/*.csv'); "
        "known endings are " + " ".join(endings),
    )


def reader_named(name: str) -> Reader:
    """The reader of a format.

    Raises:
        InvalidOptionError: There is no such format.
    """
    for reader in readers():
        if reader.name == name:
            return reader
    raise InvalidOptionError(
        f"there is no format {name!r}",
        hint="the formats are " + ", ".join(reader.name for reader in readers()),
    )


@dataclass(frozen=True)
class Choice:
    """A reader, and options of its own type."""

    reader: Reader
    options: ReadOptions

    def read(self, source: SourceFile, context: ReadContext) -> SourceTable:
        """Read a source.

        Raises:
            SourceError: The file cannot be read exactly.
        """
        return self.reader.read(source, self.options, context)

    def as_read(self, table: SourceTable) -> dict[str, Any] | None:
        """Every option as JSON, with what was found in the file in place of what was not given.

        Given to the options of the format, they read the same bytes in the same
        way. None where an option has a value that is no JSON, as a function has.
        """
        try:
            values = {**self.options.model_dump(mode="json"), **table.resolved}
            known: dict[str, Any] = json.loads(json.dumps(values, allow_nan=False))
        except (TypeError, ValueError):
            return None
        return known


def choose(name: str, options: ReadOptions | None) -> Choice:
    """The reader for a file name, and what it is to be read with.

    Raises:
        UnknownFormatError: No reader knows the ending.
        InvalidOptionError: No reader takes options of this type.
    """
    reader = reader_for(name, options)
    if options is not None and type(options) is reader.options:
        return Choice(reader, options)
    # What was asked for every format is asked of this one.
    rename = {} if options is None else options.rename
    return Choice(reader, reader.options(rename=rename))


def read_source(
    source: SourceFile, options: ReadOptions | None, context: ReadContext
) -> SourceTable:
    """Read a source with the reader that its options or its name ask for.

    Raises:
        SourceError: The file cannot be read exactly.
        InvalidOptionError: The options have no meaning for it.
    """
    return choose(source.name, options).read(source, context)
