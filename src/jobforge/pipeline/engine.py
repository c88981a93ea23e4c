"""The engine: batches through the four layers, in order."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jobforge.contracts.short import Schema, parse_schema
from jobforge.errors import (
    CastRejectedError,
    ExpectationError,
    InvalidConfigError,
    InvalidNameError,
    RejectLimitError,
)
from jobforge.pipeline import events, lineage, spans
from jobforge.pipeline.audit_operations import AuditOperations
from jobforge.pipeline.config import (
    Layer,
    Load,
    Loading,
    OnConflict,
    PipelineConfig,
)
from jobforge.pipeline.full_run import FullRun, Layers
from jobforge.pipeline.layers import BronzeLayer, GoldLayer, SilverLayer, StagedLayer
from jobforge.pipeline.layers.groups import check_grain
from jobforge.pipeline.layers.referenced import check_tables
from jobforge.pipeline.layers.staged import Source
from jobforge.pipeline.provenance import generate_batch_id
from jobforge.pipeline.reject_operations import RejectOperations
from jobforge.pipeline.results import (
    BronzeResult,
    ContractCheck,
    GoldResult,
    IngestResult,
    PipelineResult,
    SilverResult,
)
from jobforge.pipeline.steps import Place, Transform, resolve_steps
from jobforge.pipeline.table_operations import TableOperations
from jobforge.pipeline.transition import Clock, utc_now
from jobforge.pipeline.trial import trial_root
from jobforge.readers.base import Progress, ReadOptions, no_progress
from jobforge.storage.debris import scratch_folder
from jobforge.storage.names import check_name

if TYPE_CHECKING:
    from jobforge.readers.excel import ExcelOptions

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


class PipelineEngine(TableOperations, RejectOperations, AuditOperations):
    """Moves source files through staged, bronze, silver and gold.

    Every method raises only errors of `jobforge.errors`, leaves a log of each
    transition in `catalog/lineage/{batch_id}.json`, failures included, and
    publishes a layer file whole or not at all.

    Args:
        config: Where the data root is; `data` in the current folder unless given.
        clock: Gives the current time in UTC; for tests and replays.
        progress: Told how far a long read is, as `(what, done, of)` in bytes; for a
            large CSV file from another thread.

    Raises:
        InvalidConfigError: `config` is no `PipelineConfig`, or the environment asks for a
            log format that there is not.
    """

    def __init__(
        self,
        config: PipelineConfig | None = None,
        *,
        clock: Clock = utc_now,
        progress: Progress = no_progress,
    ) -> None:
        if config is not None and not isinstance(config, PipelineConfig):
            raise InvalidConfigError(
                f"config is a {type(config).__name__}, not a PipelineConfig",
                hint="PipelineEngine(PipelineConfig(data_root=Path('data')))",
            )
        events.check_environment()
        super().__init__(config or PipelineConfig(), clock)
        self._progress = progress
        self._staged = StagedLayer(clock)
        self._bronze = BronzeLayer(clock)
        self._silver = SilverLayer(clock)
        self._gold = GoldLayer(clock)

    def ingest(
        self,
        source_path: Source,
        table_name: str,
        domain: str = "default",
        *,
        read: ReadOptions | None = None,
    ) -> IngestResult:
        """Put a source into staged as a new batch.

        Args:
            source_path: A file, a folder, a pattern, or a list of files of one schema.
            table_name: 1 to 128 of letters, digits, `_`, `.`, `-`.
            domain: Business domain of the table, of the same form.
            read: Options of the format, such as `CsvOptions(delimiter=";")`.

        Raises:
            InvalidNameError: The table or domain name is not safe in a path.
            SourceError: The source cannot be read exactly.
            StorageError: The data root cannot be written.
        """
        outcome = self._staged.run(
            source_path, self.config, table_name, domain, read=read, progress=self._progress
        )
        return {
            "batch_id": outcome.log.batch_id,
            "staged_path": outcome.path,
            "log": outcome.log,
        }

    def ingest_sheets(
        self,
        source_path: Path | str,
        table_name: str,
        domain: str = "default",
        *,
        read: ExcelOptions | None = None,
    ) -> dict[str, IngestResult]:
        """Put every filled sheet of a workbook into staged, each as a table and batch of its own.

        Args:
            source_path: The workbook.
            table_name: Beginning of the tables' names; the sheet's name follows
                after `_`, with every other character than letters, digits, `_`,
                `.` and `-` as `_`.
            domain: As for `ingest`.
            read: As for `ingest`; its `sheet` is not used.

        Returns:
            What `ingest` gives, by the name of the sheet.

        Raises:
            InvalidNameError: Two sheets would be one table, or as for `ingest`.
            SourceError: A sheet cannot be read exactly; the sheets before it are staged.
        """
        from jobforge.readers.excel import ExcelOptions  # only who has a workbook needs it
        from jobforge.readers.excel.reader import sheet_names

        check_name("table", table_name)
        with scratch_folder(Path(tempfile.gettempdir()), generate_batch_id()) as scratch:
            sheets = sheet_names(Path(source_path), scratch)
        tables = {sheet: f"{table_name}_{_UNSAFE.sub('_', sheet)}" for sheet in sheets}
        if len(set(tables.values())) < len(tables):
            raise InvalidNameError(
                f"two sheets would be one table: {', '.join(tables.values())}",
                hint="ingest them one by one: read=ExcelOptions(sheet='...')",
            )
        options = read or ExcelOptions()
        return {
            sheet: self.ingest(
                source_path, table, domain, read=options.model_copy(update={"sheet": sheet})
            )
            for sheet, table in tables.items()
        }

    def promote_to_bronze(
        self,
        staged_path: Path | str,
        schema: Schema | None = None,
        *,
        load: Load | str = Load.REPLACE,
        on_conflict: OnConflict | str = OnConflict.FAIL,
    ) -> BronzeResult:
        """Rename and cast a staged file by declaration.

        Args:
            staged_path: What `ingest` returned; its footer says the rest.
            schema: A `Contract`, or the short form: see `jobforge.contracts.short`.
            load: `replace` (the batch becomes the table) or `append` (its rows
                join it).
            on_conflict: What happens to a replace where another batch was
                published meanwhile: `fail`, or `retry` to publish on top of one
                that began earlier.

        Raises:
            UsageError: The schema is not well formed or does not fit the table.
            CastRejectedError: No row survived the casts, or one failed and the
                contract says `fail`; the rejects are kept.
            RejectLimitError: More rows fail the casts than the contract allows.
            SchemaMismatchError: An append of other columns than the table has.
            PublishConflictError: Another batch was published meanwhile.
            StorageError: The path is no staged file, or the root cannot be written.
        """
        loading = Loading(load, on_conflict)
        outcome = self._bronze.run(staged_path, self.config, schema, loading)
        return {
            "batch_id": outcome.log.batch_id,
            "bronze_path": outcome.path,
            "log": outcome.log,
        }

    def promote_to_silver(
        self,
        bronze_path: Path | str,
        transforms: Sequence[Transform] | None = None,
        *,
        load: Load | str = Load.REPLACE,
        on_conflict: OnConflict | str = OnConflict.FAIL,
    ) -> SilverResult:
        """Clean and filter a bronze file; rows keep their identity.

        Args:
            bronze_path: What `promote_to_bronze` returned.
            transforms: Functions from lazy frame to frame and declared steps
                (`expect`, `keep`, `deduplicate`, `references`), in order. The
                checks of the contract are judged when they are done.
            load: As for `promote_to_bronze`.
            on_conflict: As for `promote_to_bronze`.

        Raises:
            TransitionError: A function failed, lost `_source_row`, or invented
                or multiplied rows; or more rows fail a rule than it tolerates.
            UsageError: A rule cannot judge the rows, or refers to no table.
            SchemaMismatchError: As for `promote_to_bronze`.
            PublishConflictError: As for `promote_to_bronze`.
            StorageError: The path is no bronze file, or the root cannot be written.
        """
        outcome = self._silver.run(bronze_path, self.config, transforms, Loading(load, on_conflict))
        return {
            "batch_id": outcome.log.batch_id,
            "silver_path": outcome.path,
            "log": outcome.log,
        }

    def promote_to_gold(
        self,
        silver_path: Path | str,
        transforms: Sequence[Transform] | None = None,
        *,
        load: Load | str = Load.REPLACE,
        on_conflict: OnConflict | str = OnConflict.FAIL,
        grain: Sequence[str] = (),
    ) -> GoldResult:
        """Build a business table from a silver file.

        Args:
            silver_path: What `promote_to_silver` returned.
            transforms: Functions from lazy frame to frame and declared steps, in order.
            load: As for `promote_to_bronze`.
            on_conflict: As for `promote_to_bronze`.
            grain: Columns that tell one row of the result from another, where a function
                aggregates: they have to be there before it does. Every row is then traceable
                to the records of its group.

        Raises:
            TransitionError: A function failed, more rows fail a rule than it tolerates, or the
                grain does not tell the rows apart.
            UsageError: A rule cannot judge the rows, or refers to no table.
            SchemaMismatchError: As for `promote_to_bronze`.
            PublishConflictError: As for `promote_to_bronze`.
            StorageError: The path is no silver file, or the root cannot be written.
        """
        outcome = self._gold.run(
            silver_path,
            self.config,
            transforms,
            Loading(load, on_conflict),
            grain=check_grain(grain),
        )
        return {
            "batch_id": outcome.log.batch_id,
            "gold_path": outcome.path,
            "log": outcome.log,
        }

    def run_full_pipeline(
        self,
        source_path: Source,
        table_name: str,
        domain: str = "default",
        bronze_schema: Schema | None = None,
        silver_transforms: Sequence[Transform] | None = None,
        gold_transforms: Sequence[Transform] | None = None,
        *,
        read: ReadOptions | None = None,
        load: Load | str = Load.REPLACE,
        on_conflict: OnConflict | str = OnConflict.FAIL,
        grain: Sequence[str] = (),
    ) -> PipelineResult:
        """Move a source through all four layers, as the four methods by hand would.

        What can be refused without data (the form of the schema, a transform
        that is no function) is refused before anything is read. A layer that
        fails leaves the layers before it published.

        Args:
            source_path: As for `ingest`.
            table_name: As for `ingest`.
            domain: As for `ingest`.
            bronze_schema: As for `promote_to_bronze`.
            silver_transforms: As for `promote_to_silver`.
            gold_transforms: As for `promote_to_gold`.
            read: As for `ingest`.
            load: As for `promote_to_bronze`, in all three layers.
            on_conflict: As for `promote_to_bronze`.
            grain: As for `promote_to_gold`.

        Raises:
            JobforgeError: As the four methods do.
        """
        loading = Loading(load, on_conflict)
        schema = parse_schema(bronze_schema)
        for layer, transforms in ((Layer.SILVER, silver_transforms), (Layer.GOLD, gold_transforms)):
            place = Place(layer, str(table_name))
            check_tables(self.config, resolve_steps(transforms, place), place)
        wanted = FullRun(schema, silver_transforms, gold_transforms, loading, check_grain(grain))
        layers = Layers(self._staged, self._bronze, self._silver, self._gold)
        with spans.of_run(self.config, "run", f"{domain}/{table_name}"):
            staged, bronze, silver, gold = layers.run(
                source_path, self.config, table_name, domain, wanted, read, self._progress
            )
        return {
            "batch_id": staged.log.batch_id,
            "staged_path": staged.path,
            "bronze_path": bronze.path,
            "silver_path": silver.path,
            "gold_path": gold.path,
            "logs": [staged.log, bronze.log, silver.log, gold.log],
        }

    def check_contract(
        self, source_path: Source, schema: Schema, *, read: ReadOptions | None = None
    ) -> ContractCheck:
        """Try a contract on a source without touching the data root.

        Args:
            source_path: As for `ingest`.
            schema: As for `promote_to_bronze`.
            read: As for `ingest`.

        Raises:
            UsageError: The contract is not well formed or does not fit the source.
            SourceError: The source cannot be read exactly.
        """
        contract = parse_schema(schema)
        with trial_root() as root:
            trial = PipelineEngine(root, clock=self._clock)
            staged = trial.ingest(source_path, "trial", read=read)
            stopped = None
            try:
                bronze = trial.promote_to_bronze(staged["staged_path"], contract)
                trial.promote_to_silver(bronze["bronze_path"])
            except (CastRejectedError, RejectLimitError, ExpectationError) as error:
                stopped = str(error.message)
            record = lineage.known(trial.config, staged["batch_id"])
            return {
                "rows": staged["log"].row_count_out or 0,
                "passed": 0 if stopped else record.transitions[-1].row_count_out or 0,
                "rules": [count for log in record.transitions for count in log.rules],
                "rejects": trial.reject_rows(staged["batch_id"]),
                "stopped": stopped,
            }
