"""Whether files and versions are what the logs in the chain say of them.

The hash of a file says that its bytes are those of then; this says that the log spoke
of these bytes: the rows, the columns, the version of the table and who made it, the
rows in quarantine, and the source records that left or went into aggregates.
"""

from __future__ import annotations

import polars as pl

from jobforge.errors import TableDamagedError
from jobforge.pipeline.audit.beside import check_beside
from jobforge.pipeline.audit.chained import Told
from jobforge.pipeline.audit.findings import Findings
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.content import ALGORITHM, whole_hash
from jobforge.pipeline.models import Contents, LayerTransitionLog
from jobforge.pipeline.provenance import SOURCE_ROW, data_columns
from jobforge.pipeline.versions import table_store
from jobforge.storage.delta.log import commit_of, entry_path, read_entry
from jobforge.storage.paths import relative_to_root

_DAMAGE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


def check_published(config: PipelineConfig, told: Told, first: int, findings: Findings) -> None:
    """Hold what the logs say against the files that still stand, and the logs of the tables.

    Args:
        config: Where the data root is.
        told: What the chain says.
        first: Entries before this one are left out.
        findings: What was found so far; what does not fit is added here.
    """
    altered = {finding.subject for finding in findings.all}
    for sealed in told.entries:
        log, number = sealed.entry.log, sealed.entry.number
        if log is None or number < first:
            continue
        if log.target_file in told.expected and log.target_file not in altered:
            _check_rows(config, log, number, findings)
        beside = (log.quarantine_file, log.edges_file, log.groups_file)
        stands = {file for file in beside if file in told.expected} - altered
        check_beside(config, log, number, stands, findings)
        if log.table_version is not None and log.target_layer is not Layer.STAGED:
            _check_version(config, log, number, findings)


def _check_rows(
    config: PipelineConfig, log: LayerTransitionLog, number: int, findings: Findings
) -> None:
    file = str(log.target_file)
    try:
        frame = pl.scan_parquet(config.data_root / file, glob=False)
        schema = frame.collect_schema()
        rows = int(frame.select(pl.len()).collect().item())
    except _DAMAGE:
        return  # its bytes are others, which is said of the file
    # Of a transition whose process died after it published, the log says no rows.
    if log.row_count_out is not None and rows != log.row_count_out:
        text = f"it has {rows} rows, and its log says {log.row_count_out}"
        findings.add("count", file, text, number)
    contents = log.contents
    if contents is None:
        return
    known, names = contents.columns.keys() - {SOURCE_ROW}, set(data_columns(schema.names()))
    if known != names:
        other = ", ".join(sorted(known ^ names))
        findings.add("schema", file, f"its columns are not those of its log: {other}", number)
    elif contents.rows == rows and not _is_hashed(contents, schema):
        text = "its columns have other types, or sums, than those of the hash in its log"
        findings.add("schema", file, text, number)


def _is_hashed(contents: Contents, schema: pl.Schema) -> bool:
    """Whether the hash of contents is that of their sums and of the types of a file."""
    if contents.algorithm != ALGORITHM:
        return True  # another version of Polars may have other names for the types
    return SOURCE_ROW in contents.columns and whole_hash(contents, schema) == contents.hash


def _check_version(
    config: PipelineConfig, log: LayerTransitionLog, number: int, findings: Findings
) -> None:
    store = table_store(config, log.target_layer, log.domain, log.table)
    version = log.table_version or 0
    try:
        commit = commit_of(read_entry(store.folder, version))
    except TableDamagedError:
        return  # the entry is gone or damaged, which is said of its file
    if commit is None or commit.transition_id != log.transition_id:
        name = relative_to_root(entry_path(store.folder, version), config.data_root)
        text = f"version {version} was not made by the transition whose log says so"
        findings.add("version", name, text, number)
