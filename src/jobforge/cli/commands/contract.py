"""`jobforge contract`: proposed, tried, compared and written."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import jobforge
from jobforge.cli import output, parameters
from jobforge.cli.exit_codes import ExitCode
from jobforge.errors import InvalidOptionError

contract = typer.Typer(
    name="contract",
    help="Contracts: infer, check, diff, export, versions.",
    no_args_is_help=True,
    add_completion=False,
)


class Form(StrEnum):
    """How a contract is written."""

    ODCS = "odcs"
    PYTHON = "python"
    JSON_SCHEMA = "json-schema"
    DICT = "dict"


_FORM_OF_SUFFIX = {".py": Form.PYTHON, ".json": Form.JSON_SCHEMA}

FormOption = Annotated[
    Form | None,
    typer.Option(
        "--as",
        "-f",
        help="odcs: YAML after the Open Data Contract Standard; python; json-schema; dict: JSON. "
        "Told by the suffix of --out unless given, else odcs.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="A file to write, which may not be there yet; else it is printed."),
]
Name = Annotated[str, typer.Option("--table", "-t", help="Name of the table in the contract.")]
ContractFile = Annotated[
    Path, typer.Argument(help="A contract: ODCS YAML, JSON Schema, or a dict.")
]


@contract.command()
def infer(
    file: Annotated[Path, typer.Argument(help="A source file.")],
    form: FormOption = None,
    table: Name = "table",
    out_file: Out = None,
    file_format: parameters.Format = None,
    options: parameters.Options = None,
    *,
    ranges: Annotated[
        bool, typer.Option(help="Propose the least and greatest number seen as bounds.")
    ] = True,
    as_json: parameters.AsJson = False,
) -> None:
    """Propose a contract from a file: types over all rows, keys, null words, formats, ranges.

    Example: jobforge contract infer orders.csv --table orders --out orders.yaml
    """
    out = output.choose(as_json=as_json)
    from jobforge.readers.parse import parse_options

    read = parse_options([str(file)], file_format, options or [])
    found = jobforge.Contract.infer(file, read=read, ranges=ranges)
    _give(out, found, form, table, out_file)


@contract.command()
def check(
    file: Annotated[Path, typer.Argument(help="A source file.")],
    schema: Annotated[Path, typer.Option("--contract", help="The contract to try.")],
    file_format: parameters.Format = None,
    options: parameters.Options = None,
    rows: Annotated[int, typer.Option("-n", "--rows", min=0, help="How many reasons.")] = 10,
    *,
    as_json: parameters.AsJson = False,
) -> None:
    """Try a contract on a file without touching a data root; exit code 3 where it would stop.

    Example: jobforge contract check orders.csv --contract orders.yaml
    """
    out = output.choose(as_json=as_json)
    from jobforge.readers.parse import parse_options

    read = parse_options([str(file)], file_format, options or [])
    declared = parameters.contract_of(out, schema)
    found = jobforge.PipelineEngine().check_contract(file, declared, read=read)
    if as_json:
        rules = [{**rule.model_dump(mode="json"), "share": rule.share} for rule in found["rules"]]
        first = found["rejects"].head(rows).to_dicts()
        out.record({**found, "rules": rules, "rejects": first})
    else:
        out.line(f"{found['passed']:,} of {found['rows']:,} records pass {schema}")
        failed = [(r.rule, r.failed, r.judged) for r in found["rules"] if r.failed]
        if failed:
            out.table("", ("rule", "failed", "judged"), failed)
            shown = found["rejects"].select("record", "column", "value", "reason").head(rows)
            out.table("", shown.columns, shown.rows())
    if found["stopped"]:
        if not as_json:
            out.line(f"a run would stop: {found['stopped']}")
        raise typer.Exit(ExitCode.QUALITY)


@contract.command()
def diff(
    before: ContractFile,
    after: ContractFile,
    *,
    as_json: parameters.AsJson = False,
) -> None:
    """Compare two contracts, column by column; what may break a source or a reader is marked.

    Example: jobforge contract diff orders-1.yaml orders-2.yaml
    """
    out = output.choose(as_json=as_json)
    from jobforge.contracts.compare import compare_contracts

    changes = compare_contracts(
        parameters.contract_of(out, before), parameters.contract_of(out, after)
    )
    if as_json:
        out.record([change.model_dump(mode="json") for change in changes])
        return
    if not changes:
        out.line("no difference")
    for change in changes:
        out.line(f"{'breaking' if change.breaking else '':<9} {change}")


@contract.command()
def export(
    file: ContractFile,
    form: FormOption = None,
    table: Name = "table",
    out_file: Out = None,
    *,
    as_json: parameters.AsJson = False,
) -> None:
    """Write a contract in another form.

    Example: jobforge contract export orders.json --table orders --as odcs
    """
    out = output.choose(as_json=as_json)
    _give(out, parameters.contract_of(out, file), form, table, out_file)


@contract.command()
def versions(
    table: parameters.Table,
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    *,
    as_json: parameters.AsJson = False,
) -> None:
    """List when the columns of a table's source, or its contract, changed, and what.

    Example: jobforge contract versions orders
    """
    out = output.choose(as_json=as_json)
    found = jobforge.PipelineEngine(output.config(data_root)).schema_history(table)
    if as_json:
        out.record([version.model_dump(mode="json") for version in found])
        return
    rows = [
        (
            version.number if not at else None,
            f"{version.recorded_at:%Y-%m-%d %H:%M:%S}Z" if not at else "",
            version.batch_id if not at else "",
            change,
        )
        for version in found
        for at, change in enumerate(
            [str(change) for change in version.changes] or [f"{len(version.columns)} columns"]
        )
    ]
    out.table("", ("version", "since", "batch", "what changed"), rows)


def _give(
    out: output.Output, found: jobforge.Contract, form: Form | None, table: str, target: Path | None
) -> None:
    """Print a contract, or write it to a file that is not there yet."""
    texts: dict[Form, Callable[[], str]] = {
        Form.ODCS: lambda: found.to_odcs(table),
        Form.PYTHON: found.to_python,
        Form.JSON_SCHEMA: lambda: json.dumps(found.to_json_schema(table), indent=2) + "\n",
        Form.DICT: lambda: json.dumps(found.as_dict(), indent=2, ensure_ascii=False) + "\n",
    }
    suffix = target.suffix.lower() if target is not None else ""
    text = texts[form or _FORM_OF_SUFFIX.get(suffix, Form.ODCS)]()
    if target is None:
        if out.as_json:
            out.record(found.as_dict())
        else:
            out.text(text)
        return
    from jobforge.storage.publish import OUTSIDE, publish_bytes

    if target.exists():
        raise InvalidOptionError(f"{target} is there already", hint="name a new file")
    publish_bytes(target, text.encode(), replace=False, hints=OUTSIDE)
    if out.as_json:
        out.record(found.as_dict())
    else:
        out.line(f"{len(found.columns)} columns in {target}")
