"""A layer whose columns are partly those of its input, encoded once.

Gold mostly has the columns of silver and some more, and bronze the text of
staged. Of a layer that is computed in the pass that writes its input only the
other columns are encoded; the rest is copied from the input, as it stands there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import polars as pl

from jobforge.pipeline.footer import LayerFile
from jobforge.pipeline.passes import encode
from jobforge.pipeline.provenance import BATCH_ID, SOURCE_FILE, SOURCE_ROW
from jobforge.pipeline.unchanged import unchanged
from jobforge.pipeline.work import Work
from jobforge.quality.columns import columns, free_name
from jobforge.storage.encoded import Group, NotSplicedError, read_groups, splice

_WORTH = 200_000
"""Bytes of a layer under which encoding again is as quick as putting files together."""


def kept_columns(work: Work, opened: LayerFile) -> dict[str, str]:
    """Columns of a layer that are columns of its input, and their names there.

    Args:
        work: The layer, not computed yet.
        opened: Its input, which is written in the same pass.

    Returns:
        Nothing where it would gain nothing, or where rows do not name their
        record: without it, nothing could show that the rows are the same.
    """
    if work.least_bytes < _WORTH or not (opened.footer.traceable and work.footer.traceable):
        return {}
    kept = work.kept or unchanged(work.frame, opened.frame)
    if not kept:
        return {}
    footer = opened.footer
    if not footer.batches and footer.batch_id == work.footer.batch_id:
        kept = {**kept, BATCH_ID: BATCH_ID}
    one = len(footer.sources) == 1
    if one:
        kept = {**kept, SOURCE_FILE: SOURCE_FILE}
    checked = {SOURCE_ROW} if one else {SOURCE_ROW, SOURCE_FILE}
    return {name: old for name, old in kept.items() if name not in checked}


@dataclass(frozen=True)
class Splice:
    """Two files that make a third one.

    Args:
        rest: A file with the columns that the base does not have, and the record numbers.
        base: The file that has the others.
        kept: Columns of the result that are columns of the base, and their names there.
        scratch: A folder for what is needed meanwhile.
    """

    rest: Path
    base: Path
    kept: Mapping[str, str]
    scratch: Path

    def into(self, target: Path, schema: pl.Schema, metadata: dict[str, str]) -> bool:
        """Write the result; gives whether the two files fit together.

        Args:
            target: File to write.
            schema: Its columns.
            metadata: Its key-value metadata.

        Raises:
            OSError: It cannot be written.
        """
        form = self.scratch / "form.parquet"
        encode(pl.DataFrame(schema=schema), form, metadata)
        with ExitStack() as stack:
            try:
                rest = read_groups(self.rest, stack)
                base = read_groups(self.base, stack)
                splice(target, form, list(self._groups(rest, base, stack)))
            except NotSplicedError:
                target.unlink(missing_ok=True)
                return False
        return True

    def _groups(self, rest: list[Group], base: list[Group], stack: ExitStack) -> Iterator[Group]:
        """The row groups of the result.

        Both files are cut where the rows were passed on together, so that most
        groups are of the same rows, or of fewer, where rows left. Polars joins
        small ones, so that they need not be as many.
        """
        starts = list(accumulate((group.rows for group in base), initial=0))
        first = passed = 0
        for own in rest:
            at = bisect_left(starts, passed)
            if at < len(base) and self._same_rows(own, base[at]):
                theirs, passed = base[at], starts[at + 1]
            else:
                theirs, passed = self._mended(own, first, stack)
            first += own.rows
            added = {new: theirs.columns[old] for new, old in self.kept.items()}
            yield replace(own, columns={**own.columns, **added})

    def _same_rows(self, own: Group, other: Group) -> bool:
        """Whether two row groups are of the same records, in the same order.

        Encoding is a function of the values, so that equal bytes are equal numbers.
        """
        if own.rows != other.rows:
            return False
        return all(
            [chunk.data() for chunk in own.columns[name]]
            == [chunk.data() for chunk in other.columns[name]]
            for name in self._keys()
        )

    def _keys(self) -> list[str]:
        return [name for name in (SOURCE_FILE, SOURCE_ROW) if name not in self.kept]

    def _mended(self, own: Group, first: int, stack: ExitStack) -> tuple[Group, int]:
        """The columns of the base for some rows of the result, encoded again.

        Args:
            own: A row group of the rest.
            first: The number of its first row in that file.
            stack: Keeps what is encoded open.

        Returns:
            The columns, and how many rows of the base come up to the last of these rows.
        """
        if not own.rows:
            raise NotSplicedError("there are no rows")
        keys = self._keys()
        rest = pl.scan_parquet(self.rest, glob=False).slice(first, own.rows)
        records = rest.select(columns(keys)).collect(engine="streaming")
        within = pl.col(SOURCE_ROW).is_between(
            records[SOURCE_ROW].min(),
            records[SOURCE_ROW].max(),
        )
        place = free_name("__place", self.kept.values())
        base = pl.scan_parquet(self.base, glob=False, row_index_name=place).filter(within)
        theirs = (
            base.select(columns([place, *keys, *dict.fromkeys(self.kept.values())]))
            .join(records.lazy(), on=keys, how="semi", maintain_order="left")
            .collect(engine="streaming")
        )
        if not theirs.select(columns(keys)).equals(records):
            raise NotSplicedError("there are other rows")
        path = self.scratch / f"group-{first}.parquet"
        encode(theirs.drop(columns([place])), path, {})
        (group,) = read_groups(path, stack)
        path.unlink()
        return group, theirs.item(-1, place) + 1
