"""The code that the README and the guides show, run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"^```python\n(.*?)^```\n(?:\n?^```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE
)


def blocks() -> list[tuple[str, str, str]]:
    """Page, code, and the output that is shown right after it."""
    return [
        (page.name, code, shown)
        for page in PAGES
        for code, shown in BLOCK.findall(page.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize(("page", "code", "shown"), blocks())
def test_python_blocks_run_and_print_what_they_show(
    tmp_path: Path, page: str, code: str, shown: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{page}: {done.stderr}"
    if shown:
        assert [line.rstrip() for line in done.stdout.splitlines()] == [
            line.rstrip() for line in shown.splitlines()
        ]


def test_the_readme_has_code_with_output() -> None:
    assert any(page == "README.md" and shown for page, _, shown in blocks())


def test_links_to_files_of_the_project_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_names_the_commands_that_ci_runs() -> None:
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    ci = (PROJECT / ".ci" / "run").read_text(encoding="utf-8")
    assert "make demo" in readme
    assert "make test" in readme
    assert "no telemetry" in readme.lower()
    assert "make test\n" in ci
