"""Whether a citation still holds: the same is computed again, at the version that it names."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from jobforge.errors import InvalidOptionError, RecordError
from jobforge.pipeline import chain
from jobforge.pipeline.audit.citation import NO_CHAIN, SEPARATOR, Citation, CitedValue, on_one_line
from jobforge.pipeline.audit.cite import cite
from jobforge.pipeline.audit.cite_statement import Statement, parse_statement
from jobforge.pipeline.chain import ChainEntry, chain_entry_path
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.records import Record, check_format, parse_record
from jobforge.pipeline.transition import Clock, utc_now

_ANY_VERSION = re.compile(r" v([1-9]\d{0,17})(?: where |$)")
_HEAD = re.compile(r"chain (\d{1,18}) ([0-9a-f]{16,64})")
_TAIL = 4
"""Parts of a line behind the condition, which may hold any text: rows, content, chain, who."""
_APART = frozenset({
    "cited_at", "jobforge_version", "polars_version", "format_version",
    "values", "table", "domain", "contents", "files", "head",
})  # fmt: skip
"""Fields that say when and by what it was cited, and those that are compared in a way of their
own; every other field has to be the same."""
_SAID = {"sources": "other source files are behind it", "groups": "other groups are behind it"}
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


def check_file(
    config: PipelineConfig, path: Path | str, *, clock: Clock = utc_now
) -> CitationCheck:
    """Compute the citation of a file again, and hold the line in it against its fields.

    Args:
        config: Where the data root is.
        path: What `jobforge cite --json` printed.
        clock: Gives the time in UTC.

    Raises:
        RecordError: The file cannot be read, or is no citation.
        JobforgeError: As for `cite`.
    """
    before, line = _read(path)
    found = check_citation(config, before, clock=clock)
    if line is None or line == before.line():
        return found
    more = f"the line in the file is not that of its fields: {line!r}"
    return CitationCheck(now=found.now, differences=(*found.differences, more))


def _read(path: Path | str) -> tuple[Citation, str | None]:
    """A citation, and its line where there is one.

    Raises:
        RecordError: It cannot be read, or is none.
    """
    try:
        raw = json.loads(Path(path).read_bytes())
        line = raw.pop("line", None)
        text = json.dumps(raw).encode()
        check_format(Path(path), text)
        return Citation.model_validate_json(text), line
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise RecordError(
            f"{path} is no citation ({(str(error).splitlines() or [''])[0]})",
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
    else:
        found += _headless(config, before.cited_at)
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
    version = _version_of(SEPARATOR.join(parts[:-_TAIL]), parse_statement(sql))
    if version is None or len(parts) < _TAIL + 2:
        hint = "give the whole line that `jobforge cite` printed, in quotes"
        if line.strip().endswith(".json"):
            hint = "a file that --json printed has its statement: leave yours out"
        raise InvalidOptionError("the text is no line of a citation", hint=hint)
    now = cite(config, sql, version=version, clock=clock)
    again = now.line().split(SEPARATOR)
    pairs = [
        (SEPARATOR.join(parts[:-_TAIL]), SEPARATOR.join(again[:-_TAIL])),
        *zip(parts[-_TAIL:-2], again[-_TAIL:-2], strict=True),
    ]
    differences = [f"{new!r} instead of {old!r}" for old, new in pairs if old != new]
    head = _HEAD.fullmatch(parts[-2])
    if head is not None:
        differences += _head(config, int(head.group(1)), head.group(2))
    elif parts[-2] != NO_CHAIN:
        differences.append(f"{parts[-2]!r} names no entry of a chain")
    else:
        differences += _headless(config, _moment(parts[-1]))
    return CitationCheck(now=now, differences=tuple(differences))


def _version_of(text: str, statement: Statement) -> int | None:
    """The version that a line names; None where it names none.

    The values before it and the condition behind it may hold any text. So it is the one
    that stands between the table and the condition of this statement, at the end.
    """
    where = "" if statement.where is None else f" where {on_one_line(statement.where)}"
    domain, _, table = statement.table.rpartition("/")
    address = f"{re.escape(domain) if domain else '[^/]+'}/{re.escape(table)}"
    own = rf"{statement.layer} {address} v([1-9]\d{{0,17}}){re.escape(where)}"
    found = re.search(rf"(?:^|{SEPARATOR}){own}\Z", text)
    # Of another statement the line is compared all the same, and differs.
    found = found or _ANY_VERSION.search(text.partition(SEPARATOR)[2])
    return int(found.group(1)) if found is not None else None


def _moment(text: str) -> datetime | None:
    """The time at the end of a line."""
    try:
        return datetime.fromisoformat(text.rpartition(", ")[2])
    except ValueError:
        return None


def _differences(before: Citation, now: Citation) -> Iterator[str]:
    same_polars = before.polars_version == now.polars_version
    if len(before.values) != len(now.values):
        yield "other expressions are selected"
    for old, new in zip(before.values, now.values, strict=False):
        yield from _value(old, new, same_polars=same_polars)
    for name in Citation.model_fields:
        was, found = getattr(before, name), getattr(now, name)
        if name not in _APART and was != found:
            yield _SAID.get(name, f"{name.replace('_', ' ')}: {found} instead of {was}")
    if [(f.file, f.sha256) for f in before.files] != [(f.file, f.sha256) for f in now.files]:
        yield "the files of the version are other ones"
    elif before.files != now.files:
        yield "the files stand in other entries of the chain"
    # Another version of Polars hashes in another way; the files and the figures have to do then.
    whole = same_polars or before.contents.algorithm == now.contents.algorithm
    if _contents(before, whole=whole) != _contents(now, whole=whole):
        yield "the rows hold something else"


def _value(old: CitedValue, new: CitedValue, *, same_polars: bool) -> Iterator[str]:
    if old == new:
        return
    if old.expression != new.expression:
        yield f"{new.expression} is selected instead of {old.expression}"
    elif not same_polars and new.data_type.startswith("Float"):
        if not (_as_good(old.value, new.value) and _as_good(old.shown, new.shown)):
            yield f"{old.expression} is {new.shown} instead of {old.shown}"
    elif old.shown != new.shown:
        yield f"{old.expression} is {new.shown} instead of {old.shown}"
    elif old.value != new.value:
        yield f"{old.expression} has the value {new.value} instead of {old.value}"
    elif same_polars:  # which may call its types by other names by now
        yield f"{old.expression} is of type {new.data_type} instead of {old.data_type}"


def _contents(citation: Citation, *, whole: bool) -> object:
    contents = citation.contents
    return contents if whole else (contents.key, contents.rows, sorted(contents.columns))


def _as_good(old: str | None, new: str | None) -> bool:
    """Whether two figures may differ only by another version of Polars."""
    try:
        one, other = (float((text or "").replace(",", "")) for text in (old, new))
    except ValueError:
        return old == new
    return math.isclose(one, other, rel_tol=_AS_GOOD)


def _head(config: PipelineConfig, number: int, digits: str) -> Iterator[str]:
    """Whether the chain still has the entry that was its last one."""
    if not chain_entry_path(config, number).is_file():
        yield f"the chain has no entry {number} any more"
    elif not chain.sha256(chain.read_bytes(config, number)).startswith(digits):
        yield f"entry {number} of the chain is another one"


def _headless(config: PipelineConfig, cited_at: datetime | None) -> Iterator[str]:
    """Whether a citation may be without an entry of the chain: only where that began later."""
    if not chain.newest_number(config):
        return
    first = parse_record(chain_entry_path(config, 1), chain.read_bytes(config, 1), ChainEntry)
    # A line has its time in whole seconds.
    if cited_at is None or cited_at.tzinfo is None or first.at.replace(microsecond=0) <= cited_at:
        yield "it names no entry of the chain, and there was one"
