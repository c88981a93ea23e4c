"""A look at a zipped workbook before any parser sees it: bombs, damage, encryption, DOCTYPEs.

Every member is unpacked once in blocks, so that its declared size and its
checksum are proven, and nothing larger than the limits reaches a parser.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib

from jobforge.errors import MalformedSourceError, UnsupportedValueError

MAX_MEMBERS = 5_000
MAX_BYTES = 2 << 30
MAX_RATIO = 400
_SMALL = 1 << 20
_BLOCK = 1 << 20
_HEAD = 4096
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x41  # bits 0 and 6 of the general purpose flags (APPNOTE 4.4.4)
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    struct.error,
    RuntimeError,
    ValueError,
    OverflowError,
)
_DOCTYPE = re.compile(rb"<!DOCTYPE", re.IGNORECASE)


def guard_zip(data: bytes) -> None:
    """Refuse an archive that is damaged, encrypted, or larger than it should be.

    Raises:
        MalformedSourceError: It is no sound zip archive, or a bomb.
        UnsupportedValueError: It is encrypted.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        ValueError,
        OverflowError,
        struct.error,
    ) as error:
        raise _refused(f"it is no sound zip archive ({error})") from error
    members = archive.infolist()
    names = {member.filename.lower() for member in members}
    total = sum(member.file_size for member in members)
    if len(members) > MAX_MEMBERS:
        raise _refused(f"it has {len(members):,} parts, more than {MAX_MEMBERS:,}")
    if len(names) < len(members):
        raise _refused("two of its parts have one name")
    if total > MAX_BYTES:
        raise _refused(f"it unpacks to {total:,} bytes, more than {MAX_BYTES:,}")
    if sum(member.compress_size for member in members) > len(data):
        raise _refused("its parts overlap")
    for member in members:
        _guard_member(archive, member)


def _guard_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    name = member.filename
    if member.flag_bits & _ENCRYPTED:
        raise UnsupportedValueError(
            "the workbook is encrypted", hint="save it without a password", part=name
        )
    if member.compress_type not in _METHODS:
        raise _refused(f"part {name} is packed in an unusual way")
    if member.file_size > max(_SMALL, MAX_RATIO * member.compress_size):
        raise _refused(f"part {name} expands more than {MAX_RATIO} times")
    size = 0
    try:
        with archive.open(member) as stream:
            while block := stream.read(_BLOCK):
                if not size and _DOCTYPE.search(block[:_HEAD].replace(b"\0", b"")):
                    raise _refused(f"part {name} declares a DOCTYPE")
                size += len(block)
    except _DAMAGE as error:
        raise _refused(f"part {name} is damaged ({error})") from error
    if size != member.file_size:
        raise _refused(f"part {name} has {size:,} bytes and declares {member.file_size:,}")


def _refused(why: str) -> MalformedSourceError:
    return MalformedSourceError(
        f"the workbook is refused: {why}", hint="open it in a spreadsheet program and save it anew"
    )
