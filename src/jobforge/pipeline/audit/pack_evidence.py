"""Everything that a data root can show of a table or batch, gathered for a pack."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

import polars as pl

from jobforge.errors import AccountError, InvalidNameError, RecordError, StorageError
from jobforge.pipeline import catalog, chain, lineage, query, schemas
from jobforge.pipeline.accounts import BatchAccount, account
from jobforge.pipeline.audit.chained import Sealed, read_chain
from jobforge.pipeline.audit.findings import Findings, Verification
from jobforge.pipeline.audit.pack_private import without_errors
from jobforge.pipeline.audit.pack_rejects import discreet_contracts, packed_rejects
from jobforge.pipeline.audit.verify import Progress, verify
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.layers.leaving import EDGE_OUTCOME, EDGE_STEP
from jobforge.pipeline.models import BatchRecord, LayerTransitionLog
from jobforge.pipeline.provenance import BATCH_ID, SOURCE_FILE, SOURCE_ROW
from jobforge.pipeline.records import Record
from jobforge.pipeline.rejects.snapshot import Snapshot, standing_moves
from jobforge.pipeline.root import check_root

NOT_RUN = "not run"
"""The verdict on a batch that nobody has replayed for this pack."""
_ROUNDS = 3
_AGGREGATED = "aggregated"


class ReplayResult(Protocol):
    """What a replay says of a batch."""

    @property
    def batch_id(self) -> str:
        """The batch that was run again."""

    @property
    def verdict(self) -> object:
        """How that came out; None where it was not compared."""

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """All that it says, as plain values."""


class NotRun(Record):
    """A batch that was to be replayed for a pack, and could not be."""

    batch_id: str
    verdict: str = NOT_RUN
    why: str


@dataclass(frozen=True)
class Scope:
    """What a pack is about.

    Args:
        kind: `table`, or `batch`.
        domain: Business domain of the table.
        table: Its name.
        records: The batches, oldest first.
    """

    kind: str
    domain: str
    table: str
    records: tuple[BatchRecord, ...]

    @property
    def title(self) -> str:
        """In a few words."""
        if self.kind == "batch":
            return f"batch {self.records[0].batch_id} of {self.domain}/{self.table}"
        return f"table {self.domain}/{self.table}"


@dataclass(frozen=True)
class EdgeCount:
    """Source records that a step left out without a trace in quarantine, or that it aggregated."""

    batch_id: str
    layer: str
    step: str
    outcome: str
    records: int


@dataclass(frozen=True)
class Evidence:
    """What was found, and what could not be looked at."""

    scope: Scope
    originals: dict[str, bytes]
    """Records as they stand on the disk, by their name in the pack."""
    schemas: schemas.SchemaHistory | None
    accounts: tuple[BatchAccount, ...]
    rejects: dict[str, pl.DataFrame]
    """By batch; one line for each reason."""
    edges: tuple[EdgeCount, ...]
    chain: tuple[Sealed, ...]
    """Every entry."""
    verification: Verification
    discreet: bool = False
    """Whether a contract of the table classes a column as personal."""
    replays: dict[str, ReplayResult] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def entries(self) -> list[Sealed]:
        """The entries of the chain that are about the batches."""
        batches = {record.batch_id for record in self.scope.records}
        return [sealed for sealed in self.chain if sealed.entry.batch_id in batches]

    def verdict(self, batch_id: str) -> str:
        """How a replay of a batch came out."""
        found = self.replays.get(batch_id)
        return NOT_RUN if found is None or found.verdict is None else str(found.verdict)


def find_scope(config: PipelineConfig, what: str) -> Scope:
    """The table or batch of a name.

    Raises:
        DataRootError: There is no data root.
        TableNotFoundError: There is neither.
        RecordError: A record cannot be read.
    """
    check_root(config)
    try:
        record = lineage.load(config, what)
    except InvalidNameError:  # it has not the form of a batch id
        found = catalog.find_table(config, what)
        name = f"{found.domain}/{found.table}"
        return Scope("table", found.domain, found.table, tuple(query.batches(config, name)))
    if record is None:
        raise lineage.unknown_batch(what)
    return Scope("batch", record.domain, record.table, (record,))


def gather(
    config: PipelineConfig,
    what: str,
    *,
    personal: bool,
    replays: Sequence[ReplayResult] = (),
    progress: Progress = lambda *_: None,
) -> Evidence:
    """Look at everything there is of a table or batch. Reads only.

    What cannot be read is named among the problems, and the rest is still told.

    Args:
        config: Where the data root is.
        what: `table` or `domain/table`, or a batch id.
        personal: Whether values of personal columns are told.
        replays: What replays of its batches said.
        progress: Told of the files as they are read, in bytes.

    Raises:
        DataRootError: There is no data root.
        TableNotFoundError: There is no such table or batch.
        RecordError: The record of a batch cannot be read.
    """
    for _ in range(_ROUNDS):
        newest = chain.newest_number(config)
        found = _gathered(config, what, replays, progress, personal=personal)
        if chain.newest_number(config) == newest:
            break
        # Somebody finished a transition meanwhile: half of what was seen is from before it.
    return found


def _gathered(
    config: PipelineConfig,
    what: str,
    replays: Sequence[ReplayResult],
    progress: Progress,
    *,
    personal: bool,
) -> Evidence:
    scope = find_scope(config, what)
    verification = verify(config, progress=progress)
    problems: list[str] = []
    # Each of them needs all records: read for every batch anew, they take the square of the time.
    snapshot = _snapshot(config)
    history = _tried(
        problems, "schema versions", partial(schemas.load, config, scope.domain, scope.table)
    )
    discreet = _tried(
        problems,
        "contracts of rejects",
        partial(discreet_contracts, config, scope.domain, scope.table, history, snapshot),
    )
    moved = [record for record in scope.records if standing_moves(record)]
    hides = not personal and (discreet is None or bool(discreet))
    accounts = []
    for r in moved:
        look = partial(account, config, r.batch_id, snapshot)
        found = _tried(problems, f"account of {r.batch_id}", look)
        if found is not None:
            accounts.append(without_errors(found, r) if hides else found)
    rejects = {
        r.batch_id: _tried(
            problems,
            f"rejects of {r.batch_id}",
            partial(packed_rejects, config, r, discreet, personal=personal, snapshot=snapshot),
        )
        for r in moved
        if any(log.quarantine_file for log in standing_moves(r).values())
    }
    told = tuple(read_chain(config, Findings()).entries)
    problems += _without_record(scope, told)
    problems += [f"replay of {r.batch_id}: {r.why}" for r in replays if isinstance(r, NotRun)]
    return Evidence(
        scope=scope,
        originals=_originals(config, scope, problems),
        schemas=history,
        accounts=tuple(accounts),
        rejects={batch: rows for batch, rows in rejects.items() if rows is not None},
        edges=tuple(_edges(config, scope, problems)),
        chain=told,
        verification=verification,
        discreet=discreet is None or bool(discreet),
        replays={replay.batch_id: replay for replay in replays},
        problems=tuple(problems),
    )


def _snapshot(config: PipelineConfig) -> Snapshot | None:
    """All batch records; None where one cannot be read, and whoever needs them says so."""
    try:
        return Snapshot.of(config)
    except RecordError:
        return None


def _without_record(scope: Scope, told: Sequence[Sealed]) -> Iterator[str]:
    """Batches of the table that the chain names, and that have no record any more."""
    entries = [sealed.entry for sealed in told] if scope.kind == "table" else []
    known = {record.batch_id for record in scope.records}
    named = [e.batch_id for e in entries if (e.domain, e.table) == (scope.domain, scope.table)]
    for batch in dict.fromkeys(named):
        if batch not in known:
            yield f"batch {batch}: the chain names it, and its record is missing"


Found = TypeVar("Found")


def _tried(problems: list[str], what: str, look: Callable[[], Found]) -> Found | None:
    """What was found; None, and a problem, where it cannot be read."""
    try:
        return look()
    except (StorageError, AccountError) as error:
        problems.append(f"{what}: {error.message}")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        problems.append(f"{what}: it cannot be read ({(str(error).splitlines() or [''])[0]})")
    return None


def _originals(config: PipelineConfig, scope: Scope, problems: list[str]) -> dict[str, bytes]:
    name = f"{scope.domain}/{scope.table}.json"
    paths = {
        f"batches/{record.batch_id}.json": lineage.record_path(config, record.batch_id)
        for record in scope.records
    }
    paths["table.json"] = config.catalog_tables_path() / name
    paths["contracts/schema-versions.json"] = config.catalog_schemas_path() / name
    found = {}
    for target, path in paths.items():
        try:
            found[target] = path.read_bytes()
        except FileNotFoundError:
            continue  # a table that never got so far has none
        except OSError as error:
            problems.append(f"{target}: {error.strerror}")
    return found


def _edges(config: PipelineConfig, scope: Scope, problems: list[str]) -> Iterator[EdgeCount]:
    snapshot = Snapshot(config, scope.records)
    for record in scope.records:
        for log in record.transitions:
            layer = str(log.target_layer)
            for file, count in ((log.edges_file, _left_out), (log.groups_file, _grouped)):
                found = _tried(problems, file, partial(count, snapshot, log)) if file else None
                for step, outcome, number in found.iter_rows() if found is not None else ():
                    yield EdgeCount(record.batch_id, layer, step, outcome, number)


def _left_out(snapshot: Snapshot, log: LayerTransitionLog) -> pl.DataFrame:
    """Records by the step that left them out, and how."""
    keys = [EDGE_STEP, EDGE_OUTCOME]
    rows = _scan(snapshot, str(log.edges_file))
    return rows.group_by(keys).len().sort(keys).collect(engine="streaming")


def _grouped(snapshot: Snapshot, log: LayerTransitionLog) -> pl.DataFrame:
    """How many records went into the rows of an aggregate; one may be in several of them."""
    step = pl.lit("grain: " + ", ".join(log.grain)).alias(EDGE_STEP)
    rows = _scan(snapshot, str(log.groups_file)).select(BATCH_ID, SOURCE_FILE, SOURCE_ROW).unique()
    found = rows.select(step, pl.lit(_AGGREGATED).alias(EDGE_OUTCOME), pl.len())
    return found.collect(engine="streaming")


def _scan(snapshot: Snapshot, file: str) -> pl.LazyFrame:
    return pl.scan_parquet(snapshot.path(file), glob=False)
