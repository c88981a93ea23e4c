"""`jobforge cite`: a figure, and the line to put under it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

import jobforge
from jobforge.cli import output, parameters
from jobforge.cli.commands.show import AsOf, Version
from jobforge.cli.exit_codes import ExitCode
from jobforge.errors import InvalidOptionError

if TYPE_CHECKING:
    from jobforge.pipeline.audit.citation import Citation

Sql = Annotated[
    str | None,
    typer.Argument(help="SELECT expression FROM table [WHERE condition].", metavar="[SQL]"),
]
Check = Annotated[
    str | None,
    typer.Option(
        "--check",
        help="A file that --json printed, or with SQL the line of its figure: say whether it "
        "still holds.",
        metavar="LINE|FILE",
    ),
]


def cite(
    sql: Sql = None,
    version: Version = None,
    as_of: AsOf = None,
    check: Check = None,
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    *,
    as_json: parameters.AsJson = False,
) -> None:
    """Print a figure with what it rests on, as one line to put under it in a report.

    With --check the exit code is 1 where a citation no longer holds.

    Example: jobforge cite "SELECT sum(net) FROM revenue WHERE region = 'north'"
    """
    out = output.choose(as_json=as_json)
    engine = jobforge.PipelineEngine(output.config(data_root))
    if check is not None:
        if version is not None or as_of is not None:
            raise InvalidOptionError(
                "--check goes by the version of the citation",
                hint="leave --version and --as-of out",
            )
        _check(out, engine, check, sql)
        return
    if sql is None:
        raise InvalidOptionError(
            "no statement is given", hint='jobforge cite "SELECT sum(net) FROM revenue"'
        )
    moment = parameters.moment(as_of) if as_of is not None else None
    found = engine.cite(sql, version=version, as_of=moment)
    if as_json:
        out.record(_told(found))
        return
    out.line(found.line())
    if not found.rows:
        out.errors.print("note: no row of the table meets the condition")
    elif any(value.value is None for value in found.values):
        out.errors.print("note: NULL: the rows have no value there")


def _check(
    out: output.Output, engine: jobforge.PipelineEngine, check: str, sql: str | None
) -> None:
    found = engine.check_citation(check, sql)
    if out.as_json:
        out.record(
            {
                "holds": found.holds,
                "differences": list(found.differences),
                "now": _told(found.now),
            }
        )
    elif found.holds:
        out.line("it holds")
        out.line(found.now.line())
    else:
        for difference in found.differences:
            out.line(f"it does not hold: {difference}")
        out.line(f"now: {found.now.line()}")
    if not found.holds:
        raise typer.Exit(ExitCode.FAILED)


def _told(found: Citation) -> dict[str, object]:
    return {"line": found.line(), **found.model_dump(mode="json")}
