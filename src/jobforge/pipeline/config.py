"""Where a data root is and how it is laid out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar

from jobforge.errors import InvalidConfigError, InvalidOptionError

if TYPE_CHECKING:
    from jobforge.openlineage import OpenLineageConfig


class Load(StrEnum):
    """What a batch does to the table that it is promoted into."""

    REPLACE = "replace"
    """The batch becomes the table."""
    APPEND = "append"
    """The rows of the batch join the table."""


class OnConflict(StrEnum):
    """What happens where another writer published since a transition began."""

    FAIL = "fail"
    """The work is refused."""
    RETRY = "retry"
    """The work is published on top, unless the other one began later."""


class Layer(StrEnum):
    """The four medallion layers, in order."""

    STAGED = "staged"
    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"


@dataclass(frozen=True)
class PipelineConfig:
    """Settings of an engine; nothing on disk is touched by making one.

    Args:
        data_root: Folder that holds every layer and the catalog. Relative
            paths are taken from the current folder at the time of use.
        row_numbers: Whether staged gets `_source_row`, the record number in
            the source file. Without it a row can be traced to its file only,
            and silver can check the number of rows but not their identity.
        fused: Whether a full run computes bronze in the pass that writes staged, and
            gold in the pass that writes silver: quicker, and the result is the
            same. Without it each layer is read back before the next is computed.
        content_hashes: Whether the log of each layer says what its rows hold, as a hash
            that does not depend on their order; it proves that a replay gave the same.
        keep_source: Whether an ingest keeps the bytes of its source files in the
            data root (`sources/`), so that the text of a record can be shown when
            the file has moved.
        spans: Whether runs and transitions are told to OpenTelemetry, which has to
            be installed then; None as the environment says (`JOBFORGE_SPANS=1`).
        openlineage: Where each transition is told as OpenLineage events; nowhere
            unless given. See `jobforge.openlineage`.

    Raises:
        InvalidConfigError: The data root is empty or a URI, or events are asked
            for and their client is not installed.
    """

    data_root: Path = Path("data")  # text is taken too
    row_numbers: bool = True
    fused: bool = True
    content_hashes: bool = True
    keep_source: bool = False
    spans: bool | None = None
    openlineage: OpenLineageConfig | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.data_root, (str, Path)):
            raise InvalidConfigError(
                f"the data root is a {type(self.data_root).__name__}, not a path",
                hint="PipelineConfig(data_root=Path('data'))",
            )
        for name in ("row_numbers", "fused", "content_hashes", "keep_source"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidConfigError(
                    f"{name} is {getattr(self, name)!r}", hint="use True or False"
                )
        if self.spans is not None and not isinstance(self.spans, bool):
            raise InvalidConfigError(f"spans is {self.spans!r}", hint="use True, False or None")
        raw = str(self.data_root)
        if not raw.strip() or any(ord(letter) < ord(" ") for letter in raw):
            raise InvalidConfigError(f"the data root {raw!r} is no folder", hint="name a folder")
        if "://" in raw or raw.startswith(("s3:/", "gs:/", "az:/")):
            raise InvalidConfigError(
                f"the data root {raw!r} is a URI", hint="name a folder on a mounted file system"
            )
        object.__setattr__(self, "data_root", Path(self.data_root))
        if self.openlineage is not None:
            _check_events(self.openlineage)

    @property
    def emits(self) -> bool:
        """Whether transitions are told as OpenLineage events."""
        return self.openlineage is not None and self.openlineage.active

    def layer_path(self, layer: Layer | str) -> Path:
        """Folder of one layer.

        Raises:
            InvalidConfigError: There is no such layer.
        """
        return self.data_root / parse_layer(layer).value

    def staged_path(self) -> Path:
        """Folder of the staged archive."""
        return self.layer_path(Layer.STAGED)

    def bronze_path(self) -> Path:
        """Folder of the bronze tables."""
        return self.layer_path(Layer.BRONZE)

    def silver_path(self) -> Path:
        """Folder of the silver tables."""
        return self.layer_path(Layer.SILVER)

    def gold_path(self) -> Path:
        """Folder of the gold tables."""
        return self.layer_path(Layer.GOLD)

    def quarantine_path(self) -> Path:
        """Folder of rejected rows, by layer."""
        return self.data_root / "quarantine"

    def sources_path(self) -> Path:
        """Folder of source files that were kept, by their SHA-256."""
        return self.data_root / "sources"

    def catalog_path(self) -> Path:
        """Folder of every record."""
        return self.data_root / "catalog"

    def catalog_tables_path(self) -> Path:
        """Folder of the table metadata."""
        return self.catalog_path() / "tables"

    def catalog_lineage_path(self) -> Path:
        """Folder of the batch records."""
        return self.catalog_path() / "lineage"

    def chain_path(self) -> Path:
        """Folder of the entries of the chain."""
        return self.catalog_path() / "chain"

    def running_path(self) -> Path:
        """Folder of the markers of transitions that have no outcome yet."""
        return self.catalog_path() / "running"

    def catalog_edges_path(self) -> Path:
        """Folder of the source records that left a layer without a trace in quarantine."""
        return self.catalog_path() / "edges"

    def catalog_groups_path(self) -> Path:
        """Folder of the source records that went into each row of an aggregate."""
        return self.catalog_path() / "groups"

    def catalog_openlineage_path(self) -> Path:
        """Folder of the OpenLineage events, where they go to files."""
        return self.catalog_path() / "openlineage"

    def catalog_glossary_path(self) -> Path:
        """Folder of the business terms."""
        return self.catalog_path() / "glossary"

    def catalog_schemas_path(self) -> Path:
        """Folder of contracts and schema versions."""
        return self.catalog_path() / "schemas"


def _check_events(settings: object) -> None:
    from jobforge.openlineage.settings import OpenLineageConfig, require_client

    if not isinstance(settings, OpenLineageConfig):
        raise InvalidConfigError(
            f"openlineage is {settings!r}",
            hint="use jobforge.openlineage.OpenLineageConfig(), or None for no events",
        )
    if settings.active:
        require_client()


class LoadOptions(TypedDict):
    """The keywords of the engine's methods that say how a batch joins its table."""

    load: Load | str
    on_conflict: OnConflict | str


@dataclass(frozen=True)
class Loading:
    """How a batch joins its table.

    Args:
        load: `replace` or `append`.
        on_conflict: `fail` or `retry`.

    Raises:
        InvalidOptionError: One of them is neither.
    """

    load: Load | str = Load.REPLACE
    on_conflict: OnConflict | str = OnConflict.FAIL

    def __post_init__(self) -> None:
        object.__setattr__(self, "load", _member(Load, "load", self.load))
        object.__setattr__(
            self, "on_conflict", _member(OnConflict, "on_conflict", self.on_conflict)
        )

    def as_options(self) -> LoadOptions:
        """The settings as keywords of the engine's methods."""
        return {"load": self.load, "on_conflict": self.on_conflict}


Member = TypeVar("Member", bound=StrEnum)


def _member(kind: type[Member], option: str, value: str) -> Member:
    try:
        return kind(value)
    except ValueError as error:
        raise InvalidOptionError(
            f"{option} is {value!r}", hint="use " + " or ".join(repr(str(m)) for m in kind)
        ) from error


def parse_layer(name: str) -> Layer:
    """The layer of a name.

    Raises:
        InvalidConfigError: There is no such layer.
    """
    try:
        return Layer(name)
    except ValueError as error:
        raise InvalidConfigError(
            f"there is no layer {name!r}",
            hint="the layers are " + ", ".join(member.value for member in Layer),
        ) from error
