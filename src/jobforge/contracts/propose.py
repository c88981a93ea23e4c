"""A contract proposed from a file, as its reader reads it."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path

import polars as pl

from jobforge.contracts.contract import Contract
from jobforge.contracts.infer import infer_contract
from jobforge.errors import InvalidOptionError
from jobforge.readers.base import RECORD, ReadContext, ReadOptions
from jobforge.readers.registry import read_source
from jobforge.storage.debris import scratch_folder
from jobforge.storage.publish import make_folder
from jobforge.storage.source import SourceFile


def propose(
    source: Path | str | pl.LazyFrame | pl.DataFrame, read: ReadOptions | None, *, ranges: bool
) -> Contract:
    """See `Contract.infer`."""
    if isinstance(source, (pl.LazyFrame, pl.DataFrame)):
        return infer_contract(source.lazy(), ranges=ranges)
    if not isinstance(source, (str, Path)):
        raise InvalidOptionError(
            f"the source is a {type(source).__name__}", hint="pass a path or a frame"
        )
    with scratch_folder(Path(tempfile.gettempdir()), str(uuid.uuid4())) as scratch:
        table = read_source(SourceFile(Path(source)), read, ReadContext(scratch))
        # Each column is looked at more than once; the source is read once.
        make_folder(scratch)
        once = scratch / "once.parquet"
        table.frame.drop(RECORD, strict=False).sink_parquet(once)
        return infer_contract(pl.scan_parquet(once, glob=False), ranges=ranges)
