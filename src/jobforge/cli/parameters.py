"""Parameters that several commands share."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobforge.cli.output import Output
from jobforge.errors import InvalidOptionError

if TYPE_CHECKING:
    from jobforge.contracts.contract import Contract

DataRoot = Annotated[
    str, typer.Option("--data-root", help="Folder that holds the layers and the catalog.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Files = Annotated[
    list[str],
    typer.Argument(help="Source files, folders or patterns of one schema.", metavar="FILE..."),
]
TableName = Annotated[str, typer.Option("--table", "-t", help="Name of the table.")]
Domain = Annotated[str, typer.Option("--domain", "-d", help="Business domain of the table.")]
Format = Annotated[
    str | None,
    typer.Option(
        "--format", help="Format of the files where their names do not tell it: csv, json, ..."
    ),
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-O",
        help="A reader option, such as delimiter=';' or sheet=2; may be given more than once.",
        metavar="NAME=VALUE",
    ),
]
KeepSource = Annotated[
    bool,
    typer.Option(
        "--keep-source",
        help="Keep the bytes of the source files in the data root, so that records can be shown "
        "as they stood when a file has moved.",
    ),
]

SchemaFile = Annotated[
    Path | None,
    typer.Option(
        "--schema",
        "--contract",
        help="The contract: ODCS YAML, JSON Schema, or a dict (rename, cast, null_values, format).",
    ),
]


def contract_of(out: Output, path: Path) -> Contract:
    """The contract in a file; what of it is not judged goes to standard error."""
    from jobforge.contracts.files import read_contract

    found = read_contract(path)
    for what in found.left_out:
        out.errors.print(f"{path}: left out: {what}")
    return found.contract


Modules = Annotated[
    list[str] | None,
    typer.Option(
        "--code",
        help="Module or Python file that has the functions of the batch; may be given more than "
        "once.",
        metavar="MODULE|FILE.py",
    ),
]
Personal = Annotated[
    bool, typer.Option("--personal", help="Show the values of columns classed as personal.")
]
HashSources = Annotated[
    bool, typer.Option("--verify", help="Hash large source files, too, before looking into them.")
]
Table = Annotated[str, typer.Argument(help="table or domain/table.")]
AnyTable = Annotated[
    str | None,
    typer.Argument(help="table or domain/table; every table unless given.", metavar="[TABLE]"),
]
Batch = Annotated[str, typer.Argument(help="_batch_id of the rows.")]
Versioned = Annotated[str, typer.Option("--layer", "-l", help="bronze, silver or gold.")]

DEFAULT_ROOT = "data"


def moment(text: str) -> datetime:
    """The time that --as-of names.

    Raises:
        InvalidOptionError: It is none, or has no time zone.
    """
    hint = "use ISO 8601 with a zone: 2026-01-31T12:00:00Z"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidOptionError(f"--as-of is {text!r}", hint=hint) from error
    if moment.tzinfo is None:
        raise InvalidOptionError(f"--as-of is {text!r}, which has no time zone", hint=hint)
    return moment
