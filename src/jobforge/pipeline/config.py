"""Where a data root is and how it is laid out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from jobforge.errors import InvalidConfigError


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

    Raises:
        InvalidConfigError: The data root is empty or a URI.
    """

    data_root: Path = Path("data")  # text is taken too
    row_numbers: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.data_root, (str, Path)):
            raise InvalidConfigError(
                f"the data root is a {type(self.data_root).__name__}, not a path",
                hint="PipelineConfig(data_root=Path('data'))",
            )
        if not isinstance(self.row_numbers, bool):
            raise InvalidConfigError(
                f"row_numbers is {self.row_numbers!r}", hint="use True or False"
            )
        raw = str(self.data_root)
        if not raw.strip() or "\0" in raw:
            raise InvalidConfigError(f"the data root {raw!r} is no folder", hint="name a folder")
        if "://" in raw or raw.startswith(("s3:/", "gs:/", "az:/")):
            raise InvalidConfigError(
                f"the data root {raw!r} is a URI", hint="name a folder on a mounted file system"
            )
        object.__setattr__(self, "data_root", Path(self.data_root))

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

    def catalog_path(self) -> Path:
        """Folder of every record."""
        return self.data_root / "catalog"

    def catalog_tables_path(self) -> Path:
        """Folder of the table metadata."""
        return self.catalog_path() / "tables"

    def catalog_lineage_path(self) -> Path:
        """Folder of the batch records."""
        return self.catalog_path() / "lineage"

    def catalog_glossary_path(self) -> Path:
        """Folder of the business terms."""
        return self.catalog_path() / "glossary"

    def catalog_schemas_path(self) -> Path:
        """Folder of contracts and schema versions."""
        return self.catalog_path() / "schemas"


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
