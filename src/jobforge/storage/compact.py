"""Thrift structs in the compact protocol, the form of all metadata in a Parquet file.

Read without knowing what the fields mean and written again as they were, so
that nothing is lost of what a newer writer says. Format: Apache Thrift,
`doc/specs/thrift-compact-protocol.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_LONG = 15
"""A list of so many entries or more writes its length apart."""
_EIGHT_BYTES = 8


class Field(NamedTuple):
    """A field of a struct: the code of its type, and its value."""

    kind: int
    value: Any


class Items(NamedTuple):
    """A list: the code of the type of its entries, and the entries."""

    kind: int
    values: list[Any]


Struct = dict[int, Field]
"""Fields by their number."""


class CompactError(ValueError):
    """The bytes are no struct, or have a type that Parquet does not use."""


def decode(data: bytes) -> Struct:
    """The struct that bytes begin with.

    Raises:
        CompactError: They begin with none.
    """
    try:
        return _Decoder(data).struct()
    except IndexError as error:
        raise CompactError("the bytes end within a struct") from error


def encode(struct: Struct) -> bytes:
    """A struct as bytes."""
    out = bytearray()
    _put_struct(out, struct)
    return bytes(out)


class _Decoder:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._readers: dict[int, Callable[[], Any]] = {
            _BYTE: self._byte,
            _I16: self._integer,
            _I32: self._integer,
            _I64: self._integer,
            _DOUBLE: lambda: self._take(_EIGHT_BYTES),
            _BINARY: lambda: self._take(self._varint()),
            _LIST: self._items,
            _SET: self._items,
            _STRUCT: self.struct,
        }

    def struct(self) -> Struct:
        found: Struct = {}
        number = 0
        while head := self._byte():
            kind = head & 0x0F
            number = number + (head >> 4) if head >> 4 else self._integer()
            # The value of a field of truth stands in its type.
            found[number] = Field(kind, None if kind in {_TRUE, _FALSE} else self._read(kind))
        return found

    def _items(self) -> Items:
        head = self._byte()
        kind, count = head & 0x0F, head >> 4
        if count == _LONG:
            count = self._varint()
        read = self._byte if kind in {_TRUE, _FALSE} else self._readers.get(kind)
        if read is None:
            raise CompactError(f"a list of type {kind}")
        return Items(kind, [read() for _ in range(count)])

    def _read(self, kind: int) -> Any:  # noqa: ANN401 - as the field says
        read = self._readers.get(kind)
        if read is None:
            raise CompactError(f"a field of type {kind}")
        return read()

    def _byte(self) -> int:
        value = self._data[self._at]
        self._at += 1
        return value

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise IndexError
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def _varint(self) -> int:
        data, at = self._data, self._at
        byte = data[at]
        at += 1
        result = byte & 0x7F
        shift = 7
        while byte & 0x80:
            byte = data[at]
            at += 1
            result |= (byte & 0x7F) << shift
            shift += 7
        self._at = at
        return result

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)


def _put_struct(out: bytearray, struct: Struct) -> None:
    before = 0
    for number, (kind, value) in sorted(struct.items()):
        step = number - before
        if 0 < step < 16:  # noqa: PLR2004 - what the upper half of a byte holds
            out.append(step << 4 | kind)
        else:
            out.append(kind)
            _put_integer(out, number)
        before = number
        _put(out, kind, value)
    out.append(0)


def _put(out: bytearray, kind: int, value: Any) -> None:  # noqa: ANN401 - as the kind says
    if kind in {_I16, _I32, _I64}:
        _put_integer(out, value)
    elif kind == _BINARY:
        _put_varint(out, len(value))
        out += value
    elif kind == _DOUBLE:
        out += value
    elif kind == _BYTE:
        out.append(value)
    elif kind == _STRUCT:
        _put_struct(out, value)
    elif kind in {_LIST, _SET}:
        _put_items(out, value)


def _put_items(out: bytearray, items: Items) -> None:
    kind, values = items
    out.append(min(len(values), _LONG) << 4 | kind)
    if len(values) >= _LONG:
        _put_varint(out, len(values))
    entry = _BYTE if kind in {_TRUE, _FALSE} else kind
    for value in values:
        _put(out, entry, value)


def _put_varint(out: bytearray, value: int) -> None:
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _put_integer(out: bytearray, value: int) -> None:
    _put_varint(out, value << 1 if value >= 0 else (-value << 1) - 1)
