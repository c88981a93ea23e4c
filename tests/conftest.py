"""Fixtures of all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from jobforge.pipeline import events
from jobforge.pipeline.config import PipelineConfig
from jobforge.pipeline.engine import PipelineEngine
from replaying import WANTED, every_batch

COMMON = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("default", deadline=None, max_examples=100, suppress_health_check=COMMON)
settings.register_profile("slow", deadline=None, max_examples=1_500, suppress_health_check=COMMON)
settings.register_profile(
    "nightly", deadline=None, max_examples=50_000, suppress_health_check=COMMON
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Events would drown a failing test's output."""
    events.configure(quiet=True)
    yield
    events.configure()


@pytest.fixture
def config(tmp_path: Path) -> PipelineConfig:
    return PipelineConfig(tmp_path / "root")


@pytest.fixture
def engine(config: PipelineConfig) -> PipelineEngine:
    return PipelineEngine(config)


@pytest.fixture(autouse=WANTED)
def replayed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:  # noqa: ARG001 - its files outlive the replay
    """With `JOBFORGE_REPLAY_ALL=1` every batch that a test makes is replayed at its end."""
    with pytest.MonkeyPatch.context() as patch, every_batch(request.node.nodeid, patch):
        yield
