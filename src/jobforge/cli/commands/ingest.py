"""`jobforge ingest`: a source into staged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jobforge
from jobforge.cli import output, parameters
from jobforge.errors import InvalidOptionError

if TYPE_CHECKING:
    from jobforge.pipeline.results import IngestResult


def ingest(
    files: parameters.Files,
    table: parameters.TableName,
    domain: parameters.Domain = "default",
    data_root: parameters.DataRoot = parameters.DEFAULT_ROOT,
    file_format: parameters.Format = None,
    options: parameters.Options = None,
    *,
    keep_source: parameters.KeepSource = False,
    as_json: parameters.AsJson = False,
) -> None:
    """Put source files into staged, exactly as they are.

    Example: jobforge ingest noc_structure_en.csv --table noc --domain reference
    """
    out = output.choose(as_json=as_json)
    from jobforge.cli.accounts import show_logs
    from jobforge.cli.progress import progress_bar
    from jobforge.readers.excel.options import EVERY_SHEET, ExcelOptions
    from jobforge.readers.parse import parse_options

    read = parse_options(files, file_format, options or [])
    config = output.config(data_root, keep_source=keep_source)
    with progress_bar() as progress:
        engine = jobforge.PipelineEngine(config, progress=progress)
        if every_sheet := isinstance(read, ExcelOptions) and read.sheet == EVERY_SHEET:
            if len(files) > 1:
                raise InvalidOptionError(
                    "sheet='*' makes tables of one workbook, and more files are named",
                    hint="ingest the workbooks one by one",
                )
            results = list(engine.ingest_sheets(files[0], table, domain, read=read).values())
        else:
            results = [engine.ingest(files, table, domain, read=read)]
    if as_json:
        records = [_record(result) for result in results]
        out.record(records if every_sheet else records[0])
        return
    for result in results:
        log = result["log"]
        title = f"{log.domain}/{log.table}, batch {log.batch_id}"
        show_logs(out, title, [log], config.data_root)


def _record(result: IngestResult) -> dict[str, object]:
    return {
        "batch_id": result["batch_id"],
        "staged_path": str(result["staged_path"]),
        "log": result["log"].model_dump(mode="json"),
    }
