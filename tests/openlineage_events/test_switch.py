"""What switches events on, what does not, and what leaving them off costs: nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobforge import PipelineConfig
from jobforge.errors import InvalidConfigError
from jobforge.openlineage import OpenLineageConfig
from support import files_below, write_csv

RUN = """
import json, sys
from jobforge.cli.main import main
try:
    main()
finally:
    with open("modules.json", "w") as file:
        json.dump(list(sys.modules), file)
"""
WITHOUT_CLIENT = "import sys; sys.modules['openlineage'] = None\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_csv(tmp_path / "t.csv", [["a"], ["1"]])
    return tmp_path


def jobforge(
    folder: Path, *words: str, code: str = RUN, **more: str
) -> subprocess.CompletedProcess[str]:
    said = {k: v for k, v in os.environ.items() if "OPENLINEAGE" not in k}
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=folder,
        env={**said, **more},
        capture_output=True,
        text=True,
        check=False,
    )


def loaded(folder: Path) -> set[str]:
    return set(json.loads((folder / "modules.json").read_text()))


def told(folder: Path) -> list[str]:
    return [f for f in files_below(folder) if "catalog/openlineage" in f]


INGEST = ("ingest", "t.csv", "--table", "t")


@pytest.mark.parametrize(
    ("words", "variables"),
    [
        ((), {}),
        (("--openlineage", "none"), {}),
        (("--openlineage", "none"), {"JOBFORGE_OPENLINEAGE": "file"}),
        ((), {"JOBFORGE_OPENLINEAGE": ""}),
        # What the official client would take as a wish to send.
        ((), {"OPENLINEAGE_URL": "http://127.0.0.1:9", "OPENLINEAGE_API_KEY": "k"}),
        ((), {"OPENLINEAGE__TRANSPORT__TYPE": "console"}),
        (("--openlineage-namespace", "n"), {}),
    ],
)
def test_off_means_nothing_is_loaded_and_nothing_told(
    folder: Path, words: tuple[str, ...], variables: dict[str, str]
) -> None:
    done = jobforge(folder, *words, *INGEST, **variables)
    assert done.returncode == 0, done.stderr
    names = loaded(folder)
    assert "jobforge.pipeline.engine" in names
    unwanted = ("openlineage", "requests", "urllib3", "jobforge.pipeline.emission")
    assert [name for name in names if name.split(".")[0] in unwanted or name in unwanted] == []
    assert "jobforge.openlineage.emitter" not in names
    assert told(folder) == []
    assert "eventType" not in done.stderr


@pytest.mark.parametrize(
    ("words", "variables"),
    [
        (("--openlineage", "file"), {}),
        ((), {"JOBFORGE_OPENLINEAGE": "file"}),
        (("--openlineage", "file"), {"JOBFORGE_OPENLINEAGE": "console"}),
        # No variable of the client sends anything anywhere else.
        (("--openlineage", "file"), {"OPENLINEAGE_URL": "http://127.0.0.1:9"}),
        (("--openlineage", "file"), {"OPENLINEAGE_DISABLED": "true"}),
    ],
)
def test_the_command_line_and_its_variable_switch_on(
    folder: Path, words: tuple[str, ...], variables: dict[str, str]
) -> None:
    done = jobforge(folder, *words, *INGEST, **variables)
    assert done.returncode == 0, done.stderr
    assert len(told(folder)) == 1
    assert "not_sent" not in done.stderr


def test_the_console_leaves_results_alone(folder: Path) -> None:
    done = jobforge(folder, "--quiet", "--openlineage", "console", *INGEST, "--json")
    assert json.loads(done.stdout)["log"]["status"] == "success"
    assert [json.loads(line)["eventType"] for line in done.stderr.splitlines()] == [
        "START",
        "RUNNING",
        "COMPLETE",
    ]


def test_the_namespace_can_be_named(folder: Path) -> None:
    words = ("--openlineage", "file", "--openlineage-namespace", "finance")
    assert jobforge(folder, *words, *INGEST).returncode == 0
    (path,) = told(folder)
    lines = (folder / path).read_text().splitlines()
    assert {json.loads(line)["job"]["namespace"] for line in lines} == {"finance"}


def test_the_demo_tells_too(folder: Path) -> None:
    assert jobforge(folder, "--openlineage", "file", "demo", "--dir", "d").returncode == 0
    assert len(told(folder)) == 2


@pytest.mark.parametrize("where", ["nonsense", "ftp://host", "http://", "http://u:p4ss@host"])
def test_a_transport_that_is_none_is_refused_before_anything_is_done(
    folder: Path, where: str
) -> None:
    done = jobforge(folder, "--openlineage", where, *INGEST)
    assert done.returncode == 2
    assert "JF102" in done.stderr
    assert "p4ss" not in done.stderr
    assert not (folder / "data").exists()


def test_a_client_that_is_missing_is_named_before_anything_is_done(folder: Path) -> None:
    done = jobforge(folder, "--openlineage", "file", *INGEST, code=WITHOUT_CLIENT + RUN)
    assert done.returncode == 2
    assert "openlineage-python is not installed" in done.stderr
    assert "pip install 'jobforge[openlineage]'" in done.stderr
    assert not (folder / "data").exists()
    done = jobforge(folder, *INGEST, code=WITHOUT_CLIENT + RUN)
    assert done.returncode == 0, done.stderr


def test_importing_the_settings_is_light() -> None:
    code = "import sys, jobforge.openlineage; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"polars", "pydantic", "requests", "openlineage"} & set(done.stdout.split())


@pytest.mark.parametrize(
    "settings",
    [
        {"transport": ""},
        {"transport": 1},
        {"transport": "File"},
        {"transport": "http://host:port"},
        {"transport": "http://host/a b"},
        {"transport": "http://host/#x"},
        {"transport": "http://["},
        {"namespace": " "},
        {"namespace": "a\nb"},
        {"api_key_variable": None},
        {"timeout": 0},
        {"timeout": float("inf")},
        {"timeout": float("nan")},
        {"timeout": True},
        {"retries": -1},
        {"retries": 1.5},
        {"retries": True},
        {"patience": "long"},
    ],
    ids=str,
)
def test_a_setting_without_meaning_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        OpenLineageConfig(**settings)
    assert caught.value.hint


@pytest.mark.parametrize("wrong", ["file", True, {"transport": "file"}])
def test_a_config_takes_settings_only(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(InvalidConfigError, match="openlineage is"):
        PipelineConfig(tmp_path, openlineage=wrong)


@pytest.mark.parametrize(
    ("url", "address", "path"),
    [
        ("http://localhost:5000", "http://localhost:5000", "/api/v1/lineage"),
        ("http://localhost:5000/", "http://localhost:5000", "/api/v1/lineage"),
        ("https://h/own/place?key=1", "https://h", "/own/place?key=1"),
        ("http://h?key=1", "http://h", "/api/v1/lineage?key=1"),
    ],
)
def test_a_url_says_where_events_go(url: str, address: str, path: str) -> None:
    settings = OpenLineageConfig(url)
    assert (settings.address, settings.path) == (address, path)
