"""What an auditor asks of a data root, as methods of the engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import polars as pl

from jobforge.errors import InvalidOptionError, StorageError
from jobforge.pipeline import chain
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.root import check_is_root
from jobforge.pipeline.transition import Clock
from jobforge.readers.base import Progress, no_progress

if TYPE_CHECKING:
    from jobforge.pipeline.audit.citation import Citation
    from jobforge.pipeline.audit.cite_check import CitationCheck
    from jobforge.pipeline.audit.findings import Verification
    from jobforge.pipeline.audit.pack import Pack
    from jobforge.pipeline.audit.pack_evidence import ReplayResult
    from jobforge.pipeline.audit.replay_code import Transforms
    from jobforge.pipeline.audit.replay_result import Replay
    from jobforge.pipeline.audit.traced import Impact, Trace


class AuditOperations:
    """Whether a data root is still what was published, and where its rows are from.

    Args:
        config: Where the data root is.
        clock: Gives the current time in UTC.
    """

    config: PipelineConfig
    _clock: Clock

    def trace(
        self,
        table: str,
        where: str | None = None,
        *,
        key: Mapping[str, object] | None = None,
        row: int | None = None,
        layer: Layer | str | None = None,
        version: int | None = None,
        rows: int | None = 10,
        records: int | None = 10,
        personal: bool = False,
        verify: bool = False,
    ) -> Trace:
        """Follow rows of a table to the records of their source, with every step between.

        Args:
            table: `table` or `domain/table`.
            where: An SQL condition, such as `order_id = 5 AND region = 'north'`.
            key: Columns and their values, in place of a condition.
            row: The number of a row in the table, from 1, in place of both.
            layer: staged, bronze, silver or gold; the highest that the table has unless given.
            version: The version of the layer; the newest unless given.
            rows: How many rows to follow, at most; None for all that fit.
            records: How many records to follow of a row that is made of several, at most;
                None for all of them.
            personal: Whether to show the values of columns that the contract classes as
                personal, and the text of their records.
            verify: Whether to hash a source of more than 64 MiB, too, before it is looked into;
                else its size and time are compared.

        Returns:
            Each row with its layers down to staged, what changed on the way, and where its
            record stands in the source file. Where the file is gone or another, the record
            as staged has it, and a word on that.

        Raises:
            TableNotFoundError: There is no such table, or it never reached the layer.
            RecordNotFoundError: No row fits.
            InvalidOptionError: The condition, key or row makes no sense.
            UnknownColumnError: A column is not there.
            VersionNotFoundError: There is no such version.
            PublishConflictError: `clean` or `erase` removed files meanwhile; ask again.
            StorageError: A record or a file cannot be read.
        """
        from jobforge.pipeline.audit.meanwhile import removals_told_from_damage
        from jobforge.pipeline.audit.trace import Asked, trace

        asked = Asked(where, key, row, layer, version, rows, records, personal, verify)
        with removals_told_from_damage(self.config):
            return trace(self.config, table, asked)

    def impact(
        self,
        file: Path | str,
        line: int | None = None,
        *,
        record: int | None = None,
        batch_id: str | None = None,
        personal: bool = False,
        verify: bool = False,
    ) -> Impact:
        """Say what became of the records on a line of a source file, in every layer.

        Args:
            file: The source, by its name or by the path that it was read from.
            line: A physical line, from 1; of a workbook a row of its sheet.
            record: A record number, from 1, in place of a line.
            batch_id: The batch; every one that read the file unless given.
            personal: As for `trace`.
            verify: As for `trace`.

        Returns:
            For each record and batch: the rows and aggregates that it reached, and whether
            the tables still have them, or the rule, filter, function or duplicate that
            stopped it.

        Raises:
            RecordNotFoundError: No batch read such a file, or no record stands there.
            InvalidOptionError: The line or record makes no sense.
            TableNotFoundError: There is no such batch.
            PublishConflictError: `clean` or `erase` removed files meanwhile; ask again.
            StorageError: A record or a file cannot be read.
        """
        from jobforge.pipeline.audit.impact import Question, impact
        from jobforge.pipeline.audit.meanwhile import removals_told_from_damage

        asked = Question(str(file), line, record, batch_id, personal, verify)
        with removals_told_from_damage(self.config):
            return impact(self.config, asked)

    def verify(
        self,
        *,
        since: datetime | int | None = None,
        against: str | None = None,
        progress: Progress = no_progress,
    ) -> Verification:
        """Hold every file and record of the data root against the chain, offline.

        Args:
            since: The number of an entry of the chain, or a time: the bytes of files
                that entries before it made are not read again.
            against: A hash that `head` gave earlier: the chain has to have that entry still.
            progress: Told how many bytes were read, of how many.

        Returns:
            What was looked at, and everything that does not fit; `sound` where
            nothing was found.

        Raises:
            DataRootError: There is no data root.
            InvalidOptionError: `since` or `against` makes no sense.
        """
        from jobforge.pipeline.audit.verify import verify

        return verify(self.config, since=since, against=against, progress=progress)

    def replay(
        self,
        batch_id: str,
        *,
        transforms: Transforms = (),
        modules: Sequence[ModuleType] = (),
        into: Path | str | None = None,
        compare: bool = True,
    ) -> Replay:
        """Run a batch again from staged, and say whether the same comes out.

        Contract, code, input versions and times are those of the record. Nothing
        in the data root changes.

        Args:
            batch_id: The batch.
            transforms: Steps that cannot be found by their names: functions that
                are defined in a script or inside another function, lambdas,
                references to a frame. All together, or by layer (`{"silver": [...]}`).
            modules: Modules in which functions are looked for first.
            into: A folder that is empty or not there yet, to keep what comes out
                in; a data root of its own. Unless given, it is removed at the end.
            compare: Whether to hold it against the record, or only to run it.

        Returns:
            The verdict (identical, differs, not provable), and for each layer the
            reasons and the rows that differ.

        Raises:
            TableNotFoundError: There is no such batch.
            InvalidOptionError: The batch moved no rows or has no staged file, the folder
                is not empty or in the data root, steps are given for a layer without, or
                what is given is no list of functions, or of modules.
            InvalidConfigError: Steps are given for a layer that is none.
            TableDamagedError: A recorded file is missing, or is not what was written.
            PublishConflictError: `clean` or `erase` removed files meanwhile; ask again.
            StorageError: The replay cannot be written.
        """
        from jobforge.pipeline.audit.meanwhile import removals_told_from_damage
        from jobforge.pipeline.audit.replay import replay

        with removals_told_from_damage(self.config):
            return replay(
                self.config,
                batch_id,
                transforms=transforms,
                modules=modules,
                into=into,
                compare=compare,
            )

    def head(self) -> chain.Head | None:
        """The last entry of the chain and its hash, to be kept elsewhere; None without a chain.

        Raises:
            DataRootError: There is no data root.
            RecordError: It cannot be read.
        """
        check_is_root(self.config)
        return chain.head(self.config)

    def cite(
        self, sql: str, *, version: int | None = None, as_of: datetime | None = None
    ) -> Citation:
        """A figure of a table, and what it rests on: `.line()` is to be put under it.

        Args:
            sql: `SELECT expression FROM table [WHERE condition]`, in the dialect of Polars
                SQL: `revenue` or `gold.revenue`, `silver.orders`, `gold."sales/revenue"`.
            version: Number of the version; the newest unless given.
            as_of: The version that was the newest at this time; with a time zone.

        Returns:
            The figure, the rows and source records behind it, the hash of those rows,
            the files of the version and the last entry of the chain.

        Raises:
            InvalidQueryError: The statement is of another form, fails, or its result
                is no single row.
            UnknownColumnError: It names a column that the table does not have.
            TableNotFoundError: There is no such table, or it never reached the layer.
            VersionNotFoundError: There is no such version, or none that old.
            VersionRemovedError: Its files were removed by `clean` or `erase`.
            PublishConflictError: `clean` or `erase` removed files meanwhile; ask again.
            TableDamagedError: A file is not what was published.
        """
        from jobforge.pipeline.audit.cite import cite
        from jobforge.pipeline.audit.meanwhile import removals_told_from_damage

        with removals_told_from_damage(self.config):
            return cite(self.config, sql, version=version, as_of=as_of, clock=self._clock)

    def check_citation(
        self, citation: Citation | Path | str, sql: str | None = None
    ) -> CitationCheck:
        """Whether a citation still holds: it is computed again, at the version that it names.

        Args:
            citation: What `cite` gave, the path of a file with it as JSON, or, together
                with its statement, its line.
            sql: The statement of a line, which does not hold all of it.

        Raises:
            RecordError: The file is no citation.
            InvalidOptionError: The text is no line of a citation.
            JobforgeError: As for `cite`.
        """
        from jobforge.pipeline.audit import cite_check
        from jobforge.pipeline.audit.citation import Citation
        from jobforge.pipeline.audit.meanwhile import removals_told_from_damage

        with removals_told_from_damage(self.config):
            if sql is not None:
                return cite_check.check_line(self.config, sql, str(citation), clock=self._clock)
            if not isinstance(citation, Citation):
                return cite_check.check_file(self.config, citation, clock=self._clock)
            return cite_check.check_citation(self.config, citation, clock=self._clock)

    def pack(
        self,
        what: str,
        into: Path | str,
        *,
        replace: bool = False,
        personal: bool = False,
        replays: Sequence[ReplayResult] = (),
        replay: bool = False,
        modules: Sequence[ModuleType] = (),
        progress: Progress = no_progress,
    ) -> Pack:
        """Write all that an auditor needs of a table or batch into one zip file.

        It reads without jobforge: records, contracts, accounts, rejects, hashes, the
        result of `verify`, and a page that sums it up.

        Args:
            what: `table` or `domain/table`, or a batch id.
            into: Where the zip file is to be, outside of the data root.
            replace: Whether it may take the place of a file that is there.
            personal: Whether to put values of personal columns in; else they are masked.
            replays: What replays of its batches said; the verdict on others is `not run`.
            replay: Whether to replay its other batches, as far as they can be; why one cannot
                is among the problems in the manifest.
            modules: As for `replay`.
            progress: Told how many bytes were verified, of how many.

        Returns:
            What was written. The same state gives the same bytes, but for the time.

        Raises:
            InvalidOptionError: `into` is no name of a zip file, or something is there.
            TableNotFoundError: There is no such table or batch.
            StorageError: A record cannot be read, or the file cannot be written.
        """
        from jobforge.pipeline.audit.pack import pack

        return pack(
            self.config,
            what,
            into,
            replace=replace,
            personal=personal,
            replays=(*replays, *(self._replays(what, replays, modules) if replay else ())),
            progress=progress,
            clock=self._clock,
        )

    def _replays(
        self, what: str, known: Sequence[ReplayResult], modules: Sequence[ModuleType]
    ) -> Iterator[ReplayResult]:
        """Replays of the batches of a table or batch, without those that are known."""
        from jobforge.pipeline.audit.pack_evidence import NotRun, find_scope
        from jobforge.pipeline.audit.replay_code import Code

        Code((), modules).check()  # each replay would refuse them, as one of nothing is refused
        there = {result.batch_id for result in known}
        for batch in (record.batch_id for record in find_scope(self.config, what).records):
            if batch in there:
                continue
            try:
                yield self.replay(batch, modules=modules)
            except InvalidOptionError:
                continue  # it moved no rows: there is nothing to run again
            except StorageError as error:
                yield NotRun(batch_id=batch, why=error.message)
            except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
                # Its text may quote a value.
                kind = type(error).__name__
                yield NotRun(batch_id=batch, why=f"a file of it cannot be read ({kind})")
