"""Parquet files as encoded columns, which can be put together to other files as they are.

Format: Apache Parquet, `parquet.thrift` and `PageIndex.md`. Only the metadata
are read and written here, and nothing of a value is decoded.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from jobforge.storage.compact import CompactError, Field, Items, Struct, decode, encode

_MAGIC = b"PAR1"
_TAIL = struct.Struct("<i4s")
_I64, _BINARY, _LIST, _STRUCT = 6, 8, 9, 12
_COPIED = 1 << 20
"""Bytes copied at a time."""

# Numbers of fields in parquet.thrift.
_FILE_SCHEMA, _FILE_ROWS, _FILE_GROUPS = 2, 3, 4
_ELEMENT_NAME, _ELEMENT_CHILDREN = 4, 5
_GROUP_CHUNKS, _GROUP_BYTES, _GROUP_ROWS, _GROUP_OFFSET, _GROUP_COMPRESSED = 1, 2, 3, 5, 6
_CHUNK_FILE_OFFSET, _CHUNK_META, _CHUNK_CRYPTO = 2, 3, 8
_OFFSET_INDEX, _COLUMN_INDEX = (4, 5), (6, 7)
_META_PATH, _META_PLAIN_SIZE, _META_SIZE = 3, 6, 7
_META_DATA, _META_INDEX, _META_DICTIONARY, _META_BLOOM = 9, 10, 11, (14, 15)
_PAGES, _PAGE_OFFSET = 1, 1


class NotSplicedError(Exception):
    """The columns do not fit together; the file has to be written another way."""


@dataclass(frozen=True)
class Chunk:
    """The values of one leaf of a column in one row group, encoded.

    Args:
        file: The file that they stand in.
        form: What the footer of that file says of them.
        element: What its schema says of them.
    """

    file: BinaryIO
    form: Struct
    element: Struct

    @property
    def meta(self) -> Struct:
        """The part of the form that readers use."""
        meta: Struct = self.form[_CHUNK_META].value
        return meta

    @property
    def start(self) -> int:
        """Where the values, or their dictionary, begin in the file."""
        places = [self.meta[at].value for at in (_META_DATA, _META_DICTIONARY) if at in self.meta]
        return int(min(places))

    @property
    def size(self) -> int:
        """Bytes."""
        return int(self.meta[_META_SIZE].value)

    def data(self) -> bytes:
        """The encoded values."""
        return _read(self.file, self.start, self.size)


@dataclass(frozen=True)
class Group:
    """A row group: the leaves of each column by the name of the column, and the number of rows."""

    rows: int
    columns: Mapping[str, list[Chunk]]


def read_groups(path: Path, stack: ExitStack) -> list[Group]:
    """The row groups of a file.

    Args:
        path: A Parquet file.
        stack: Keeps the file open for as long as the columns are needed.

    Raises:
        NotSplicedError: It is no Parquet file, or encrypted.
        OSError: It cannot be read.
    """
    file = stack.enter_context(path.open("rb"))
    footer = _footer(file)
    leaves = [e for e in footer[_FILE_SCHEMA].value.values if not _children(e)]
    groups = []
    for form in footer[_FILE_GROUPS].value.values:
        columns: dict[str, list[Chunk]] = {}
        for chunk, element in zip(form[_GROUP_CHUNKS].value.values, leaves, strict=True):
            if _CHUNK_CRYPTO in chunk or _CHUNK_META not in chunk:
                raise NotSplicedError(f"{path} is encrypted")
            name = chunk[_CHUNK_META].value[_META_PATH].value.values[0].decode()
            columns.setdefault(name, []).append(Chunk(file, chunk, element))
        groups.append(Group(form[_GROUP_ROWS].value, columns))
    return groups


def splice(target: Path, form: Path, groups: Sequence[Group]) -> None:
    """Write a file of encoded columns.

    Args:
        target: File to write.
        form: A file of no rows: its columns, their order and its metadata are
            those of the target.
        groups: The row groups; each has all columns, under the names of the target.

    Raises:
        NotSplicedError: A column is of another type than the form says.
        OSError: The target cannot be written.
    """
    with form.open("rb") as file:
        footer = _footer(file)
    elements = footer[_FILE_SCHEMA].value.values
    names = _top_level(elements)
    leaves = [element for element in elements if not _children(element)]
    with target.open("wb") as out:
        out.write(_MAGIC)
        written = [_put_group(out, group, names, leaves) for group in groups]
        chunks = [chunk for form, _ in written for chunk in form[_GROUP_CHUNKS].value.values]
        moved = [place for _, places in written for place in places]
        _put_indexes(out, chunks, moved)
        footer[_FILE_GROUPS] = Field(_LIST, Items(_STRUCT, [form for form, _ in written]))
        footer[_FILE_ROWS] = Field(_I64, sum(group.rows for group in groups))
        data = encode(footer)
        out.write(data)
        out.write(_TAIL.pack(len(data), _MAGIC))


def _put_group(
    out: BinaryIO, group: Group, names: list[str], leaves: list[Struct]
) -> tuple[Struct, list[tuple[Chunk, int]]]:
    """Copy a row group; gives its form, and each chunk with how far it moved."""
    start = out.tell()
    chunks = [(name, chunk) for name in names for chunk in group.columns[name]]
    if [_kind(chunk.element) for _, chunk in chunks] != [_kind(leaf) for leaf in leaves]:
        raise NotSplicedError("a column is of another type")
    forms, moved = [], []
    for name, chunk in chunks:
        shift = out.tell() - chunk.start
        _copy(chunk, out)
        forms.append(_moved(chunk, name, shift))
        moved.append((chunk, shift))
    plain = sum(chunk.meta[_META_PLAIN_SIZE].value for _, chunk in chunks)
    form: Struct = {
        _GROUP_CHUNKS: Field(_LIST, Items(_STRUCT, forms)),
        _GROUP_BYTES: Field(_I64, plain),
        _GROUP_ROWS: Field(_I64, group.rows),
        _GROUP_OFFSET: Field(_I64, start),
        _GROUP_COMPRESSED: Field(_I64, out.tell() - start),
    }
    return form, moved


def _moved(chunk: Chunk, name: str, shift: int) -> Struct:
    """The form of a chunk at another place, under another name."""
    meta = {at: field for at, field in chunk.meta.items() if at not in _META_BLOOM}
    for at in (_META_DATA, _META_INDEX, _META_DICTIONARY):
        if at in meta:
            meta[at] = Field(_I64, meta[at].value + shift)
    path = [name.encode(), *meta[_META_PATH].value.values[1:]]
    meta[_META_PATH] = Field(_LIST, Items(_BINARY, path))
    # No copy of the metadata stands beside the values: the format asks for 0 then.
    return {_CHUNK_FILE_OFFSET: Field(_I64, 0), _CHUNK_META: Field(_STRUCT, meta)}


def _put_indexes(out: BinaryIO, forms: list[Struct], moved: list[tuple[Chunk, int]]) -> None:
    """Copy what tells where the pages of each chunk are, and what their bounds are."""
    for at, size in (_COLUMN_INDEX, _OFFSET_INDEX):
        for form, (chunk, shift) in zip(forms, moved, strict=True):
            if at not in chunk.form:
                continue
            data = _read(chunk.file, chunk.form[at].value, chunk.form[size].value)
            if at == _OFFSET_INDEX[0]:
                data = _shifted(data, shift)
            form[at] = Field(_I64, out.tell())
            form[size] = chunk.form[size]._replace(value=len(data))
            out.write(data)


def _shifted(data: bytes, shift: int) -> bytes:
    index = decode(data)
    for page in index[_PAGES].value.values:
        page[_PAGE_OFFSET] = Field(_I64, page[_PAGE_OFFSET].value + shift)
    return encode(index)


def _copy(chunk: Chunk, out: BinaryIO) -> None:
    chunk.file.seek(chunk.start)
    left = chunk.size
    while left:
        data = chunk.file.read(min(left, _COPIED))
        if not data:
            raise NotSplicedError("a column ends too early")
        out.write(data)
        left -= len(data)


def _footer(file: BinaryIO) -> Struct:
    try:
        file.seek(-_TAIL.size, os.SEEK_END)
        size, magic = _TAIL.unpack(file.read())
        if magic != _MAGIC:
            raise NotSplicedError("no Parquet file, or an encrypted one")
        file.seek(-_TAIL.size - size, os.SEEK_END)
        return decode(file.read(size))
    except (OSError, CompactError) as error:
        raise NotSplicedError(str(error)) from error


def _read(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)


def _children(element: Struct) -> int:
    return int(element[_ELEMENT_CHILDREN].value) if _ELEMENT_CHILDREN in element else 0


def _kind(element: Struct) -> Struct:
    """What a leaf holds, whatever it is called."""
    return {at: field for at, field in element.items() if at != _ELEMENT_NAME}


def _top_level(elements: list[Struct]) -> list[str]:
    """Names of the columns: the children of the first element, each before its own children."""
    names, inside = [], 0
    for element in elements[1:]:
        if not inside:
            names.append(element[_ELEMENT_NAME].value.decode())
            inside = 1
        inside += _children(element) - 1
    return names
