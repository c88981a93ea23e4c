"""Rows into a layer: computed in one pass, judged, and only then published."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import polars as pl

from jobforge.errors import JobforgeError, StorageError, TransitionError, WriteError
from jobforge.pipeline import catalog
from jobforge.pipeline.adoption import newest_version
from jobforge.pipeline.config import Layer
from jobforge.pipeline.footer import Footer
from jobforge.pipeline.models import (
    WITHHELD,
    ColumnMetadata,
    LayerState,
    LayerTransitionLog,
    Note,
    SourceInfo,
    TransitionStatus,
)
from jobforge.pipeline.transition import Outcome, Transition
from jobforge.pipeline.versions import Joining
from jobforge.quality.account import RowAccount
from jobforge.quality.rules import RuleCount
from jobforge.storage.publish import Publication, make_folder
from jobforge.storage.source import hash_file
from jobforge.storage.space import check_space
from jobforge.storage.store import Commit, DataFile, Version

# Polars reads this before its first query: how many row groups of Parquet are fetched ahead. One
# takes a quarter off the peak memory of a layer with rules, and nothing off its speed.
os.environ.setdefault("POLARS_ROW_GROUP_PREFETCH_SIZE", "1")


@dataclass(frozen=True)
class Written:
    """What was written, not yet visible."""

    target: Path
    rows: int
    rejects: Path | None
    probes: list[pl.DataFrame]
    filtered: pl.LazyFrame | None = None
    """Source records that a declared filter left out, in a scratch file."""
    nulls: dict[str, int] = field(default_factory=dict)
    """Nulls of each column, where they were counted in the pass."""


@dataclass(frozen=True)
class Verdict:
    """What a layer says of what was written.

    Where `refusal` is set, the table stays as it was, and only the rejects
    become visible.

    Args:
        account: Where the rows went.
        notes: What was noticed.
        refusal: Why nothing may be published.
        rules: What came of each rule.
        edges: Source records that left without a trace in quarantine.
    """

    account: RowAccount
    notes: tuple[Note, ...] = ()
    refusal: JobforgeError | None = None
    rules: tuple[RuleCount, ...] = ()
    edges: pl.LazyFrame | None = None


@dataclass(frozen=True)
class Work:
    """What a layer wants written, as frames that are not computed yet.

    Args:
        frame: The rows of the target.
        footer: What the file says of itself.
        judge: Called with what was written, before it becomes visible.
        rejects: Rows for quarantine.
        filtered: Source records that a declared filter leaves out.
        probes: Small frames to compute in the same pass.
        locate: Called when computing failed, to name the step that is to blame; None
            where it is none of them.
        sources: The source files, where this is an ingest.
        source_columns: Column lineage, where it is known exactly.
        least_bytes: What writing will take at least, as far as one can tell.
        published: Called when the rows are visible and catalogued.
        count_nulls: Whether to count the nulls of each column in the same pass.
    """

    frame: pl.LazyFrame
    footer: Footer
    judge: Callable[[Written], Verdict]
    rejects: pl.LazyFrame | None = None
    filtered: pl.LazyFrame | None = None
    probes: tuple[pl.LazyFrame, ...] = ()
    locate: Callable[[BaseException], JobforgeError | None] | None = None
    sources: Callable[[], tuple[SourceInfo, ...]] = tuple
    source_columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    least_bytes: int = 0
    published: Callable[[LayerTransitionLog], None] | None = None
    count_nulls: bool = True


def carry_out(
    transition: Transition, plan: Callable[[Path], Work], joining: Joining | None = None
) -> Outcome:
    """Run a transition that writes rows.

    Args:
        transition: Which rows go where.
        plan: Says what to write; gets a folder for scratch files.
        joining: How they join the table; None for staged.

    Raises:
        JobforgeError: The work was refused or failed. Nothing new is visible
            in the target layer, and the record says why.
    """
    paths: list[Path] = []

    def body(scratch: Path) -> None:
        paths.append(_publish(transition, lambda: plan(scratch), joining, scratch))

    log = transition.run(body, writes=True)
    return Outcome(paths[0], log)


def _publish(
    transition: Transition, plan: Callable[[], Work], joining: Joining | None, scratch: Path
) -> Path:
    config, move = transition.config, transition.move
    layer = move.target_layer
    target, rejected, *others = (config.data_root / name for name in transition.log.planned)
    catalog.load(config, move.domain, move.table)  # a damaged record is refused before the work
    base = None
    if layer is not Layer.STAGED:
        base = newest_version(config, layer, move.domain, move.table)
    work = plan()
    store = transition.store
    if store is not None and base is not None and joining is not None:
        joining.check(store, store.version(base), work.frame.collect_schema())
    check_space(config.data_root, work.least_bytes)
    with Publication(lambda: landed(transition)) as publication:
        written = _write(work, publication, target, rejected, scratch)
        verdict = work.judge(written)
        verdict.account.check()
        _note(transition, work, verdict)
        schema = _checked_schema(work, written)
        file = DataFile(target.name, written.rows, written.target.stat().st_size)
        content_hash = f"sha256:{hash_file(written.target)}"
        left = bool(verdict.account.quarantined)
        held = left or bool(verdict.account.deduplicated)
        if not held:
            publication.drop(rejected)
        if verdict.refusal is not None:
            publication.drop(target)
            _refuse(transition, publication, work, verdict.refusal, rejected if held else None)
        edges = others[0] if verdict.edges is not None else None
        if verdict.edges is not None and edges is not None:
            _write_edges(verdict.edges, publication.reserve(edges), work.footer)
        publication.place()
        version = _version(transition, file, schema, content_hash, joining, base)
        publication.keep()
    transition.publish(
        TransitionStatus.PARTIAL if left else TransitionStatus.SUCCESS,
        target_file=transition.relative(target),
        quarantine_file=transition.relative(rejected) if held else None,
        edges_file=transition.relative(edges) if edges is not None else None,
        content_hash=content_hash,
        table_version=version.number if version else None,
        left_out=version.commit.left_out if version else {},
    )
    columns = catalog.columns_of(schema, work.source_columns, written.nulls)
    state = layer_state(transition, file, version, columns)
    catalog.update(config, transition.log, state)
    if work.published is not None:
        work.published(transition.log)
    return target


def _note(transition: Transition, work: Work, verdict: Verdict) -> None:
    """Take over what is known of the rows; of a refusal that rows came in, and none came out."""
    account = verdict.account
    refused = verdict.refusal is not None
    transition.note(
        work.sources(),
        row_count_in=account.rows_in,
        row_count_out=0 if refused else account.rows_out,
        # The account of rows that are not published would name rows that are nowhere.
        account=None if refused and account.rows_out else account,
        notes=verdict.notes,
        rules=verdict.rules,
    )


def _refuse(
    transition: Transition,
    publication: Publication,
    work: Work,
    refusal: JobforgeError,
    rejected: Path | None,
) -> NoReturn:
    """Let nothing but the rejects become visible.

    Raises:
        JobforgeError: Why.
    """
    publication.place()
    publication.keep()
    if rejected is None:
        raise refusal
    transition.note(work.sources(), quarantine_file=transition.relative(rejected))
    raise refusal.at(quarantine=str(rejected))


def _write_edges(edges: pl.LazyFrame, path: Path, footer: Footer) -> None:
    try:
        _sink(edges, path, footer.metadata()).collect(engine="streaming")
    except (Exception, pl.exceptions.PanicException) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise WriteError(
            f"the source records that left could not be written: {first}",
            hint="look at free space and permissions of the data root",
        ) from error


def landed(transition: Transition) -> bool:
    """Whether a version refers to what the transition wrote; where that cannot be told, yes."""
    store = transition.store
    try:
        return store is not None and store.find(transition.transition_id) is not None
    except StorageError:
        return True


def _version(
    transition: Transition,
    file: DataFile,
    schema: pl.Schema,
    content_hash: str,
    joining: Joining | None,
    base: int | None,
) -> Version | None:
    """Make the file a version of its table; nothing to do for staged."""
    store, move = transition.store, transition.move
    if store is None or joining is None:
        return None
    commit = Commit(
        operation=move.operation,
        batch_id=move.batch_id,
        transition_id=transition.transition_id,
        started_at=transition.started_at,
        published_at=transition.finished_at(),
        content_hash=content_hash,
        of_version=move.of_version,
    )
    return joining.publish(store, file, schema, commit, base)


def layer_state(
    transition: Transition,
    file: DataFile,
    version: Version | None,
    columns: tuple[ColumnMetadata, ...],
) -> LayerState:
    """What the catalog says of a layer after a transition.

    Args:
        transition: The transition that published.
        file: What it wrote.
        version: The version that it made; None for staged.
        columns: The columns of the table.
    """
    move = transition.move
    path = Path(str(move.target_layer)) / move.domain / move.table / file.name
    return LayerState(
        layer=move.target_layer,
        file=path.as_posix(),
        batch_id=move.batch_id,
        version=version.number if version else None,
        rows=version.commit.rows if version else file.rows,
        size_bytes=version.commit.size_bytes if version else file.size_bytes,
        updated_at=transition.finished_at(),
        columns=columns,
    )


def _write(
    work: Work, publication: Publication, target: Path, rejected: Path, scratch: Path
) -> Written:
    """Compute the frames of a piece of work in one pass, into temporary files.

    The rejects are reserved first, so that they become visible first: a row
    that left is never lost.
    """
    metadata = work.footer.metadata()
    sinks = []
    rejects = None
    if work.rejects is not None:
        rejects = publication.reserve(rejected)
        sinks.append(_sink(work.rejects, rejects, metadata))
    temp = publication.reserve(target)
    frame, nulls = work.frame, []
    if work.count_nulls:
        frame = work.frame.cache()
        nulls = [frame.select(pl.all().null_count())]
    sinks.append(_sink(frame, temp, metadata))
    filtered = None
    if work.filtered is not None:
        filtered = scratch / "filtered.parquet"
        make_folder(scratch)
        sinks.append(_sink(work.filtered, filtered, metadata))
    try:
        results = pl.collect_all([*sinks, *work.probes, *nulls], engine="streaming")
    except JobforgeError:
        raise
    except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - raised as ours
        # What was raised may hold personal values, and a traceback would show it.
        raise _translate(work, error) from (None if work.footer.discreet else error)
    rows = int(pl.scan_parquet(temp, glob=False).select(pl.len()).collect().item())
    left = pl.scan_parquet(filtered, glob=False) if filtered is not None else None
    probes = results[len(sinks) : len(sinks) + len(work.probes)]
    counted = results[-1].row(0, named=True) if nulls else {}
    return Written(temp, rows, rejects, probes, left, counted)


def _checked_schema(work: Work, written: Written) -> pl.Schema:
    """The columns of the written file, which have to be those of the frame.

    Raises:
        TransitionError: They are not; nothing is published.
    """
    wanted = work.frame.collect_schema()
    schema = pl.scan_parquet(written.target, glob=False).collect_schema()
    if list(schema.items()) != list(wanted.items()):
        other = [name for name in {*schema, *wanted} if schema.get(name) != wanted.get(name)]
        raise TransitionError(
            f"the file was written with other columns than it should have: {sorted(other)[:5]}",
            hint="this is likely a defect of jobforge or Polars: keep the input and report it",
        )
    return schema


def _sink(frame: pl.LazyFrame, path: Path, metadata: dict[str, str]) -> pl.LazyFrame:
    sink: pl.LazyFrame = frame.sink_parquet(path, compression="zstd", metadata=metadata, lazy=True)
    return sink


_REFUSED = ("os error", "no space left", "out of space", "storage full")


def _translate(work: Work, error: BaseException) -> JobforgeError:
    located = work.locate(error) if work.locate is not None else None
    if located is not None:
        return located
    first = (str(error).splitlines() or [type(error).__name__])[0]
    words = first.lower()
    if work.footer.discreet and not isinstance(error, OSError):
        first = WITHHELD
    if isinstance(error, OSError) or any(said in words for said in _REFUSED):
        return WriteError(
            f"the layer file could not be written: {first}",
            hint="look at free space and permissions of the data root",
        )
    return TransitionError(
        f"Polars could not compute the layer: {first}",
        hint="this is likely a defect of jobforge or Polars: keep the source file and report it",
    )
