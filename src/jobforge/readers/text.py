"""Text sources as plain UTF-8 bytes: unpacked, transcoded, and the original hashed on the way.

UTF-8 files are used where they lie. Everything else is unpacked or transcoded
once into a temporary file, in blocks. Nothing is guessed: UTF-16 and UTF-32
are known by their byte order mark (Unicode 15, section 23.8), other encodings
have to be named, and bytes that are not valid are refused with their line.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import hashlib
import io
import lzma
import struct
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

import zstandard

from jobforge.errors import (
    AmbiguousSourceError,
    EmptySourceError,
    InvalidOptionError,
    MalformedSourceError,
    UnsupportedValueError,
    WriteError,
)
from jobforge.readers.base import ReadContext, SourceNote
from jobforge.storage.source import BLOCK_BYTES, SourceFile

COMPRESSIONS = {".gz": "gzip", ".zst": "zstandard", ".bz2": "bzip2", ".zip": "zip"}
_MAGIC = {
    "gzip": b"\x1f\x8b",
    "zstandard": b"\x28\xb5\x2f\xfd",
    "bzip2": b"BZh",
    "zip": b"PK",
}
# What unpacking libraries raise for damaged data.
_DAMAGE = (
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    RuntimeError,
    NotImplementedError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    zstandard.ZstdError,
)
# Bytes that no text begins with.
_UNNAMED = (_MAGIC["gzip"], _MAGIC["zstandard"], b"PK\x03\x04")
# The longer mark first: that of UTF-16 is the beginning of that of UTF-32.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True)
class PlainText:
    """A source as UTF-8 bytes in a file.

    Args:
        path: The source itself, or a temporary copy.
        bom: Bytes of a byte order mark at the start of `path` (0 or 3).
        notes: Encoding, byte order mark and compression.
        inner_name: Name without the ending of the compression; that of the
            member in a zip archive.
    """

    path: Path
    bom: int
    notes: tuple[SourceNote, ...]
    inner_name: str


def plain_name(name: str) -> str:
    """A file's name without the ending of its compression."""
    for ending in COMPRESSIONS:
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def as_utf8(source: SourceFile, encoding: str | None, context: ReadContext) -> PlainText:
    """The text of a source in UTF-8.

    Args:
        source: The file, possibly compressed (`.gz .zst .bz2 .zip`).
        encoding: Name of the encoding, as Python knows it; UTF-8, or what a
            byte order mark says, unless given.
        context: Where a temporary copy may go.

    Raises:
        MalformedSourceError: Compressed data is damaged, or bytes are not
            valid in the encoding; with the line.
        InvalidOptionError: There is no such encoding.
        AmbiguousSourceError: A zip archive has more than one member.
    """
    codec = _codec(encoding)
    compression = _compression(source)
    if compression is None:
        with source.path.open("rb") as file:
            start = file.read(4)
        found, mark = _by_mark(start, codec)
        if found == "utf-8":
            notes = [SourceNote("encoding", "UTF-8 with BOM" if mark else "UTF-8")]
            return PlainText(source.path, mark, tuple(notes), source.name)
    return _copied(source, codec, compression, context)


def _codec(encoding: str | None) -> str | None:
    if encoding is None:
        return None
    try:
        info = codecs.lookup(encoding)
        "".encode(encoding)
    except (LookupError, TypeError, ValueError) as error:
        raise InvalidOptionError(
            f"there is no text encoding {encoding!r}",
            hint="use a name such as utf-8, cp1252, latin-1, utf-16, shift_jis",
        ) from error
    return "utf-8" if info.name == "utf-8-sig" else info.name


def _by_mark(start: bytes, codec: str | None) -> tuple[str, int]:
    """The encoding that the first bytes show, and the length of their mark."""
    for mark, name in _MARKS:
        if not start.startswith(mark):
            continue
        if codec is None or name.startswith(codec):
            return name, len(mark)
        if codec.startswith("utf-"):
            raise MalformedSourceError(
                f"the file begins with the byte order mark of {name}, and {codec} is named",
                hint="leave the encoding out, and the mark decides",
            )
    return codec or "utf-8", 0


def _compression(source: SourceFile) -> str | None:
    """By the file's first bytes, where its name says so too."""
    named = next(
        (kind for end, kind in COMPRESSIONS.items() if source.name.lower().endswith(end)), None
    )
    with source.path.open("rb") as file:
        start = file.read(4)
    if named is not None and not start.startswith(_MAGIC[named]):
        raise MalformedSourceError(
            f"{source.name} is not {named} data, whatever its name says",
            hint="rename the file, or pack it again",
        )
    if named is None and start.startswith(_UNNAMED):
        raise MalformedSourceError(
            f"{source.name} is compressed or an archive, and its name does not say so",
            hint="give it its ending: " + " ".join(COMPRESSIONS),
        )
    return named


def _copied(
    source: SourceFile, codec: str | None, compression: str | None, context: ReadContext
) -> PlainText:
    """Unpack and transcode into a temporary file, hashing what is read."""
    context.scratch.mkdir(parents=True, exist_ok=True)
    target = context.scratch / f"{uuid.uuid4().hex}.txt"
    notes = [SourceNote("compression", compression)] if compression else []
    with source.path.open("rb") as raw:
        hashed = _Hashing(raw, source.size, context)
        with _unpacked(hashed, source, compression) as (stream, inner):
            blocks = _blocks(stream, source)
            first = next(blocks, b"")
            while 0 < len(first) < len(_MARKS[0][0]) and (more := next(blocks, b"")):
                first += more  # a first stream may be shorter than a byte order mark
            if not first:
                raise EmptySourceError(
                    f"{source.name} holds no bytes", hint="look at how the file was made"
                )
            name, mark = _by_mark(first[:4], codec)
            label = name.upper() + (" with BOM" if mark else "")
            notes.append(SourceNote("encoding", label))
            decoder = codecs.getincrementaldecoder(name)("strict")
            try:
                with target.open("wb") as out:
                    _transcode(first[mark:], blocks, decoder, out, name)
            except OSError as error:
                raise WriteError(
                    f"the temporary file {target} could not be written: {error}",
                    hint="look at free space in the data root",
                ) from error
        hashed.finish()
    source.hashed(hashed.hexdigest())
    return PlainText(target, 0, tuple(notes), inner)


def _transcode(
    first: bytes,
    rest: Iterator[bytes],
    decoder: codecs.IncrementalDecoder,
    out: IO[bytes],
    encoding: str,
) -> None:
    if encoding == "utf-8":
        # Validity is judged where the records are, so that the error names one.
        out.write(first)
        for block in rest:
            out.write(block)
        return
    lines = 1
    try:
        for block in chain([first], rest):
            text = decoder.decode(block)
            lines += text.count("\n")
            out.write(text.encode("utf-8"))
        out.write(decoder.decode(b"", final=True).encode("utf-8"))
    except UnicodeError as error:
        if isinstance(error, UnicodeDecodeError):
            lines += bytes(error.object[: error.start]).count(b"\n")
        raise MalformedSourceError(
            f"bytes that are not {encoding}: {error}",
            hint="name the right encoding: encoding='...'",
            line=lines,
        ) from error


class _Hashing(io.RawIOBase):
    """A file that is hashed as it is read; `finish` reads what was left over."""

    def __init__(self, raw: IO[bytes], size: int, context: ReadContext) -> None:
        super().__init__()
        self._raw, self._size, self._context = raw, size, context
        self._digest = hashlib.sha256()
        self._hashed = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # any buffer
        at = self._raw.tell()
        data = self._raw.read(len(buffer))
        # Only bytes that follow what is hashed already count; `finish` does the rest.
        if at == self._hashed:
            self._digest.update(data)
            self._hashed += len(data)
            self._context.progress("unpacking", self._hashed, self._size)
        buffer[: len(data)] = data
        return len(data)

    def finish(self) -> None:
        """Hash the bytes that nobody asked for."""
        self._raw.seek(self._hashed)
        while block := self._raw.read(BLOCK_BYTES):
            self._digest.update(block)

    def hexdigest(self) -> str:
        """The SHA-256 of the whole file."""
        return self._digest.hexdigest()


@contextmanager
def _unpacked(
    raw: _Hashing, source: SourceFile, compression: str | None
) -> Iterator[tuple[IO[bytes], str]]:
    name = plain_name(source.name)
    buffered = io.BufferedReader(raw, BLOCK_BYTES)
    if compression is None:
        yield buffered, source.name
    elif compression == "gzip":
        yield gzip.GzipFile(fileobj=buffered), name  # type: ignore[misc] # it reads like an IO
    elif compression == "bzip2":
        yield _Blockwise(buffered, bz2.BZ2Decompressor), name  # type: ignore[misc] # reads like an IO
    elif compression == "zstandard":
        yield _Blockwise(buffered, _zstandard), name  # type: ignore[misc] # reads like an IO
    else:
        with _member(buffered, source) as (stream, inner):
            yield stream, inner


def _zstandard() -> Any:  # noqa: ANN401 - a decoder that behaves like that of bz2
    return zstandard.ZstdDecompressor().decompressobj()


class _Blockwise(io.RawIOBase):
    """Packed streams one after the other; one that is cut off, or anything else, is an error."""

    def __init__(self, raw: IO[bytes], make: Callable[[], Any]) -> None:
        super().__init__()
        self._raw, self._make = raw, make
        self._decoder = make()
        self._begun = False
        self._left = b""

    def read(self, size: int = -1) -> bytes:
        del size
        while True:
            data = self._left or self._raw.read(BLOCK_BYTES // 8)
            self._left = b""
            if not data:
                if self._begun:
                    raise EOFError("it ends too early")
                return b""
            if self._decoder.eof:
                self._decoder = self._make()
            self._begun = True
            out: bytes = self._decoder.decompress(data)
            if self._decoder.eof:
                self._begun = False
                self._left = self._decoder.unused_data
            if out:
                return out


@contextmanager
def _member(raw: IO[bytes], source: SourceFile) -> Iterator[tuple[IO[bytes], str]]:
    """The one member of a zip archive."""
    try:
        archive = zipfile.ZipFile(raw)
    except _DAMAGE as error:
        raise MalformedSourceError(
            f"{source.name} is no zip archive: {error}", hint="get the file again"
        ) from error
    with archive:
        files = [e for e in archive.infolist() if not e.filename.endswith("/")]
        if len(files) != 1:
            raise AmbiguousSourceError(
                f"the archive {source.name} holds {len(files)} files, and one is needed",
                hint="unpack it and name the file: "
                + ", ".join(entry.filename for entry in files[:5]),
            )
        if files[0].flag_bits & 1:
            raise UnsupportedValueError(
                f"the archive {source.name} is encrypted", hint="unpack it first"
            )
        try:
            stream = archive.open(files[0])
        except _DAMAGE as error:
            raise MalformedSourceError(
                f"the archive {source.name} cannot be unpacked: {error}",
                hint="get the file again, or unpack it first",
            ) from error
        with stream:
            yield stream, Path(files[0].filename).name


def _blocks(stream: IO[bytes], source: SourceFile) -> Iterator[bytes]:
    """Blocks of a stream; damage of the packing is an error of ours."""
    done = 0
    try:
        while block := stream.read(BLOCK_BYTES):
            done += len(block)
            yield block
    except _DAMAGE as error:
        raise MalformedSourceError(
            f"the packed data of {source.name} is damaged after {done} bytes of text: {error}",
            hint="get the file again: it may be cut off",
        ) from error
