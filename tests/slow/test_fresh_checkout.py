"""A stranger's first minute: clone, one command, and a file has gone through four layers."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (PROJECT / ".git").exists(), reason="no git checkout to clone"),
    pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine"),
]


def test_a_clone_and_make_demo(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(PROJECT), str(clone)], check=True)  # noqa: S607 - git of the path
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run(
        ["make", "demo"],  # noqa: S607 - make of the path
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for said in ("occupations.csv -> occupations", "quarantined by cast:hired_on", "wage bill"):
        assert said in done.stdout
    # What the demo makes is below one folder that git ignores.
    status = subprocess.run(
        ["git", "status", "--short"],  # noqa: S607 - git of the path
        cwd=clone,
        capture_output=True,
        text=True,
        check=True,
    )
    assert status.stdout == ""
