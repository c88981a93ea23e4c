"""Questions that are asked while an erasure removes the files that answer them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobforge import PipelineEngine, SourceRecord
from jobforge.errors import PublishConflictError, TableDamagedError
from jobforge.pipeline.rejects.snapshot import Snapshot
from support import write_csv

Ask = Callable[[PipelineEngine, str], object]

QUESTIONS: dict[str, Ask] = {
    "replay": lambda engine, batch: engine.replay(batch).verdict,
    "trace": lambda engine, _: engine.trace("t", "code = 'b'").rows,
    "impact": lambda engine, batch: engine.impact("in.csv", record=2, batch_id=batch).records,
}


@pytest.fixture
def batch(engine: PipelineEngine, tmp_path: Path) -> str:
    source = write_csv(tmp_path / "in.csv", [["code"], ["a"], ["b"], ["c"]])
    return str(engine.run_full_pipeline(source, "t")["batch_id"])


def _then(monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[], object]) -> None:
    """Do something to the data root once the next question is on its way to its files."""
    # While a replay runs its batch, an erasure is refused: it has to come before.
    moment = "of" if name == "replay" else "path"
    real = getattr(Snapshot, moment)

    def and_act(*given: Any) -> Any:
        monkeypatch.setattr(Snapshot, moment, real)
        if moment == "path":
            act()
        found = real(*given)
        if moment == "of":
            act()
        return found

    monkeypatch.setattr(Snapshot, moment, and_act)


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_beside_an_erasure_says_so_and_can_be_asked_again(
    engine: PipelineEngine, batch: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ask = QUESTIONS[name]
    _then(monkeypatch, name, lambda: engine.erase("t", [SourceRecord(batch, 1)], "asked"))
    with pytest.raises(PublishConflictError, match="removed files while they were read") as raised:
        ask(engine, batch)
    erasure = engine.history("t")[-1].about.batch_id
    assert raised.value.place["batch"] == erasure
    assert ask(engine, batch)


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_file_that_went_without_a_record_is_damage(
    engine: PipelineEngine, batch: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def remove() -> None:
        for file in engine.config.data_root.glob(f"*/default/t/{batch}.parquet"):
            file.unlink()

    _then(monkeypatch, name, remove)
    with pytest.raises(TableDamagedError):
        QUESTIONS[name](engine, batch)
