"""`jobforge run`: a source through all four layers."""

from __future__ import annotations

from typing import Annotated

import typer

import jobforge
from jobforge.cli import output, parameters

LoadOption = Annotated[
    str,
    typer.Option(
        "--load", help="replace: the batch becomes the table; append: its rows join the table."
    ),
]
OnConflictOption = Annotated[
    str,
    typer.Option(
        "--on-conflict",
        help="Where another run published meanwhile: fail, or retry on top of one that began "
        "earlier.",
    ),
]


def run(
    files: parameters.Files,
    table: parameters.TableName,
    domain: parameters.Domain = "default",
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    schema: parameters.SchemaFile = None,
    file_format: parameters.Format = None,
    options: parameters.Options = None,
    load: LoadOption = "replace",
    on_conflict: OnConflictOption = "fail",
    *,
    keep_source: parameters.KeepSource = False,
    as_json: parameters.AsJson = False,
) -> None:
    """Move source files through staged, bronze, silver and gold.

    Example: jobforge run employees.csv --table employees --schema employees.json
    """
    out = output.choose(as_json=as_json)
    from jobforge.cli.progress import progress_bar
    from jobforge.readers.parse import parse_options

    declared = parameters.contract_of(out, schema) if schema is not None else None
    read = parse_options(files, file_format, options or [])
    config = output.config(data_root, keep_source=keep_source)
    with progress_bar() as progress:
        engine = jobforge.PipelineEngine(config, progress=progress)
        result = engine.run_full_pipeline(
            files, table, domain, declared, read=read, load=load, on_conflict=on_conflict
        )
    if as_json:
        logs = [log.model_dump(mode="json") for log in result["logs"]]
        paths = {key: str(value) for key, value in result.items() if key.endswith("_path")}
        out.record({"batch_id": result["batch_id"], **paths, "logs": logs})
        return
    from jobforge.cli.accounts import show_logs

    show_logs(
        out, f"{domain}/{table}, batch {result['batch_id']}", result["logs"], config.data_root
    )
