"""Packed sources, unpacked in blocks, and hashed as they are read."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import zstandard

from jobforge.errors import AmbiguousSourceError, MalformedSourceError, UnsupportedValueError
from jobforge.readers.base import ReadContext
from jobforge.storage.source import BLOCK_BYTES, SourceFile

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


class Hashing(io.RawIOBase):
    """A file that is hashed as it is read; `finish` reads what was left over."""

    def __init__(self, raw: IO[bytes], size: int, context: ReadContext) -> None:
        super().__init__()
        self._raw, self._size, self._context = raw, size, context
        self._digest = hashlib.sha256()
        self._hashed = 0

    def readable(self) -> bool:
        """See `io.IOBase`."""
        return True

    def seekable(self) -> bool:
        """See `io.IOBase`."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See `io.IOBase`."""
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        """See `io.IOBase`."""
        return self._raw.tell()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # any buffer
        """See `io.RawIOBase`; what follows the hashed bytes is hashed."""
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
def unpacked(
    raw: Hashing, source: SourceFile, compression: str | None
) -> Iterator[tuple[IO[bytes], str | None]]:
    """The unpacked bytes of a source, and the name of the member where it is an archive."""
    buffered = io.BufferedReader(raw, BLOCK_BYTES)
    if compression is None:
        yield buffered, None
    elif compression == "gzip":
        yield gzip.GzipFile(fileobj=buffered), None  # type: ignore[misc] # it reads like an IO
    elif compression == "bzip2":
        yield _Blockwise(buffered, bz2.BZ2Decompressor), None  # type: ignore[misc] # reads like an IO
    elif compression == "zstandard":
        yield _Blockwise(buffered, _zstandard), None  # type: ignore[misc] # reads like an IO
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


def blocks_of(stream: IO[bytes], source: SourceFile) -> Iterator[bytes]:
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
