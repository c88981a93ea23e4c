"""A source file: opened read-only, fingerprinted, and watched for changes."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from jobforge.errors import (
    EmptySourceError,
    SourceChangedError,
    SourceNotFoundError,
    SourceUnreadableError,
)

BLOCK_BYTES = 1 << 20
_LOOK = "look at the path, its permissions and the disk"
# A file system stamps changes with a clock of some 10 ms (2 s on FAT). A file
# whose stamp is younger than this could change again under the same stamp.
_STAMP_GRAIN_SECONDS = 2.5


@dataclass(frozen=True)
class _Stamp:
    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return _Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class SourceFile:
    """One source file as it was when it was opened.

    Args:
        path: Where it is. It is never written, locked or moved.

    Raises:
        SourceNotFoundError: Nothing stands at the path.
        SourceUnreadableError: It is a folder or no regular file, or may not be read.
        EmptySourceError: It has no bytes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            mode = path.stat().st_mode
        except FileNotFoundError as error:
            raise SourceNotFoundError(
                f"there is no file {path}", hint="look at the spelling and the current folder"
            ) from error
        except (OSError, ValueError) as error:
            raise SourceUnreadableError(f"{path} cannot be read: {error}", hint=_LOOK) from error
        if stat.S_ISDIR(mode):
            raise SourceUnreadableError(
                f"{path} is a folder, not a file",
                hint=f"name a file, or the files of the folder by a pattern such as '{path}/*.csv'",
            )
        if not stat.S_ISREG(mode):
            raise SourceUnreadableError(
                f"{path} is no regular file",
                hint="copy the data into a file first: a pipe or device can be read only once",
            )
        if not os.access(path, os.R_OK):
            raise SourceUnreadableError(
                f"{path} may not be read by this user", hint="look at its permissions"
            )
        self._stamp = _stamp(path)
        self._fresh = time.time() - self._stamp.changed_ns / 1e9 < _STAMP_GRAIN_SECONDS
        self._sha256: str | None = None
        if self._stamp.size == 0:
            raise EmptySourceError(
                f"{path} is empty (0 bytes)",
                hint="look at how the file was made; a table without rows needs its header",
            )

    @property
    def name(self) -> str:
        """The file's own name, without folders."""
        return self.path.name

    @property
    def size(self) -> int:
        """Bytes."""
        return self._stamp.size

    @property
    def modified_seconds(self) -> float:
        """Time of the last change, seconds since 1970-01-01 UTC."""
        return self._stamp.modified_ns / 1e9

    @property
    def sha256(self) -> str:
        """The SHA-256 of all bytes, lower-case hex (FIPS 180-4); computed once."""
        if self._sha256 is None:
            self._sha256 = hash_file(self.path)
        return self._sha256

    def hashed(self, sha256: str) -> None:
        """Take over a hash that a reader computed while it read every byte."""
        self._sha256 = sha256

    def read_bytes(self) -> bytes:
        """The whole file, hashed on the way.

        Raises:
            SourceUnreadableError: The operating system refused.
        """
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise SourceUnreadableError(
                f"{self.path} cannot be read: {error}", hint=_LOOK
            ) from error
        self._sha256 = hashlib.sha256(data).hexdigest()
        return data

    def check_unchanged(self) -> None:
        """Refuse a file that is no longer what was opened.

        The identity, size and both time stamps are compared. Where the file
        was so young when it was opened that a change could hide behind the
        same stamp, its bytes are hashed again.

        Raises:
            SourceChangedError: The file changed, or is gone.
        """
        try:
            same = _stamp(self.path) == self._stamp
            if same and self._fresh and self._sha256 is not None:
                same = hash_file(self.path) == self._sha256
        except OSError:
            same = False
        if not same:
            raise SourceChangedError(
                f"{self.path} changed while it was read",
                hint="wait until whoever writes it has finished, then run again",
            )


def hash_file(path: Path) -> str:
    """The SHA-256 of a file as lower-case hex.

    Raises:
        SourceUnreadableError: The operating system refused.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise SourceUnreadableError(f"{path} cannot be read: {error}", hint=_LOOK) from error
    return digest.hexdigest()
