"""The public names, and what importing them costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import jobforge
import jobforge.pipeline
from support import write_csv

HEAVY = ("polars", "pyarrow", "numpy", "deltalake", "duckdb", "pydantic", "structlog")


COMMAND = """
import contextlib, io
from jobforge.cli.main import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main()
"""


def loaded_by(code: str, *arguments: str) -> set[str]:
    """Modules that a fresh interpreter has after running code."""
    script = f"import json, sys\n{code}\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_public_names_are_these() -> None:
    assert sorted(jobforge.__all__) == [
        "Column",
        "Contract",
        "Layer",
        "PROVENANCE",
        "PipelineConfig",
        "PipelineEngine",
        "SourceRecord",
        "__version__",
        "add_provenance_columns",
        "deduplicate",
        "expect",
        "generate_batch_id",
        "keep",
        "normalise_whitespace",
        "null_words",
        "references",
        "trim",
        "update_layer_column",
    ]
    for name in jobforge.__all__:
        assert getattr(jobforge, name) is not None


def test_pipeline_exports_the_engine() -> None:
    assert jobforge.pipeline.PipelineEngine is jobforge.PipelineEngine
    for name in jobforge.pipeline.__all__:
        assert getattr(jobforge.pipeline, name) is not None


@pytest.mark.parametrize("module", [jobforge, jobforge.pipeline])
def test_an_unknown_name_is_an_attribute_error(module: object) -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        module.nonsense  # type: ignore[attr-defined] # noqa: B018 - the access is the test


def test_import_is_light() -> None:
    assert loaded_by("import jobforge").isdisjoint(HEAVY)


def test_command_line_help_is_light() -> None:
    assert loaded_by(COMMAND, "--help").isdisjoint(HEAVY)


def test_a_run_of_a_small_csv_file_loads_what_it_needs(tmp_path: Path) -> None:
    source, root = write_csv(tmp_path / "t.csv", [["a", "b"], ["007", "x"]]), tmp_path / "data"
    words = ("--quiet", "run", str(source), "--table", "t", "--data-root", str(root))
    loaded = loaded_by(COMMAND, *words)
    assert {"polars", "deltalake", "pydantic", "jobforge.pipeline.engine"} <= loaded
    assert [path.suffix for path in (root / "gold/default/t").glob("*.parquet")] == [".parquet"]
    unneeded = {"duckdb", "numpy", "open_data_contract_standard", "pyarrow", "structlog", "yaml"}
    unneeded |= {"rich.progress", "rich.traceback", "zstandard"}
    own = "cli.commands.erase contracts.odcs pipeline.maintenance pipeline.rejects "
    own += "readers.arrow_types readers.csv.scan readers.excel readers.unpack"
    assert loaded & (unneeded | {f"jobforge.{name}" for name in own.split()}) == set()


def test_importing_configures_no_logging() -> None:
    code = """
import logging, structlog, jobforge.pipeline.engine, jobforge.pipeline.events
assert not structlog.is_configured()
assert not logging.getLogger().handlers
"""
    assert "jobforge" in loaded_by(code)
