"""Where things are in a data root."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobforge.errors import InvalidConfigError
from jobforge.pipeline.config import Layer, PipelineConfig, parse_layer


def test_the_default_root_is_data() -> None:
    assert PipelineConfig().data_root == Path("data")


def test_every_folder_is_below_the_root() -> None:
    config = PipelineConfig(Path("r"))
    assert [layer.value for layer in Layer] == ["staged", "bronze", "silver", "gold"]
    assert config.staged_path() == Path("r/staged") == config.layer_path(Layer.STAGED)
    assert config.bronze_path() == Path("r/bronze") == config.layer_path("bronze")
    assert config.silver_path() == Path("r/silver")
    assert config.gold_path() == Path("r/gold")
    assert config.quarantine_path() == Path("r/quarantine")
    assert config.catalog_path() == Path("r/catalog")
    assert config.catalog_tables_path() == Path("r/catalog/tables")
    assert config.catalog_lineage_path() == Path("r/catalog/lineage")
    assert config.catalog_glossary_path() == Path("r/catalog/glossary")
    assert config.catalog_schemas_path() == Path("r/catalog/schemas")


def test_making_a_config_touches_no_disk(tmp_path: Path) -> None:
    PipelineConfig(tmp_path / "x").gold_path()
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("root", ["s3://bucket/x", "gs:/bucket", "  "])
def test_roots_that_cannot_be_are_refused(root: str) -> None:
    with pytest.raises(InvalidConfigError):
        PipelineConfig(Path(root))


def test_an_unknown_layer_is_refused() -> None:
    with pytest.raises(InvalidConfigError, match="platinum"):
        parse_layer("platinum")
    with pytest.raises(InvalidConfigError, match="staged, bronze"):
        PipelineConfig().layer_path("platinum")
