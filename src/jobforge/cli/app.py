"""The commands of `jobforge`, each made when it is asked for."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from jobforge._version import __version__

# A module of `jobforge.cli.commands`, with a function or group of its name.
_COMMANDS = (
    "ingest",
    "run",
    "history",
    "tables",
    "show",
    "lineage",
    "account",
    "replay",
    "diff",
    "rollback",
    "compact",
    "clean",
    "erase",
    "demo",
    "quarantine",
    "contract",
    "trace",
    "impact",
    "verify",
    "cite",
    "pack",
)


_ALLOCATOR = "_RJEM_MALLOC_CONF"
"""Options of jemalloc, see "TUNING" in its manual; Polars adds its own before them."""


class _Commands(TyperGroup):
    """A group that knows the names of its commands, and imports one when it is to be run or shown.

    Making all of them takes 20 ms.
    """

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - those of typer
        super().__init__(**settings)
        self.commands = dict.fromkeys(_COMMANDS, self)  # typer lists and suggests the names

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 - typer's own types
        del ctx
        if cmd_name not in self.commands:
            return None
        found = getattr(import_module(f"jobforge.cli.commands.{cmd_name}"), cmd_name)
        if not isinstance(found, typer.Typer):
            single = typer.Typer(add_completion=False)
            single.command(cmd_name)(found)
            found = single
        return get_command(found)


app = typer.Typer(
    name="jobforge",
    cls=_Commands,
    help="Move source files through staged, bronze, silver and gold, and prove where every row "
    "came from. Sends no telemetry.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:  # noqa: FBT001 - typer's callback signature
    if asked:
        sys.stdout.write(f"jobforge {__version__}\n")
        raise typer.Exit


@app.callback()
def _main(
    log_format: Annotated[
        str,
        typer.Option(
            envvar="JOBFORGE_LOG_FORMAT",
            help="Form of the log on standard error: console or json.",
        ),
    ] = "",
    *,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No log on standard error.")] = False,
    low_memory: Annotated[
        bool,
        typer.Option(
            "--low-memory",
            help="Give memory back at once: a lower peak, a quarter more time.",
        ),
    ] = False,
    openlineage: Annotated[
        str,
        typer.Option(
            envvar="JOBFORGE_OPENLINEAGE",
            metavar="WHERE",
            help="Tell each transition as OpenLineage events: file, console, or the URL of an "
            "endpoint; none for no events, as without it.",
        ),
    ] = "",
    openlineage_namespace: Annotated[
        str,
        typer.Option(
            envvar="JOBFORGE_OPENLINEAGE_NAMESPACE",
            metavar="NAME",
            help="Namespace of the jobs in OpenLineage events; jobforge unless given.",
        ),
    ] = "",
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if low_memory:
        # The allocator of Polars reads this when Polars is loaded, which no command has done yet.
        said = [os.environ.get(_ALLOCATOR), "dirty_decay_ms:0,muzzy_decay_ms:0"]
        os.environ[_ALLOCATOR] = ",".join(filter(None, said))
    if log_format or quiet:
        from jobforge.pipeline import events

        events.configure(log_format or "console", quiet=quiet)
    if openlineage:
        from jobforge.cli import output

        output.choose_openlineage(openlineage, openlineage_namespace)
