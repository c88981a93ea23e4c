"""Staged: the source exactly as it is, plus provenance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import polars as pl

from jobforge._version import __version__
from jobforge.errors import InvalidNameError, SourceError
from jobforge.pipeline import lineage
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.footer import Footer, FooterSource
from jobforge.pipeline.layers.base import LayerBase
from jobforge.pipeline.layers.sources import Staging, stage_sources
from jobforge.pipeline.models import Operation, SourceInfo
from jobforge.pipeline.provenance import generate_batch_id
from jobforge.pipeline.transition import Move, Outcome, Transition
from jobforge.pipeline.work import Verdict, Work, Written
from jobforge.pipeline.writing import ALONE, Neighbours, carry_out
from jobforge.quality.account import RowAccount
from jobforge.quality.quarantine import count_by_first_reason
from jobforge.readers.base import Background, Progress, ReadContext, ReadOptions, no_progress
from jobforge.readers.discovery import Found, discover
from jobforge.storage.names import check_name

Source = Path | str | Sequence[Path | str]
"""One file, a folder, a pattern, or a list of files."""


_MOST_SHRUNK = 20
"""Text rarely shrinks more than this in Parquet."""


class StagedLayer(LayerBase):
    """Adds provenance to a source; changes, drops, retypes and reorders nothing."""

    name: ClassVar = Layer.STAGED
    allowed_operations: ClassVar = frozenset({"add_provenance"})

    def ingest(
        self,
        source_path: Source,
        config: PipelineConfig,
        *,
        table_name: str | None = None,
        domain: str = "default",
        batch_id: str | None = None,
        read: ReadOptions | None = None,
    ) -> Path:
        """Put a source into the staged archive.

        Args:
            source_path: A file, a folder, a pattern such as `in/*.csv`, or a
                list of files of one schema.
            config: Where the data root is.
            table_name: Name of the table; the file's name up to its first dot
                unless given.
            domain: Business domain that the table belongs to.
            batch_id: UUID4 text; a new one unless given.
            read: Options of the format, such as `CsvOptions(delimiter=";")`.

        Returns:
            Path of the Parquet file.

        Raises:
            InvalidNameError: The table or domain name is not safe.
            SourceError: The source cannot be read exactly.
            StorageError: The data root cannot be written.
        """
        name = _default_name(source_path) if table_name is None else table_name
        return self.run(source_path, config, name, domain, batch_id, read).path

    def run(
        self,
        source_path: Source,
        config: PipelineConfig,
        table_name: str,
        domain: str = "default",
        batch_id: str | None = None,
        read: ReadOptions | None = None,
        progress: Progress = no_progress,
        cures: str | None = None,
        neighbours: Neighbours = ALONE,
    ) -> Outcome:
        """`ingest`, with the log of the transition in the result."""
        check_name("table", table_name)
        check_name("domain", domain)
        found, refusal = _discovered(source_path)
        if batch_id is not None:
            lineage.check_batch_id(batch_id)
        move = Move(
            batch_id=batch_id or generate_batch_id(),
            table=table_name,
            domain=domain,
            source_layer="source",
            target_layer=self.name,
            source_files=found.names if found else (str(source_path),),
            operation=Operation.INGEST,
            cures=cures,
        )
        transition = Transition(config, move, self._clock)

        def plan(scratch: Path) -> Work:
            if found is None:
                raise refusal
            context = ReadContext(scratch, progress, background)
            staging = stage_sources(found, config, move, transition.started_at, read, context)
            return self._work(staging, config, move)

        with Background() as background:
            return carry_out(transition, plan, None, neighbours)

    def _work(self, staging: Staging, config: PipelineConfig, move: Move) -> Work:
        footer = Footer(
            table=move.table,
            domain=move.domain,
            layer=self.name,
            batch_id=move.batch_id,
            sources=tuple(
                FooterSource(name=info.name, sha256=info.sha256, size_bytes=info.size_bytes)
                for info in staging.infos
            ),
            traceable=config.row_numbers,
            jobforge_version=__version__,
            polars_version=pl.__version__,
        )

        def judge(written: Written) -> Verdict:
            staging.check_unchanged()
            staging.keep(config)
            kept_out = count_by_first_reason(written.rejects) if written.rejects else {}
            account = RowAccount(
                rows_in=staging.rows + staging.rejected,
                rows_out=written.rows,
                quarantined=kept_out,
            )
            return Verdict(account, staging.notes)

        def sources() -> tuple[SourceInfo, ...]:
            return staging.infos

        found = staging.confirm
        size = sum(info.size_bytes for info in staging.infos)
        return Work(
            staging.frame,
            footer,
            judge,
            rejects=staging.rejects,
            sources=sources,
            by_record=config.row_numbers,
            count_nulls=False,
            confirm=None if found is None else lambda: self._work(found(), config, move),
            least_bytes=size // _MOST_SHRUNK + (size if config.keep_source else 0),
        )


def _discovered(source: Source) -> tuple[Found | None, SourceError]:
    """The files of a source, or why there are none: a refusal is recorded like any other."""
    try:
        return discover(source), SourceError("")
    except SourceError as error:
        return None, error


def _default_name(source: Source) -> str:
    """A table name from a source: the file's name up to its first dot."""
    first = source if isinstance(source, (str, Path)) else next(iter(source), "")
    name = Path(first).name.split(".")[0]
    try:
        return check_name("table", name)
    except InvalidNameError as error:
        raise InvalidNameError(
            f"the file's name gives no name for a table: {name!r}",
            hint="name it: ingest(path, config, table_name='...')",
        ) from error
