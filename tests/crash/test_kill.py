"""SIGKILL at any file operation: what is visible is whole, and the next run goes on from it."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import settings

from crash.zygote import Job, as_line
from jobforge import Layer, PipelineConfig, PipelineEngine
from jobforge.errors import VersionRemovedError
from jobforge.pipeline import lineage, query
from jobforge.pipeline.models import TransitionStatus
from jobforge.storage.debris import is_temporary
from support import debris, write_csv

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")

LAYERS = ["bronze", "silver", "gold"]
NEW = [["new", "1"], ["bad", "x"], ["zero", "0"], ["left", "2"], ["new", "3"]]
POINTS = 45
"""Kill points of each kind of work: with seven kinds, over 300 in the default suite."""
NIGHTLY = settings().max_examples > 10_000

Rows = list[str]


class Zygote:
    """The process that forks the children to be killed."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("zygote.py")
        paths = [str(script.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        self._process = subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def do(self, job: Job) -> dict[str, Any]:
        """Fork a child for a job, and say how it ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(as_line(job))
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    process = Zygote()
    yield process
    process.close()


@dataclass
class Scene:
    """A data root as it is before the work, and what the work may make of it."""

    template: Path
    source: Path
    before: dict[str, list[Rows]]
    """Of each layer, the rows of every version."""
    after: dict[str, Rows]
    """Of each layer, the rows of the newest version once the work is done."""
    batch: str = ""
    gone: bool = False
    """Whether earlier versions may stop opening."""


def run(engine: PipelineEngine, folder: Path, *codes: str, load: str = "replace") -> str:
    source = write_csv(folder / "in.csv", [["code", "pay"], *([code, "1"] for code in codes)])
    schema = {"cast": {"pay": "Int64"}}
    return engine.run_full_pipeline(source, "t", bronze_schema=schema, load=load)["batch_id"]


def arriving() -> dict[str, Rows]:
    """What the new source becomes: some rows are rejected, filtered, or duplicates."""
    silver = ["new"]
    return {"bronze": ["new", "zero", "left", "new"], "silver": silver, "gold": silver}


def everywhere(codes: Rows) -> dict[str, Rows]:
    return {layer: codes for layer in LAYERS}  # noqa: C420 - a list is no constant


def scene(folder: Path, work: str) -> Scene:
    """The state that a kind of work begins with."""
    root = folder / "template"
    engine = PipelineEngine(PipelineConfig(root, keep_source=True))
    source = write_csv(folder / "new.csv", [["code", "pay"], *NEW])
    if work == "first":
        return Scene(root, source, {layer: [] for layer in LAYERS}, arriving())
    batch = run(engine, folder, "a", "b")
    versions = [["a", "b"]]
    gone = work in {"clean", "erase"}
    if work not in ("replace", "append"):
        run(engine, folder, "c", load="append")
        versions.append(["a", "b", "c"])
        if work == "clean":
            run(engine, folder, "d")
            versions.append(["d"])
    expected = {
        "replace": arriving(),
        "append": {layer: ["a", "b", *rows] for layer, rows in arriving().items()},
        "rollback": {"gold": ["a", "b"]},
        "erase": everywhere(["b", "c"]),
    }.get(work, {})
    newest = versions[-1]
    return Scene(
        root,
        source,
        dict.fromkeys(LAYERS, versions),
        {layer: expected.get(layer, newest) for layer in LAYERS},
        batch,
        gone,
    )


def check(root: Path, before: Scene, folder: Path) -> None:
    """What has to hold after a kill, before and after the next run."""
    config = PipelineConfig(root, keep_source=True)
    engine = PipelineEngine(config)
    current = _check_visible(engine, before) if root.exists() else {}
    for layer in LAYERS:
        current.setdefault(layer, [])
    run(engine, folder, "next", load="append")
    for layer in LAYERS:
        assert rows(engine, layer) == [*current[layer], "next"]
    assert debris(root) == []
    assert list(config.running_path().iterdir()) == []
    for record in query.batches(config):
        assert record.status is not TransitionStatus.RUNNING
        for log in record.transitions:
            if log.table_version is not None:
                made = next(
                    v
                    for v in engine.history("t", log.target_layer)
                    if v.number == log.table_version
                )
                assert made.about.transition_id == log.transition_id
    (table,) = query.tables(config)
    for layer in LAYERS:
        newest = engine.history("t", layer)[-1]
        state = table.layers[Layer(layer)]
        assert (state.version, state.rows) == (newest.number, newest.about.rows)
    _check_files(root, config)
    assert engine.verify().findings == ()


def rows(engine: PipelineEngine, layer: str, version: int | None = None) -> Rows:
    return engine.read("t", layer, version).collect()["code"].to_list()


def _check_visible(engine: PipelineEngine, before: Scene) -> dict[str, Rows]:
    """Every version is whole, and the newest one is that of before or that of after."""
    config = engine.config
    list(lineage.all_records(config))
    found = query.tables(config) if config.catalog_path().exists() else []
    known = found[0].layers if found else {}
    current: dict[str, Rows] = {}
    for layer in LAYERS:
        if Layer(layer) not in known:
            assert before.before[layer] == []
            continue
        versions = engine.history("t", layer)
        expected = [*before.before[layer], before.after[layer]]
        assert len(before.before[layer]) <= len(versions) <= len(expected)
        for version in versions:
            try:
                now = rows(engine, layer, version.number)
            except VersionRemovedError:
                assert before.gone
                assert version is not versions[-1]
                continue
            assert now == expected[version.number - 1]
        current[layer] = rows(engine, layer)
    for path in config.data_root.rglob("*.parquet"):
        # The name of an unfinished file, or of the scratch folder that it is in, says so.
        unfinished = any(map(is_temporary, path.relative_to(config.data_root).parts))
        if not unfinished and "checkpoint" not in path.name:
            pl.read_parquet(path)
    return current


def _check_files(root: Path, config: PipelineConfig) -> None:
    """Every data file is one that a record names, and every named file is there."""
    named: set[str] = set()
    removed: set[str] = set()
    kept_sources: set[str] = set()
    for record in query.batches(config):
        for log in record.transitions:
            kept = (log.target_file, log.quarantine_file, log.edges_file)
            named |= {file for file in kept if file}
            named |= {added.file for added in log.added}
            removed |= {gone.file for gone in log.removed}
        published = any(log.target_file for log in record.transitions)
        kept_sources |= {i.archived for i in record.sources if i.archived and published}
    there = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.parquet")
        if "_delta_log" not in path.parts
    }
    assert there == named - removed
    for source in kept_sources - removed:
        assert (root / source).is_file()


def points(operations: int, seed: str) -> list[int]:
    """Which operations to be killed at: all of them by night, else a part that is spread out."""
    every = list(range(1, operations + 1))
    if NIGHTLY or len(every) <= POINTS:
        return every
    step = len(every) / POINTS
    offset = random.Random(seed).random() * step  # noqa: S311 - no secret
    return sorted({every[int(offset + step * number)] for number in range(POINTS)})


KINDS = ["first", "replace", "append", "rollback", "compact", "clean", "erase"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_at_any_file_operation(tmp_path: Path, zygote: Zygote, kind: str) -> None:
    start = scene(tmp_path, kind)
    work = "replace" if kind == "first" else kind

    def fresh(number: int) -> Path:
        root = tmp_path / f"root{number}"
        if start.template.exists():
            shutil.copytree(start.template, root)
        return root

    def job(root: Path, **when: Any) -> Job:
        return Job(str(root), str(start.source), work, batch=start.batch, **when)

    whole = fresh(0)
    ended = zygote.do(job(whole))
    assert ended["code"] == 0
    assert ended["operations"] > POINTS
    check(whole, start, tmp_path)
    killed = 0
    for at in points(ended["operations"], kind):
        root = fresh(at)
        killed += zygote.do(job(root, at=at))["killed"]
        check(root, start, tmp_path)
        shutil.rmtree(root, ignore_errors=True)
    assert killed >= min(POINTS, ended["operations"]) - 2


@pytest.mark.parametrize("kind", ["replace", "append"])
def test_a_kill_at_any_time(tmp_path: Path, zygote: Zygote, kind: str) -> None:
    start = scene(tmp_path, kind)
    draw = random.Random(kind)  # noqa: S311 - no secret
    for number in range(400 if NIGHTLY else 12):
        root = tmp_path / f"root{number}"
        shutil.copytree(start.template, root)
        zygote.do(Job(str(root), str(start.source), kind, after=draw.uniform(0.001, 0.3)))
        check(root, start, tmp_path)
        shutil.rmtree(root, ignore_errors=True)


def test_every_file_is_synced_before_its_name_and_its_folder_after(
    tmp_path: Path, zygote: Zygote
) -> None:
    """As an audit hook sees it: a sync opens what it syncs, for reading."""
    start = scene(tmp_path, "append")
    told = tmp_path / "told"
    job = Job(str(start.template), str(start.source), "append", tell=str(told))
    assert zygote.do(job)["code"] == 0
    seen = [json.loads(line) for line in told.read_text().splitlines()]

    def synced(path: str, among: list[list[str]]) -> bool:
        return any(
            event == "open"
            and rest[:2] == [path, "None"]  # by `os.open`, as a sync does
            and int(rest[2]) & os.O_ACCMODE == os.O_RDONLY
            for event, *rest in among
        )

    named = [(n, e[1], e[2]) for n, e in enumerate(seen) if e[0] in {"os.link", "os.rename"}]
    # What was computed ahead moves to its folder, still unfinished.
    named = [(n, temp, target) for n, temp, target in named if not target.endswith(".tmp")]
    targets = [Path(target) for _, _, target in named]
    assert len({path.parent.name for path in targets}) >= 4
    assert {path.suffix for path in targets} == {".json", ".parquet", ".csv"}
    for place, (at, temp, target) in enumerate(named):
        until = named[place + 1][0] if place + 1 < len(named) else len(seen)
        assert synced(temp, seen[:at])
        assert synced(str(Path(target).parent), seen[at:until])
    # A version's file has its name before the entry that names it, both after the first record.
    files = [path for path in targets if path.suffix == ".parquet"]
    files = [path for path in files if path.relative_to(start.template).parts[0] in LAYERS]
    assert len(files) == len(LAYERS)
    for path in files:
        entries = [n for n, t in enumerate(targets) if t.parent == path.parent / "_delta_log"]
        records = [n for n, t in enumerate(targets) if t.parent.name == "lineage"]
        assert records[0] < targets.index(path) < entries[0] < records[-1]
