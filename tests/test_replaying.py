"""The replay of every batch of a test fails where a batch does not come out the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import replaying
from jobforge import PipelineEngine
from jobforge.errors import InvalidOptionError
from jobforge.pipeline import lineage
from jobforge.pipeline.audit.replay import replay
from support import write_csv


def doubled(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(pl.col("n") + pl.col("n"))


def made(
    engine: PipelineEngine, folder: Path, act: Callable[[str], object] = lambda _: None
) -> None:
    """Run a batch as a test does, do something to it, and have it replayed."""
    with pytest.MonkeyPatch.context() as patch, replaying.every_batch("a test", patch):
        source = write_csv(folder / "in.csv", [["n"], ["1"], ["2"]])
        ran = engine.run_full_pipeline(source, "t", silver_transforms=[doubled])
        act(str(ran["batch_id"]))


def test_what_comes_out_the_same_passes(engine: PipelineEngine, tmp_path: Path) -> None:
    made(engine, tmp_path)


def test_a_replay_that_is_refused_without_damage_fails(
    engine: PipelineEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise InvalidOptionError("no", hint="never")

    monkeypatch.setattr(replaying, "replay", refused)
    with pytest.raises(AssertionError, match="refused JF105"):
        made(engine, tmp_path)


def test_a_batch_that_differs_fails(engine: PipelineEngine, tmp_path: Path) -> None:
    def miscount(batch: str) -> None:
        lineage.amend(
            engine.config,
            batch,
            lambda record: record.model_copy(
                update={
                    "transitions": tuple(
                        log.model_copy(update={"row_count_in": 5}) for log in record.transitions
                    )
                }
            ),
        )

    with pytest.raises(AssertionError, match="differs"):
        made(engine, tmp_path, miscount)


def test_a_reason_that_nobody_expects_fails(
    engine: PipelineEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_functions(config: Any, batch: str, **_: Any) -> Any:
        return replay(config, batch)

    monkeypatch.setattr(replaying, "replay", without_functions)
    monkeypatch.setattr(doubled, "__qualname__", "somewhere.<locals>.doubled")
    with pytest.raises(AssertionError, match="not provable"):
        made(engine, tmp_path)
