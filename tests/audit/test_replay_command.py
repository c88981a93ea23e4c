"""`jobforge replay`, run as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobforge.pipeline import lineage
from jobforge.pipeline.config import PipelineConfig
from support import files_below

SCRIPT = """
import sys
from datetime import datetime
from pathlib import Path
import polars as pl
from jobforge import PipelineConfig, PipelineEngine, expect
from jobforge.pipeline import events
import rates

def dear(lf):
    return lf.filter(pl.col("v") > rates.LEAST)

def stamped(lf):
    return lf.with_columns(at=pl.lit(datetime.now()))

if __name__ == "__main__":
    events.configure(quiet=True)
    engine = PipelineEngine(PipelineConfig(Path("data")))
    Path("t.csv").write_text("k,v\\na,1\\nb,2\\nc,x\\nd,9\\n")
    gold = [stamped] if "clock" in sys.argv else []
    ran = engine.run_full_pipeline(
        "t.csv", "t", bronze_schema={"cast": {"v": "Int64"}},
        silver_transforms=[dear, expect("small", pl.col("v") < 9)], gold_transforms=gold,
    )
    print(ran["batch_id"])
"""


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def replay(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    code = "from jobforge.cli.main import main; main()"
    return run(folder, sys.executable, "-c", code, "replay", *words)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "etl").mkdir()
    (tmp_path / "etl/job.py").write_text(SCRIPT)
    (tmp_path / "etl/rates.py").write_text("LEAST = 1\n")
    return tmp_path


def batch_of(project: Path, *words: str) -> str:
    done = run(project, sys.executable, "etl/job.py", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_script_is_named_and_not_run(project: Path) -> None:
    batch = batch_of(project)
    without = replay(project, batch, "--verify")
    assert without.returncode == 4, without.stderr
    assert "dear was defined in a script" in without.stdout
    before = files_below(project)
    done = replay(project, batch, "--verify", "--code", "etl/job.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "identical"
    assert [name for name in files_below(project) if "pycache" not in name] == before
    found = json.loads(replay(project, batch, "--json", "--code", "etl/job.py").stdout)
    assert (found["verdict"], len(found["layers"])) == ("identical", 4)


def test_a_difference_is_shown_and_ends_with_1(project: Path) -> None:
    batch = batch_of(project)
    path = next((project / "data/gold").rglob("*.parquet"))
    config = PipelineConfig(project / "data")
    log = lineage.known(config, batch).transitions[3]
    assert log.contents is not None
    contents = log.contents.model_copy(update={"hash": "0" * 64})

    def change(record: Any) -> Any:
        other = log.model_copy(update={"contents": contents, "content_hash": None})
        return record.with_log(other)

    meta = {"jobforge": pl.read_parquet_metadata(path)["jobforge"]}
    pl.read_parquet(path).with_columns(v=pl.lit(7, pl.Int64)).write_parquet(path, metadata=meta)
    lineage.amend(config, batch, change)
    done = replay(project, batch, "--code", "etl/job.py")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "differs" in done.stdout
    assert "gold: the first of 1 rows that differ" in done.stdout
    assert "t.csv" in done.stdout


def test_what_is_not_provable_ends_with_4_and_was_told_before(project: Path) -> None:
    batch = batch_of(project, "clock")
    note = lineage.known(PipelineConfig(project / "data"), batch).transitions[3].notes[0]
    assert "may not be proved by a replay" in note.text
    done = replay(project, batch, "--verify", "--code", "etl/job.py")
    assert done.returncode == 4
    assert "datetime.datetime.now" in done.stdout


def test_into_keeps_what_comes_out(project: Path) -> None:
    batch = batch_of(project)
    words = (batch, "--into", "kept", "--code", "etl/job.py")
    done = replay(project, *words)
    assert done.returncode == 0, done.stderr
    assert "what came out is in kept" in done.stdout
    assert done.stdout.count("run, not compared") == 3
    assert len(list((project / "kept/gold").rglob("*.parquet"))) == 1
    again = replay(project, *words)
    assert again.returncode == 2
    assert "no empty folder" in again.stderr


def test_calls_that_make_no_sense(project: Path) -> None:
    batch = batch_of(project)
    for folder in (project, project / "etl"):
        (folder / "ends.py").write_text("import sys\nsys.exit(0)\n")
    for words, code, told in (
        ((batch, "--code", "etl/nothing.py"), 2, "there is no file"),
        ((batch, "--code", "no_such_module"), 2, "cannot be imported"),
        ((batch, "--code", "etl/ends.py"), 2, "ends.py cannot be imported: SystemExit: 0"),
        ((batch, "--code", "ends"), 2, "ends cannot be imported: SystemExit: 0"),
        (("0f6c0000-0000-4000-8000-000000000000",), 2, "there is no batch"),
        ((batch, "--data-root", "other"), 1, "there is no data root"),
    ):
        done = replay(project, *words)
        assert done.returncode == code, done.stderr
        assert told in done.stderr


def test_a_module_that_ends_the_process_is_not_provable(project: Path) -> None:
    (project / "steps.py").write_text("def tidy(lf):\n    return lf\n")
    text = SCRIPT.replace("import rates", "import rates\nfrom steps import tidy")
    (project / "job.py").write_text(text.replace("[dear, ", "[tidy, "))
    (project / "rates.py").write_text("")
    done = run(project, sys.executable, "job.py")
    assert done.returncode == 0, done.stderr
    assert replay(project, done.stdout.strip()).returncode == 0
    (project / "steps.py").write_text("import sys\nsys.exit(0)\n")
    ended = replay(project, done.stdout.strip())
    assert ended.returncode == 4, ended.stdout
    assert "the module steps of tidy cannot be imported: SystemExit: 0" in " ".join(
        ended.stdout.split()
    )


def test_a_file_of_a_user_is_not_taken_for_one_of_python(project: Path) -> None:
    batch = batch_of(project)
    for folder in (project, project / "etl"):
        for name in ("html", "yaml", "difflib", "webbrowser"):
            (folder / f"{name}.py").write_text("raise RuntimeError('not Python')\n")
    # As the installed command does, unlike `python -c`: the current folder is not on the path.
    start = "import sys; sys.path.remove(''); from jobforge.cli.main import main; main()"
    words = (batch, "--code", "etl/job.py")
    done = run(project, sys.executable, "-c", start, "replay", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    look = (
        "import sys; sys.path.remove(''); from jobforge.cli.code import modules; "
        "modules(['etl/job.py']); import webbrowser, rates; print(rates.LEAST)"
    )
    found = run(project, sys.executable, "-c", look)
    assert found.stdout == "1\n", found.stderr
    into = ("pack", "t", "--into", "t.zip")
    packed = run(project, sys.executable, "-c", start, *into, "--replay", "--code", "etl/job.py")
    assert packed.returncode == 0, packed.stderr


def test_code_of_a_pack_is_for_its_replay(project: Path) -> None:
    batch_of(project)
    start = "from jobforge.cli.main import main; main()"
    words = ("pack", "t", "--into", "t.zip", "--code", "etl/job.py")
    done = run(project, sys.executable, "-c", start, *words)
    assert done.returncode == 2
    assert "add --replay" in done.stderr
    assert not (project / "t.zip").exists()
