"""`jobforge verify`: whether everything is still what was published."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

import jobforge
from jobforge.cli import output, parameters
from jobforge.cli.exit_codes import ExitCode
from jobforge.errors import InvalidOptionError

Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        help="The number of an entry of the chain, or a time with its zone (ISO 8601): files of "
        "entries before it are not read again.",
    ),
]
Against = Annotated[
    str | None, typer.Option("--against", help="A hash that --head printed: must be there still.")
]
ShowHead = Annotated[
    bool, typer.Option("--head", help="Print the last entry and its hash, to be kept elsewhere.")
]


def verify(
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    since: Since = None,
    against: Against = None,
    *,
    head: ShowHead = False,
    as_json: parameters.AsJson = False,
) -> None:
    """Hold every file and record of the data root against the chain, offline.

    The exit code is 1 where anything does not fit.

    Example: jobforge verify --against 3f1a9c0b7d2e4455
    """
    out = output.choose(as_json=as_json)
    from jobforge.cli.progress import progress_bar

    engine = jobforge.PipelineEngine(output.config(data_root))
    if head:
        if since is not None or against is not None:
            other = "--since" if against is None else "--against"
            raise InvalidOptionError(
                f"--head and {other} were given together",
                hint="--head checks nothing; ask for one after the other",
            )
        _head(out, engine)
        return
    with progress_bar() as progress:
        found = engine.verify(since=_since(since), against=against, progress=progress)
    if as_json:
        out.record({"sound": found.sound, **found.model_dump(mode="json")})
    else:
        read = found.hashed_bytes / 2**20
        out.line(f"{found.entries:,} entries, {found.files:,} files, {read:,.1f} MiB read again")
        if found.unread_before is not None:
            text = f"the bytes of {found.unread_files:,} files before entry {found.unread_before}"
            out.line(f"{text} were not read")
        if found.sound:
            rest = "" if found.unread_before is None else " else"
            out.line(f"everything{rest} is as it was published")
        for position, finding in enumerate(found.findings):
            where = f" (entry {finding.entry})" if finding.entry else ""
            first = "first: " if position == 0 and len(found.findings) > 1 else ""
            out.line(f"{first}{finding.kind}: {finding.subject}: {finding.message}{where}")
        if found.head is not None:
            out.line(f"head: {found.head.number} {found.head.sha256}")
    if not found.sound:
        raise typer.Exit(ExitCode.FAILED)


def _head(out: output.Output, engine: jobforge.PipelineEngine) -> None:
    found = engine.head()
    if out.as_json:
        out.record(found.model_dump(mode="json") if found is not None else None)
    else:
        out.line(f"{found.number} {found.sha256}" if found else "there is no chain yet")


def _since(text: str | None) -> datetime | int | None:
    """A number or a time.

    Raises:
        InvalidOptionError: It is neither.
    """
    if text is None or text.isdecimal():
        return int(text) if text else None
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidOptionError(
            f"--since is {text!r}", hint="use a number, or a time such as 2026-01-31T00:00:00Z"
        ) from error
    if time.tzinfo is None:
        raise InvalidOptionError(
            f"--since is {text!r}, and a time needs a zone",
            hint=f"such as {time.isoformat()}Z for UTC",
        )
    return time
