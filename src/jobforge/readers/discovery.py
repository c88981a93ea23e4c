"""Which files a source stands for: one file, a folder, a pattern, or a list."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobforge.errors import (
    EmptySourceError,
    JobforgeError,
    SourceNotFoundError,
    SourceUnreadableError,
)


@dataclass(frozen=True)
class FoundFile:
    """One source file and the name that `_source_file` gives it."""

    path: Path
    name: str


@dataclass(frozen=True)
class Found:
    """The files of one batch, in a fixed order."""

    files: tuple[FoundFile, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """As `_source_file` has them."""
        return tuple(file.name for file in self.files)


def discover(source: Path | str | Sequence[Path | str]) -> Found:
    """List the files of a source.

    A path that exists is taken as it is, whatever characters it has. A folder
    stands for every file in it (not below it) whose name does not start with a
    dot, by name. Text with `*`, `?` or `[` is a pattern (`**` crosses
    folders). A list keeps its order.

    Raises:
        SourceNotFoundError: A pattern matches nothing.
        SourceUnreadableError: A folder holds no file, or one file is named twice.
        EmptySourceError: The list is empty.
    """
    many = _listed(source)
    if not many:
        raise EmptySourceError("the list of source files is empty", hint="name at least one file")
    paths = [path for entry in many for path in _expand(entry)]
    for path in paths:
        if not str(path).isascii() and not _is_text(str(path)):
            raise SourceUnreadableError(
                f"the name of {str(path)!r} is not UTF-8", hint="give the file another name"
            )
    seen = Counter(_identity(path) for path in paths)
    for path in paths:
        if seen[_identity(path)] > 1:
            raise SourceUnreadableError(
                f"{path} is named {seen[_identity(path)]} times in one batch",
                hint="name each file once; links to one file are that file",
            )
    return Found(tuple(_named(paths)))


def _identity(path: Path) -> object:
    """What tells whether two paths are one file: device and inode, where there is a file."""
    try:
        found = path.stat()
    except OSError:
        return path.resolve()
    return found.st_dev, found.st_ino


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _listed(source: object) -> list[Path | str]:
    entries = [source] if isinstance(source, (str, Path)) else source
    if not isinstance(entries, Sequence) or not all(isinstance(e, (str, Path)) for e in entries):
        raise SourceUnreadableError(
            f"{source!r} is no source", hint="name a file, a folder, a pattern, or a list of files"
        )
    return list(entries)


def _expand(entry: Path | str) -> list[Path]:
    try:
        Path(entry).resolve()  # what cannot be resolved cannot be opened either
        return _expanded(entry, Path(entry))
    except (OSError, ValueError) as error:
        if isinstance(error, JobforgeError):
            raise
        raise SourceUnreadableError(
            f"{str(entry)[:200]!r} cannot be looked at: {error}", hint="look at the spelling"
        ) from error


def _expanded(entry: Path | str, path: Path) -> list[Path]:
    if path.is_dir():
        inside = sorted(
            file for file in path.iterdir() if not file.is_dir() and not file.name.startswith(".")
        )
        if not inside:
            raise SourceUnreadableError(
                f"{path} is a folder that holds no file", hint="name a file, or a folder of files"
            )
        return inside
    if path.exists() or not glob.has_magic(str(entry)):
        return [path]
    matched = sorted(Path(hit) for hit in glob.glob(str(entry), recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
    files = [hit for hit in matched if hit.is_file()]
    if not files:
        raise SourceNotFoundError(
            f"no file matches {str(entry)!r}", hint="look at the pattern and the current folder"
        )
    return files


def _named(paths: list[Path]) -> list[FoundFile]:
    """Files by their own name; by the path below their common folder where names collide."""
    names = Counter(path.name for path in paths)
    if max(names.values()) == 1:
        return [FoundFile(path, path.name) for path in paths]
    parts = [path.parent.resolve() / path.name for path in paths]
    common = parts[0].parent
    while not all(part.is_relative_to(common) for part in parts):
        common = common.parent
    return [
        FoundFile(path, part.relative_to(common).as_posix())
        for path, part in zip(paths, parts, strict=True)
    ]
