"""`jobforge quarantine`: rejected rows, looked at, corrected, or waived."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import jobforge
from jobforge.cli import output, parameters

quarantine = typer.Typer(
    name="quarantine",
    help="Rejected rows: list, show, export, replay, waive.",
    no_args_is_help=True,
    add_completion=False,
)

LayerOption = Annotated[
    str | None,
    typer.Option("--layer", "-l", help="The layer that rejected them; every one unless given."),
]
Rows = Annotated[int, typer.Option("-n", "--rows", min=1, max=1_000_000, help="How many lines.")]
Personal = Annotated[
    bool,
    typer.Option("--show-personal", help="Show values of columns that are classed as personal."),
]


@quarantine.command("list")
def list_(
    table: parameters.AnyTable = None,
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    *,
    as_json: parameters.AsJson = False,
) -> None:
    """List what is in quarantine, oldest batch first, and how it stands.

    Example: jobforge quarantine list employees
    """
    out = output.choose(as_json=as_json)
    found = jobforge.PipelineEngine(output.config(data_root)).rejects(table)
    if as_json:
        out.record([entry.model_dump(mode="json") for entry in found])
        return
    rows = [
        (
            entry.batch_id,
            f"{entry.domain}/{entry.table}",
            str(entry.layer) + (" (stopped)" if entry.stopped else ""),
            rows,
            rule,
            standing if not at else "",
        )
        for entry in found
        for standing in [
            entry.damaged or ", ".join(f"{n:,} {state}" for state, n in entry.states.items())
        ]
        for at, (rule, rows) in enumerate(entry.rules.items() or [("", None)])
    ]
    out.table("", ("batch", "table", "layer", "rows", "first rule", "how they stand"), rows)


@quarantine.command()
def show(
    batch: parameters.Batch,
    layer: LayerOption = None,
    rows: Rows = 20,
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    *,
    show_personal: Personal = False,
    as_json: parameters.AsJson = False,
) -> None:
    """Show the rejected rows of a batch, one line for each reason.

    Example: jobforge quarantine show 0f6c... --layer bronze
    """
    out = output.choose(as_json=as_json)
    engine = jobforge.PipelineEngine(output.config(data_root))
    found = engine.reject_rows(batch, layer, personal=show_personal)
    if as_json:
        out.record(found.head(rows).to_dicts())
        return
    out.table(f"{found.height:,} reasons", found.columns, found.head(rows).rows())


@quarantine.command()
def export(
    batch: parameters.Batch,
    csv: Annotated[Path, typer.Option("--csv", help="The file to write; it may not be there yet.")],
    layer: LayerOption = None,
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    *,
    show_personal: Personal = False,
    as_json: parameters.AsJson = False,
) -> None:
    """Write the open rejects of a batch as CSV: the source's columns, and what is wrong.

    Values of personal columns are masked unless asked for; a masked file
    cannot be brought back in.

    Example: jobforge quarantine export 0f6c... --csv rejects.csv
    """
    out = output.choose(as_json=as_json)
    engine = jobforge.PipelineEngine(output.config(data_root))
    written = engine.export_rejects(batch, csv, layer, personal=show_personal)
    if as_json:
        out.record({"file": str(csv), "rows": written})
        return
    out.line(f"{written:,} records in {csv}")


@quarantine.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A corrected file that `export` wrote.")],
    batch: Annotated[str, typer.Option("--batch", help="The batch whose rejects it corrects.")],
    schema: parameters.SchemaFile = None,
    to: Annotated[
        str | None,
        typer.Option("--to", help="silver or gold; the highest it reached unless given."),
    ] = None,
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    *,
    as_json: parameters.AsJson = False,
) -> None:
    """Bring corrected rejects in: a new batch, appended, that names the one it cures.

    The contract is that of the batch unless one is given. Steps of silver and
    gold are Python: where the batch had some, use PipelineEngine.replay_rejects.

    Example: jobforge quarantine replay rejects.csv --batch 0f6c...
    """
    out = output.choose(as_json=as_json)
    from jobforge.cli.accounts import show_logs

    config = output.config(data_root)
    engine = jobforge.PipelineEngine(config)
    declared = parameters.contract_of(out, schema) if schema is not None else None
    result = engine.replay_rejects(file, batch, declared, to=to)
    if as_json:
        logs = [log.model_dump(mode="json") for log in result["logs"]]
        out.record({"batch_id": result["batch_id"], "cures": result["cures"], "logs": logs})
        return
    title = f"batch {result['batch_id']}, which cures {result['cures']}"
    show_logs(out, title, result["logs"], config.data_root)


@quarantine.command()
def waive(
    batch: parameters.Batch,
    by: Annotated[str, typer.Option("--by", help="Who answers for it.")],
    why: Annotated[str, typer.Option("--why", help="The reason. No personal data.")],
    layer: LayerOption = None,
    record: Annotated[
        list[int] | None,
        typer.Option("--record", help="_source_row; every open row unless given.", min=1),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--file", help="_source_file of the rows, where the batch has several."),
    ] = None,
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    *,
    as_json: parameters.AsJson = False,
) -> None:
    """Decide that rejected rows stay out; the record of the batch says who and why.

    Example: jobforge quarantine waive 0f6c... --by "J. Roy" --why "closed outlets" --record 17
    """
    out = output.choose(as_json=as_json)
    engine = jobforge.PipelineEngine(output.config(data_root))
    made = engine.waive_rejects(
        batch, by=by, why=why, layer=layer, records=record or None, source_file=file
    )
    if as_json:
        out.record([waiver.model_dump(mode="json") for waiver in made])
        return
    for waiver in made:
        out.line(f"{waiver.layer}: {waiver.rows:,} rows waived by {waiver.by}: {waiver.why}")
