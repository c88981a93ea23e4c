"""Text sources as plain UTF-8 bytes: unpacked, transcoded, and the original hashed on the way.

UTF-8 files are used where they lie. Everything else is unpacked or transcoded
once into a temporary file, in blocks. Nothing is guessed: UTF-16 and UTF-32
are known by their byte order mark (Unicode 15, section 23.8), other encodings
have to be named, and bytes that are not valid are refused with their line.
"""

from __future__ import annotations

import codecs
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO

from jobforge.errors import (
    EmptySourceError,
    InvalidOptionError,
    MalformedSourceError,
    WriteError,
)
from jobforge.readers.base import ReadContext, SourceNote
from jobforge.storage.source import SourceFile

COMPRESSIONS = {".gz": "gzip", ".zst": "zstandard", ".bz2": "bzip2", ".zip": "zip"}
_MAGIC = {
    "gzip": b"\x1f\x8b",
    "zstandard": b"\x28\xb5\x2f\xfd",
    "bzip2": b"BZh",
    "zip": b"PK",
}
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
        encoding: Of the source.
        detected: Compression, member of the archive, byte order mark.
    """

    path: Path
    bom: int
    notes: tuple[SourceNote, ...]
    inner_name: str
    encoding: str = "utf-8"
    detected: dict[str, str] = field(default_factory=dict)


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
            detected = {"byte_order_mark": found} if mark else {}
            return PlainText(source.path, mark, tuple(notes), source.name, detected=detected)
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
    # Plain UTF-8, the most of what comes, does without the libraries that unpack.
    from jobforge.readers.unpack import Hashing, blocks_of, unpacked

    context.scratch.mkdir(parents=True, exist_ok=True)
    target = context.scratch / f"{uuid.uuid4().hex}.txt"
    notes = [SourceNote("compression", compression)] if compression else []
    with source.path.open("rb") as raw:
        hashed = Hashing(raw, source.size, context)
        with unpacked(hashed, source, compression) as (stream, member):
            blocks = blocks_of(stream, source)
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
    inner = member or plain_name(source.name)
    found = {
        "compression": compression,
        "member": member,
        "byte_order_mark": name if mark else None,
    }
    detected = {key: value for key, value in found.items() if value is not None}
    return PlainText(target, 0, tuple(notes), inner, name, detected)


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
