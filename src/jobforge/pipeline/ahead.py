"""A layer that is computed in the pass of the layer before it, and waits for its own transition.

Two layers that read the same rows cost less in one pass than one after the
other. What a layer is and how it becomes visible stays the same: its files wait
in a scratch folder until its own transition judges and publishes them, or until
somebody finds that they are not what it wants, and they go.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import polars as pl

from jobforge.pipeline import recovery
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.content import sums
from jobforge.pipeline.footer import FooterSource, LayerFile, restate
from jobforge.pipeline.models import Contents
from jobforge.pipeline.passes import Part
from jobforge.pipeline.splicing import Splice, kept_columns
from jobforge.pipeline.transition import Begun, Clock
from jobforge.pipeline.work import Work, Written
from jobforge.readers.base import Background
from jobforge.storage.debris import mark, scratch_path
from jobforge.storage.publish import hash_and_sync, make_folder

Plan = Callable[[LayerFile, Begun], Work]


class Ahead:
    """The next layer of a batch.

    Whoever makes one calls `drop` at the end: what nobody took is gone then.

    Args:
        plan: Says what the layer wants of an input that is not written yet.
        clock: Read when its computation begins.
    """

    def __init__(self, plan: Plan, clock: Clock) -> None:
        self._plan = plan
        self._clock = clock
        self._part: Part | None = None
        self._written: Written | None = None
        self._base: Contents | None = None
        self._input = Path()
        self._background = Background()
        self._joined: Future[Written | None] | None = None
        self.begun: Begun | None = None
        """Its transition, as far as it has begun; None where nothing is computed ahead."""

    def begin(self, config: PipelineConfig, opened: LayerFile) -> Part | None:
        """What is to be computed in the pass that writes the input.

        Args:
            config: Where the data root is.
            opened: The input as it will be; its frame is shared with that pass.

        Returns:
            None where it cannot be planned: then the transition of the layer
            finds out why.
        """
        transition_id = str(uuid.uuid4())
        name = recovery.marker_name(opened.footer.batch_id, transition_id)
        scratch = scratch_path(config.data_root, transition_id)
        # A marker without a record: if this process dies, the next run removes the scratch folder.
        marker = mark(config.running_path() / name)
        self.begun = Begun(transition_id, self._clock(), marker, scratch)
        make_folder(scratch)
        scratch.chmod(0o700)  # rejects may wait here, and their own folder may be closed to others
        try:
            work = self._plan(opened, self.begun)
        except (Exception, pl.exceptions.PanicException):  # noqa: BLE001 - told by its own turn
            self.drop()
            return None
        self._part = Part(
            work,
            scratch / "rows.parquet",
            scratch / "rejects.parquet" if work.rejects is not None else None,
            scratch / "filtered.parquet" if work.filtered is not None else None,
            scratch / "groups.parquet" if work.groups is not None else None,
            kept_columns(work, opened),
            hashed=config.content_hashes,
        )
        self._input = opened.path
        return self._part

    def computed(self, written: Written, base: Contents | None) -> None:
        """Keep what was computed until it is taken.

        Args:
            written: What was.
            base: What its input holds, where that is known.
        """
        self._written = written
        self._base = base

    def restate(self, sources: tuple[FooterSource, ...]) -> None:
        """Let its files name the sources as they were found to be.

        Raises:
            WriteError: They cannot be written.
        """
        part, written = self._part, self._written
        if part is None or written is None:
            return
        footer = part.work.footer.model_copy(update={"sources": sources})
        for path in written.files():
            restate(path, part.work.footer, footer)
        self._part = replace(part, work=replace(part.work, footer=footer))

    def settle(self, base: Path) -> None:
        """Begin to put its file together, while its input becomes visible.

        Args:
            base: Where its input stands now, complete; it may be moved after this.
        """
        part, written = self._part, self._written
        if part is None or written is None or not part.kept:
            return
        held = part.target.with_name("base.parquet")
        try:
            held.hardlink_to(base)
        except OSError:
            return  # a file system without links: it is put together when it is taken
        self._joined = self._background.start(lambda _: _whole(part, written, held, self._base))

    def take(self, work: Work) -> Written | None:
        """What was computed, if it is what a layer wants; whoever takes it publishes it.

        Args:
            work: What the layer wants of the input, now that it is written.
        """
        part, written = self._part, self._written
        joined, self._joined = self._joined, None
        self._part = self._written = None
        if part is None or written is None or not _same(part.work, work):
            return None
        if not part.kept:
            return written
        if joined is not None:
            return joined.result()
        return _whole(part, written, self._input, self._base)

    def drop(self) -> None:
        """Remove what was computed, and forget that anything was begun."""
        begun, self.begun = self.begun, None
        self._part = self._written = self._joined = None
        with self._background:
            pass  # nobody waits for its work any more
        if begun is not None:
            shutil.rmtree(begun.scratch, ignore_errors=True)
            if not begun.running:
                begun.marker.done()


def _same(one: Work, other: Work) -> bool:
    """Whether two plans of a layer want files of one form."""
    return (
        one.footer == other.footer
        and len(one.probes) == len(other.probes)
        and (one.rejects is None) == (other.rejects is None)
        and (one.filtered is None) == (other.filtered is None)
        and (one.groups is None) == (other.groups is None)
        and _columns(one.frame) == _columns(other.frame)
    )


def _columns(frame: pl.LazyFrame) -> list[tuple[str, pl.DataType]]:
    return list(frame.collect_schema().items())


def _whole(part: Part, written: Written, base: Path, holds: Contents | None) -> Written | None:
    """The file with the columns that it has of its input.

    None where they do not fit together, or where anything fails: then the
    layer is computed in a pass of its own, which says what is wrong.
    """
    whole = part.target.with_name("whole.parquet")
    halves = Splice(part.target, base, part.kept, part.target.parent)
    schema = part.work.frame.collect_schema()
    try:
        if not halves.into(whole, schema, part.work.footer.metadata()):
            return None
        part.target.unlink()
        contents = _contents(part, written, whole, holds)
        return replace(written, target=whole, sha256=hash_and_sync(whole), contents=contents)
    except (Exception, pl.exceptions.PanicException):  # noqa: BLE001 - told by its own turn
        return None


def _contents(part: Part, written: Written, whole: Path, base: Contents | None) -> Contents | None:
    """What the file holds; columns of the input are not hashed twice where no row left."""
    asked, computed = part.sums, written.sums
    if asked is None or computed is None:
        return None
    if base is not None and asked.same_records(computed, base):
        known = {name: base.columns[old] for name, old in part.kept.items() if old in base.columns}
    else:
        frame = pl.scan_parquet(whole, glob=False)
        rest = sums(frame, by_record=asked.by_record, without=frozenset(asked.names))
        known = rest.columns(rest.frame.collect(engine="streaming"))
    return asked.contents(computed, known)
