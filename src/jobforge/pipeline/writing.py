"""Rows into a layer: computed in one pass, judged, and only then published."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import polars as pl

from jobforge.errors import JobforgeError, StorageError, TransitionError, WriteError
from jobforge.pipeline import catalog
from jobforge.pipeline.adoption import newest_version
from jobforge.pipeline.ahead import Ahead
from jobforge.pipeline.column_lineage.record import FrameLineage
from jobforge.pipeline.config import Layer
from jobforge.pipeline.footer import Footer, LayerFile, restate
from jobforge.pipeline.models import TransitionStatus
from jobforge.pipeline.passes import Part, compute, one_interrupt, sink, translate
from jobforge.pipeline.table_record import ColumnMetadata, LayerState
from jobforge.pipeline.transition import Begun, Outcome, Transition
from jobforge.pipeline.versions import Joining
from jobforge.pipeline.work import Verdict, Work, Written
from jobforge.quality.columns import columns
from jobforge.storage.publish import Publication, hash_and_sync, make_folder
from jobforge.storage.space import check_space
from jobforge.storage.store import Commit, DataFile, Version


@dataclass(frozen=True)
class Neighbours:
    """Layers that share a pass with this one.

    Args:
        made: This layer, as it was computed in the pass of the layer before.
        then: The next layer, to be computed in the pass of this one.
    """

    made: Ahead | None = None
    then: Ahead | None = None

    def begun(self) -> Begun | None:
        """The transition of this layer, where it began in the pass of the layer before."""
        return None if self.made is None else self.made.begun


ALONE = Neighbours()


def carry_out(
    transition: Transition,
    plan: Callable[[Path], Work],
    joining: Joining | None = None,
    neighbours: Neighbours = ALONE,
) -> Outcome:
    """Run a transition that writes rows.

    Args:
        transition: Which rows go where.
        plan: Says what to write; gets a folder for scratch files.
        joining: How they join the table; None for staged.
        neighbours: Layers that share a pass with it.

    Raises:
        JobforgeError: The work was refused or failed. Nothing new is visible
            in the target layer, and the record says why.
    """
    paths: list[Path] = []

    def body(scratch: Path) -> None:
        paths.append(_publish(transition, lambda: plan(scratch), joining, scratch, neighbours))

    log = transition.run(body, writes=True)
    return Outcome(paths[0], log)


def _publish(
    transition: Transition,
    plan: Callable[[], Work],
    joining: Joining | None,
    scratch: Path,
    neighbours: Neighbours,
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
        joining.check(store, base, work.frame.collect_schema())
    check_space(config.data_root, work.least_bytes)
    with Publication(lambda: landed(transition)) as publication, one_interrupt():
        made = neighbours.made.take(work) if neighbours.made is not None else None
        if made is not None:
            written = _adopt(made, publication, target, rejected)
        else:
            place = Place(publication, target, rejected, scratch, config.content_hashes)
            work, written = _proven(transition, work, place, neighbours.then)
            if neighbours.then is not None:
                neighbours.then.settle(written.target)
        with ThreadPoolExecutor(1) as helper:
            hashed = None if written.sha256 else helper.submit(hash_and_sync, written.target)
            verdict = work.judge(written)
            verdict.account.check()
            _note(transition, work, verdict)
            schema = _checked_schema(work, written)
            content_hash = f"sha256:{hashed.result() if hashed else written.sha256}"
        file = DataFile(target.name, written.rows, written.target.stat().st_size)
        left = bool(verdict.account.quarantined)
        held = left or bool(verdict.account.deduplicated)
        if not held:
            publication.drop(rejected)
        if verdict.refusal is not None:
            publication.drop(target)
            _refuse(transition, publication, work, verdict.refusal, rejected if held else None)
        edges, groups = _beside(publication, work, verdict, written, others)
        publication.place()
        version = _version(transition, file, schema, content_hash, joining, base)
        publication.keep()
    lineage = _lineage(work)
    transition.publish(
        TransitionStatus.PARTIAL if left else TransitionStatus.SUCCESS,
        column_lineage=lineage,
        target_file=transition.relative(target),
        quarantine_file=transition.relative(rejected) if held else None,
        edges_file=transition.relative(edges) if edges is not None else None,
        groups_file=transition.relative(groups) if groups is not None else None,
        content_hash=content_hash,
        contents=written.contents,
        table_version=version.number if version else None,
        left_out=version.commit.left_out if version else {},
    )
    columns = catalog.columns_of(schema, lineage, written.nulls)
    state = layer_state(transition, file, version, columns)
    catalog.update(config, transition.log, state)
    if work.published is not None:
        work.published(transition.log)
    return target


def _lineage(work: Work) -> FrameLineage | None:
    """Where the columns come from; what cannot be told stops nothing."""
    try:
        return work.lineage() if work.lineage is not None else None
    except (Exception, pl.exceptions.PanicException):  # noqa: BLE001 - the rows are what counts
        return None


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


def _beside(
    publication: Publication, work: Work, verdict: Verdict, written: Written, others: list[Path]
) -> tuple[Path | None, Path | None]:
    """Files about source records: those that left, and those that went into aggregates."""
    edges, groups = (*others, None, None)[:2]
    if verdict.edges is None or edges is None:
        edges = None
    else:
        _write_edges(verdict.edges, publication.reserve(edges), work.footer)
    if written.groups is None or groups is None:
        return edges, None
    publication.adopt(written.groups, groups)
    return edges, groups


def _write_edges(edges: pl.LazyFrame, path: Path, footer: Footer) -> None:
    try:
        sink(edges, path, footer.metadata()).collect(engine="streaming")
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


@dataclass(frozen=True)
class Place:
    """Where a transition writes.

    Args:
        publication: Makes its files visible.
        target: The file for its rows.
        rejected: The file for its rejects.
        scratch: A folder for what is not published.
        hashed: Whether to tell what the rows hold.
    """

    publication: Publication
    target: Path
    rejected: Path
    scratch: Path
    hashed: bool

    def reserve(self, work: Work) -> Part:
        """Temporary files for a piece of work, in place of any that were reserved before.

        The rejects are reserved first, so that they become visible first: a row
        that left is never lost.
        """
        for path in (self.rejected, self.target):
            self.publication.drop(path)
        if work.filtered is not None or work.groups is not None:
            make_folder(self.scratch)
        return Part(
            work,
            rejects=self.publication.reserve(self.rejected) if work.rejects is not None else None,
            target=self.publication.reserve(self.target),
            filtered=self.scratch / "filtered.parquet" if work.filtered is not None else None,
            groups=self.scratch / "groups.parquet" if work.groups is not None else None,
            hashed=self.hashed,
        )


def _adopt(made: Written, publication: Publication, target: Path, rejected: Path) -> Written:
    """Files that were computed ahead, in place of those that would be computed now."""
    rejects = publication.adopt(made.rejects, rejected) if made.rejects is not None else None
    return replace(made, rejects=rejects, target=publication.adopt(made.target, target))


def _proven(
    transition: Transition, work: Work, place: Place, then: Ahead | None
) -> tuple[Work, Written]:
    """Compute the rows; of an input that was taken on trust and is another, once more."""
    if work.confirm is None:
        return work, _compute(transition, place.reserve(work), place.target, then)
    try:
        written = _compute(transition, place.reserve(work), place.target, then)
    except TransitionError:
        found = work.confirm()
        if found.frame is work.frame:
            raise
        return found, _compute(transition, place.reserve(found), place.target, None)
    found = work.confirm()
    if found.frame is not work.frame:
        if then is not None:
            then.drop()
        return found, _compute(transition, place.reserve(found), place.target, None)
    for path in written.files():
        restate(path, work.footer, found.footer)
    if then is not None:
        then.restate(found.footer.sources)
    return found, written


def _carried(files: Part, follower: Part) -> Part:
    """The rows, taken from the frame of the next layer that has them all."""
    carries = follower.work.carries
    if carries is None:
        return files
    names = files.work.frame.collect_schema().names()
    return replace(files, work=replace(files.work, frame=carries.select(columns(names))))


def _compute(transition: Transition, files: Part, target: Path, then: Ahead | None) -> Written:
    """Compute the rows, and those of the next layer in the same pass.

    Where that fails, the next layer is left to its own transition, which says
    what is wrong with it.
    """
    work, follower = files.work, None
    if then is not None or work.count_nulls or files.hashed:
        work = replace(work, frame=work.frame.cache())
        files = replace(files, work=work)
    if then is not None:
        ours = LayerFile(target, work.footer, work.frame, 0, work.least_bytes)
        follower = then.begin(transition.config, ours)
    try:
        if then is not None and follower is not None:
            try:
                written, following = compute([_carried(files, follower), follower])
            except (Exception, pl.exceptions.PanicException):  # noqa: BLE001 - told by its own turn
                then.drop()
            else:
                then.computed(following, written.contents)
                return written
        return compute([files])[0]
    except JobforgeError:
        raise
    except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - raised as ours
        # What was raised may hold personal values, and a traceback would show it.
        raise translate(work, error) from (None if work.footer.discreet else error)
