"""Whether the chain agrees with itself: accounts, times, what a version was made of."""

from __future__ import annotations

from jobforge.errors import AccountError
from jobforge.pipeline.audit.chained import Told
from jobforge.pipeline.audit.findings import Findings
from jobforge.pipeline.chain import ChainEntry, chain_entry_path
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.models import LayerTransitionLog
from jobforge.storage.paths import relative_to_root


def check_logs(config: PipelineConfig, told: Told, findings: Findings) -> None:
    """Check what the entries say, each by itself."""
    for sealed in told.entries:
        entry = sealed.entry
        if entry.log is not None:
            place = relative_to_root(chain_entry_path(config, entry.number), config.data_root)
            _check(entry, entry.log, place, findings)


def _check(entry: ChainEntry, log: LayerTransitionLog, place: str, findings: Findings) -> None:
    number = entry.number
    if log.account is not None:
        try:
            log.account.check()
        except AccountError as error:
            findings.add("account", place, error.message, number)
        if log.row_count_out not in (log.account.rows_out, 0):
            text = f"{log.row_count_out} rows came out, and {log.account.rows_out} by the account"
            findings.add("account", place, text, number)
    if log.contents is not None and log.contents.rows != log.row_count_out:
        text = f"{log.row_count_out} rows came out, and {log.contents.rows} were hashed"
        findings.add("account", place, text, number)
    if log.completed_at is not None and log.completed_at > entry.at:
        text = f"the entry is of {entry.at}, and the transition ended at {log.completed_at}"
        findings.add("clock", place, text, number)
