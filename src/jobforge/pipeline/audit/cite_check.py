"""Whether a citation still holds: the same is computed again, at the version that it names."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

from jobforge.errors import InvalidOptionError, RecordError
from jobforge.pipeline import chain
from jobforge.pipeline.audit.citation import SEPARATOR, Citation
from jobforge.pipeline.audit.cite import cite
from jobforge.pipeline.chain import chain_entry_path
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.records import Record, parse_record
from jobforge.pipeline.transition import Clock, utc_now

_VERSION = re.compile(r" v([1-9]\d{0,17})(?: where |$)")
_HEAD = re.compile(r"chain (\d{1,18}) ([0-9a-f]{16,64})")
_TAIL = 4
"""Parts of a line behind the condition, which may hold any text: rows, content, chain, who."""
_AS_GOOD = 1e-12
"""Relative difference that another version of Polars may make in a float."""


class CitationCheck(Record):
    """What came of computing a citation again."""

    now: Citation
    differences: tuple[str, ...] = ()
    """What is not as it was; nothing where it holds."""

    @property
    def holds(self) -> bool:
        """Whether everything is as it was."""
        return not self.differences


def read_citation(path: Path | str) -> Citation:
    """A citation from the file that `jobforge cite --json` printed.

    Raises:
        RecordError: The file cannot be read, or is no citation.
    """
    place = Path(path)
    try:
        raw = json.loads(place.read_bytes())
        raw.pop("line", None)
        return parse_record(place, json.dumps(raw).encode(), Citation)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RecordError(
            f"{place} is no citation ({(str(error).splitlines() or [''])[0]})",
            hint="give the file that `jobforge cite ... --json` printed",
        ) from error


def check_citation(
    config: PipelineConfig, before: Citation, *, clock: Clock = utc_now
) -> CitationCheck:
    """Compute a citation again, at its version.

    Args:
        config: Where the data root is.
        before: What `cite` gave.
        clock: Gives the time in UTC.

    Raises:
        JobforgeError: As for `cite`: the version is gone, or a file was altered.
    """
    address = f"{before.domain}/{before.table}"
    now = cite(config, before.statement, version=before.version, clock=clock)
    found = [*_differences(before, now)]
    if address != f"{now.domain}/{now.table}":
        found.append(f"the statement is about {now.domain}/{now.table} by now, not {address}")
    if before.head is not None:
        found += _head(config, before.head.number, before.head.sha256)
    return CitationCheck(now=now, differences=tuple(found))


def check_line(
    config: PipelineConfig, sql: str, line: str, *, clock: Clock = utc_now
) -> CitationCheck:
    """Compute the figure of a line again, at its version.

    Args:
        config: Where the data root is.
        sql: The statement that it is of: a line does not hold all of it.
        line: What `Citation.line` gave.
        clock: Gives the time in UTC.

    Raises:
        InvalidOptionError: It is no such line.
        JobforgeError: As for `cite`.
    """
    parts = line.strip().split(SEPARATOR)
    found = _VERSION.search(SEPARATOR.join(parts[1:-_TAIL]))
    if found is None or len(parts) < _TAIL + 2:
        raise InvalidOptionError(
            "the text is no line of a citation",
            hint="give the whole line that `jobforge cite` printed, in quotes, or its --json file",
        )
    now = cite(config, sql, version=int(found.group(1)), clock=clock)
    again = now.line().split(SEPARATOR)
    pairs = [
        (SEPARATOR.join(parts[:-_TAIL]), SEPARATOR.join(again[:-_TAIL])),
        *zip(parts[-_TAIL:-2], again[-_TAIL:-2], strict=True),
    ]
    differences = [f"{new!r} instead of {old!r}" for old, new in pairs if old != new]
    head = _HEAD.fullmatch(parts[-2])
    if head is not None:
        differences += _head(config, int(head.group(1)), head.group(2))
    elif parts[-2] != "no chain":
        differences.append(f"{parts[-2]!r} names no entry of a chain")
    return CitationCheck(now=now, differences=tuple(differences))


def _differences(before: Citation, now: Citation) -> Iterator[str]:
    same_polars = before.polars_version == now.polars_version
    for old, new in zip(before.values, now.values, strict=False):
        if old != new and (same_polars or not _as_good(old.value, new.value)):
            yield f"{old.expression} is {new.shown} instead of {old.shown}"
    if len(before.values) != len(now.values):
        yield "other expressions are selected"
    for name in ("rows", "records", "rows_without_records"):
        old, new = getattr(before, name), getattr(now, name)
        if old != new:
            yield f"{name.replace('_', ' ')}: {new} instead of {old}"
    if before.sources != now.sources:
        yield "other source files are behind it"
    if [(f.file, f.sha256) for f in before.files] != [(f.file, f.sha256) for f in now.files]:
        yield "the files of the version are other ones"
    # Hashes of other algorithms say nothing; the files and the figures have to do then.
    if before.contents.algorithm == now.contents.algorithm and before.contents != now.contents:
        yield "the rows hold something else"


def _as_good(old: str | None, new: str | None) -> bool:
    """Whether two figures may differ only by another version of Polars."""
    try:
        return math.isclose(float(old or ""), float(new or ""), rel_tol=_AS_GOOD)
    except ValueError:
        return False


def _head(config: PipelineConfig, number: int, digits: str) -> Iterator[str]:
    """Whether the chain still has the entry that was its last one."""
    if not chain_entry_path(config, number).is_file():
        yield f"the chain has no entry {number} any more"
    elif not chain.sha256(chain.read_bytes(config, number)).startswith(digits):
        yield f"entry {number} of the chain is another one"
