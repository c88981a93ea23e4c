"""The `jobforge` command: registers the commands and turns errors into exit codes."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated

import typer

from jobforge._version import __version__
from jobforge.cli import output
from jobforge.cli.commands.account import account
from jobforge.cli.commands.clean import clean
from jobforge.cli.commands.compact import compact
from jobforge.cli.commands.contract import contract
from jobforge.cli.commands.demo import demo
from jobforge.cli.commands.diff import diff
from jobforge.cli.commands.erase import erase
from jobforge.cli.commands.history import history
from jobforge.cli.commands.ingest import ingest
from jobforge.cli.commands.quarantine import quarantine
from jobforge.cli.commands.rollback import rollback
from jobforge.cli.commands.run import run
from jobforge.cli.commands.show import show
from jobforge.cli.commands.tables import tables
from jobforge.cli.exit_codes import ExitCode, exit_code
from jobforge.errors import JobforgeError

app = typer.Typer(
    name="jobforge",
    help="Move source files through staged, bronze, silver and gold, and prove where every row "
    "came from. Sends no telemetry.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    ingest,
    run,
    history,
    tables,
    show,
    account,
    diff,
    rollback,
    compact,
    clean,
    erase,
    demo,
):
    app.command()(command)
for group in (quarantine, contract):
    app.add_typer(group)


def _version(asked: bool) -> None:  # noqa: FBT001 - typer's callback signature
    if asked:
        sys.stdout.write(f"jobforge {__version__}\n")
        raise typer.Exit


@app.callback()
def _main(
    log_format: Annotated[
        str, typer.Option(help="Form of the log on standard error: console or json.")
    ] = "",
    *,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No log on standard error.")] = False,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if log_format or quiet:
        from jobforge.pipeline import events

        events.configure(log_format or "console", quiet=quiet)


def main() -> None:
    """Run the command line; the entry point of the installed script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a letter gets its code, not an error.
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except JobforgeError as error:
        output.current().failure(error)
        sys.exit(exit_code(error))
    except Exception as error:  # a traceback is no message for a user
        if os.environ.get("JOBFORGE_DEBUG"):
            raise
        unexpected = JobforgeError(
            f"unexpected {type(error).__name__}: {error}",
            hint="this is a defect of jobforge; set JOBFORGE_DEBUG=1 to see where, and report it",
        )
        output.current().failure(unexpected)
        sys.exit(ExitCode.FAILED)
