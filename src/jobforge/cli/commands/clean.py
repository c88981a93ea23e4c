"""`jobforge clean`: what could go, and away with it when asked."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

import typer

import jobforge
from jobforge.cli import output, parameters
from jobforge.errors import InvalidOptionError

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(r"([0-9]+)([mhdw])")

KeepVersions = Annotated[
    int | None,
    typer.Option("--keep-versions", help="Keep this many of the newest versions of each table."),
]
OlderThan = Annotated[
    str | None,
    typer.Option(
        "--older-than",
        help="Keep every version that was the newest within this time: 30d, 12h, 2w.",
        metavar="TIME",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Remove the files, instead of showing them.")]


def clean(
    keep_versions: KeepVersions = None,
    older_than: OlderThan = None,
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    *,
    yes: Yes = False,
    as_json: parameters.AsJson = False,
) -> None:
    """Show which files no retained version needs; with --yes, remove them.

    Without --keep-versions and --older-than every version is kept, and only
    what no version and no record names can go, once it is a day old.

    Example: jobforge clean --keep-versions 10 --older-than 30d --yes
    """
    out = output.choose(as_json=as_json)
    engine = jobforge.PipelineEngine(output.config(data_root))
    span = _span(older_than) if older_than is not None else None
    plan = (engine.clean if yes else engine.plan_clean)(keep_versions, span)
    total = sum(part.size_bytes for part in plan.removable)
    if as_json:
        out.record(
            {
                "removed": yes,
                "size_bytes": total,
                "layers": [
                    {
                        "table": part.table.table,
                        "domain": part.table.domain,
                        "layer": str(part.layer),
                        "versions": list(part.versions),
                        "files": part.files,
                    }
                    for part in plan.removable
                ],
                "debris": [str(path) for path in plan.debris],
            }
        )
        return
    if not plan.removable and not plan.debris:
        out.line("nothing to remove")
        return
    rows = [
        (
            f"{part.table.domain}/{part.table.table}",
            str(part.layer),
            len(part.files),
            part.size_bytes,
            ", ".join(map(str, part.versions)) or "none",
        )
        for part in plan.removable
    ]
    out.table("", ("table", "layer", "files", "bytes", "versions that no longer open"), rows)
    if plan.debris:
        out.line(f"{len(plan.debris)} unfinished files of processes and ingests that are gone")
    done = "removed" if yes else "could be removed; say --yes to do it"
    out.line(f"{sum(len(part.files) for part in plan.removable)} files, {total:,} bytes {done}")


def _span(text: str) -> timedelta:
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise InvalidOptionError(
            f"--older-than is {text!r}", hint="use a number and m, h, d or w: 12h, 30d"
        )
    try:
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError as error:
        raise InvalidOptionError(
            f"--older-than is {text!r}, longer than any time", hint="use less"
        ) from error
