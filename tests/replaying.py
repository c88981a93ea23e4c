"""Every batch that a test makes, replayed when the test is done: `JOBFORGE_REPLAY_ALL=1`.

It has to be identical. Other outcomes pass for reasons that are looked at here, and not only
told by the replay: nothing was staged, the data root is damaged, or what was there is gone.

`JOBFORGE_REPLAY_LOG=FILE` adds a line for each batch: verdict, test, batch, reasons.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jobforge.errors import JobforgeError
from jobforge.pipeline import lineage
from jobforge.pipeline.audit.replay import replay
from jobforge.pipeline.audit.replay_result import Replay, ReplayVerdict
from jobforge.pipeline.audit.verify import verify
from jobforge.pipeline.config import Layer, PipelineConfig
from jobforge.pipeline.layers.base import StepLayer
from jobforge.pipeline.models import MOVES
from jobforge.pipeline.transition import Transition

_GONE = re.compile(
    "source records of the batch were erased"
    "|the schema of an attempt that failed is not recorded"
    "|the recorded rows are gone"
    "|the contract that it went by .* is not kept anywhere"
    "|the contract that is kept .* is not the one that it went by"
    "|the table that it was appended to no longer opens as it was"
    "|without a seed, which picks other rows each time"
    "|whose result changes from run to run"
    "|it holds a (Lazy|Data)Frame"
)
"""What tests of the pipeline and of rules take away on purpose, or leave to chance."""
WANTED = bool(os.environ.get("JOBFORGE_REPLAY_ALL"))


class Watched:
    """The data roots that a test used, with the functions that it ran in each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.functions: dict[Path, list[Any]] = defaultdict(list)
        run, begin = StepLayer.run, Transition.__init__

        def watched_run(
            layer: Any, path: Any, config: Any, transforms: Any = None, *more: Any, **named: Any
        ) -> Any:
            self.functions[config.data_root.absolute()] += transforms or []
            return run(layer, path, config, transforms, *more, **named)

        def watched_begin(one: Any, config: Any, *more: Any, **named: Any) -> None:
            self.functions[config.data_root.absolute()] += []
            begin(one, config, *more, **named)

        monkeypatch.setattr(StepLayer, "run", watched_run)
        monkeypatch.setattr(Transition, "__init__", watched_begin)

    def replayed(self) -> Iterator[tuple[PipelineConfig, str, Replay | JobforgeError]]:
        """Every batch of every root that is still there, run again."""
        for root, functions in list(self.functions.items()):
            config = PipelineConfig(root)
            if not config.catalog_lineage_path().is_dir() or ".scratch" in str(root):
                continue
            for path in sorted(config.catalog_lineage_path().glob("*.json")):
                try:
                    lineage.known(config, path.stem)
                    yield config, path.stem, replay(config, path.stem, transforms=functions)
                except JobforgeError as error:
                    yield config, path.stem, error


@contextmanager
def every_batch(test: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Replay what the block makes, and refuse what differs without a reason."""
    watched = Watched(monkeypatch)
    yield
    monkeypatch.undo()
    log = os.environ.get("JOBFORGE_REPLAY_LOG")
    different = []
    for config, batch, found in watched.replayed():
        verdict, why = _outcome(found)
        if log:
            with Path(log).open("a", encoding="utf-8") as file:
                file.write(f"{verdict}\t{test}\t{batch}\t{why}\n")
        if not _passes(config, batch, found, why):
            different.append(f"{batch}: {verdict}: {why}")
    assert not different, different


def _passes(config: PipelineConfig, batch: str, found: Replay | JobforgeError, why: str) -> bool:
    if isinstance(found, JobforgeError):
        try:
            return not verify(config).sound or not _was_staged(config, batch)
        except JobforgeError as error:  # nobody can look into the root as it was left
            return error.code == found.code
    if found.verdict is ReplayVerdict.NOT_PROVABLE:
        return _GONE.search(why) is not None
    return found.verdict is ReplayVerdict.IDENTICAL


def _was_staged(config: PipelineConfig, batch: str) -> bool:
    logs = [log for log in lineage.known(config, batch).transitions if log.operation in MOVES]
    return any(log.target_layer is Layer.STAGED and log.target_file for log in logs)


def _outcome(found: Replay | JobforgeError) -> tuple[str, str]:
    if isinstance(found, JobforgeError):
        return f"refused {found.code}", found.message
    reasons = [f"{one.layer}: {reason}" for one in found.layers for reason in one.reasons]
    return str(found.verdict), "; ".join(reasons)
