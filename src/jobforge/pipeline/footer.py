"""What a layer file says of itself, in its Parquet footer under the key `jobforge`.

Parquet files carry key-value metadata (Apache Parquet format, `FileMetaData`);
ours holds one JSON object, so that a `promote_*` needs only a path.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from jobforge.errors import NotAJobforgeFileError, WriteError, WrongLayerError
from jobforge.pipeline.config import Layer
from jobforge.pipeline.records import RECORD_FORMAT, Record, Sha256, check_format
from jobforge.storage.paths import existing_file
from jobforge.storage.publish import SPACE

KEY = "jobforge"
_TAIL = struct.Struct("<i4s")
"""The end of a Parquet file: the size of its metadata, and a mark (Apache Parquet format)."""


class FooterSource(Record):
    """One source file of the batch."""

    name: str
    sha256: Sha256
    size_bytes: int


class Footer(Record):
    """Where a layer file belongs and what it was made from."""

    format_version: int = RECORD_FORMAT
    table: str
    domain: str
    layer: Layer
    batch_id: str
    batches: tuple[str, ...] = ()
    """The batches of its rows, where they are more than that one."""
    sources: tuple[FooterSource, ...]
    traceable: bool
    """Whether rows name their source record (`_source_row`)."""
    contract: dict[str, Any] | None = None
    """The contract of the table, for silver to judge its checks."""
    jobforge_version: str
    polars_version: str

    @property
    def discreet(self) -> bool:
        """Whether the contract classes a column as personal data."""
        columns = (self.contract or {}).get("columns", {})
        return any(isinstance(said, dict) and said.get("pii") for said in columns.values())

    def metadata(self) -> dict[str, str]:
        """The footer as Parquet key-value metadata."""
        return {KEY: self.model_dump_json()}


@dataclass(frozen=True)
class LayerFile:
    """A layer file, opened, or one that is about to be written.

    Args:
        path: Where it stands, or will.
        footer: What it says of itself.
        frame: Its rows.
        rows: How many; 0 while they are not written.
        size_bytes: How large it is; while it is not written, what it will take at least.
    """

    path: Path
    footer: Footer
    frame: pl.LazyFrame
    rows: int
    size_bytes: int


def open_layer_file(path: Path | str, layer: Layer) -> LayerFile:
    """Open a file of a layer by its path alone.

    Args:
        path: A Parquet file that jobforge wrote.
        layer: The layer that it has to belong to.

    Raises:
        NotAJobforgeFileError: There is no such file, it is not Parquet, it is
            damaged, or has no footer of ours.
        RecordError: A newer jobforge wrote it.
        WrongLayerError: It belongs to another layer.
    """
    place = existing_file(path)
    footer = read_footer(place)
    try:
        frame = pl.scan_parquet(place, glob=False)
        rows = int(frame.select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise _unreadable(place, error) from error
    if footer.layer is not layer:
        raise WrongLayerError(
            f"{place} is a {footer.layer} file, and a {layer} file is needed",
            hint=f"pass the path that the {layer} step of the batch returned",
            table=footer.table,
        )
    return LayerFile(place, footer, frame, rows, place.stat().st_size)


def restate(path: Path, before: Footer, after: Footer) -> None:
    """Let a file that nobody sees yet say something of the same length of itself.

    A hash of the source is known when the file is written, and not when the
    writing begins. The metadata stand as they are in the last part of the file.

    Raises:
        WriteError: The file does not say what it should.
    """
    old, new = before.metadata()[KEY].encode(), after.metadata()[KEY].encode()
    try:
        with path.open("r+b") as file:
            file.seek(-_TAIL.size, os.SEEK_END)
            size, _ = _TAIL.unpack(file.read())
            start = file.seek(-_TAIL.size - size, os.SEEK_END)
            said = file.read(size)
            if said.count(old) != 1 or len(old) != len(new):
                raise WriteError(
                    f"the footer of {path} is not what was written",
                    hint="this is likely a defect of jobforge or Polars: keep the source file",
                )
            file.seek(start + said.index(old))
            file.write(new)
    except OSError as error:
        raise WriteError(f"{path} could not be written: {error.strerror}", hint=SPACE) from error


def read_footer(path: Path) -> Footer:
    """What a layer file says of itself.

    Raises:
        NotAJobforgeFileError: It is not Parquet, or has no footer of ours.
        RecordError: A newer jobforge wrote it.
    """
    try:
        metadata = pl.read_parquet_metadata(path)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise _unreadable(path, error) from error
    if KEY not in metadata:
        raise NotAJobforgeFileError(
            f"{path} is a Parquet file that jobforge did not write",
            hint="ingest it first: PipelineEngine.ingest(path, table_name)",
        )
    return _parse(path, metadata[KEY])


def _unreadable(path: Path, error: BaseException) -> NotAJobforgeFileError:
    return NotAJobforgeFileError(
        f"{path} is no readable Parquet file ({(str(error).splitlines() or [''])[0]})",
        hint="pass a path that an earlier step returned",
    )


def _parse(path: Path, text: str) -> Footer:
    try:
        check_format(path, text.encode())
        return Footer.model_validate_json(text)
    except ValueError as error:
        raise NotAJobforgeFileError(
            f"the jobforge footer of {path} cannot be understood",
            hint="it may be from a newer jobforge: upgrade, or make the file again",
        ) from error
