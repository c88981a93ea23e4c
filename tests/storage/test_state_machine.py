"""Any order of publishes, appends, rollbacks, compactions, cleans, crashes and reopens.

Beside the engine runs a model of plain lists: what each version of each layer
has to hold, and which versions still open.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from jobforge import PipelineConfig, PipelineEngine, SourceRecord
from jobforge.errors import InvalidOptionError, VersionNotFoundError, VersionRemovedError
from jobforge.pipeline import query
from jobforge.pipeline.models import TransitionStatus
from jobforge.storage import publish
from jobforge.storage.sync import sync_file as sync
from support import debris, write_csv

LAYERS = ["bronze", "silver", "gold"]
Row = tuple[str, str, int]
"""Batch, code, record."""


class Machine(RuleBasedStateMachine):
    """The engine and its model, side by side."""

    silver = Bundle("silver")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name) / "root"
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.versions: dict[str, list[list[Row]]] = {layer: [] for layer in LAYERS}
        self.removed: dict[str, set[int]] = {layer: set() for layer in LAYERS}
        self.erased: set[tuple[str, int]] = set()
        self.batches: dict[str, list[Row]] = {}
        self.engine = self.opened()

    def teardown(self) -> None:
        self.folder.cleanup()

    def clock(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def opened(self) -> PipelineEngine:
        return PipelineEngine(PipelineConfig(self.root), clock=self.clock)

    def source(self, codes: list[str]) -> Path:
        return write_csv(Path(self.folder.name) / "in.csv", [["code"], *([c] for c in codes)])

    @initialize(codes=st.lists(st.sampled_from("abc"), max_size=3), target=silver)
    def first(self, codes: list[str]) -> str:
        return self.run("replace", codes)

    @rule(
        load=st.sampled_from(["replace", "append"]),
        codes=st.lists(st.sampled_from("abcdef"), max_size=3),
        target=silver,
    )
    def load(self, load: str, codes: list[str]) -> str:
        return self.run(load, codes)

    def run(self, load: str, codes: list[str]) -> str:
        result = self.engine.run_full_pipeline(self.source(codes), "t", load=load)
        batch = result["batch_id"]
        rows = [(batch, code, number) for number, code in enumerate(codes, start=1)]
        self.batches[batch] = rows
        for layer in LAYERS:
            kept = self.newest(layer) if load == "append" else []
            self.versions[layer].append([*kept, *rows])
        return str(result["silver_path"])

    @rule(path=consumes(silver))
    def replace_gold_again(self, path: str) -> None:
        if not Path(path).exists():
            return
        batch = Path(path).name.split(".")[0]
        self.engine.promote_to_gold(path)
        self.versions["gold"].append([*self.batches[batch]])

    @rule(layer=st.sampled_from(LAYERS), back=st.integers(1, 4))
    def rollback(self, layer: str, back: int) -> None:
        number = len(self.versions[layer]) - back
        try:
            self.engine.rollback("t", layer, number)
        except VersionNotFoundError:
            assert number < 1
        except VersionRemovedError:
            assert number in self.removed[layer] or self.hit(self.versions[layer][number - 1])
        except InvalidOptionError:
            assert self.versions[layer][number - 1] == self.newest(layer)
        else:
            self.versions[layer].append(self.versions[layer][number - 1])

    @rule(layer=st.sampled_from(LAYERS))
    def compact(self, layer: str) -> None:
        with suppress(InvalidOptionError):  # it is one file already
            self.engine.compact("t", layer)
            self.versions[layer].append(self.newest(layer))

    @rule(keep=st.integers(1, 4))
    def clean(self, keep: int) -> None:
        for part in self.engine.clean(keep_versions=keep).removable:
            newest = len(self.versions[str(part.layer)])
            assert all(number <= newest - keep for number in part.versions)
            self.removed[str(part.layer)] |= set(part.versions)

    @precondition(lambda self: any(self.newest("gold")))
    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        batch, _, number = data.draw(st.sampled_from(self.newest("gold")))
        before = {layer: self.newest(layer) for layer in LAYERS}
        logs = self.engine.erase("t", [SourceRecord(batch, number)], "asked")
        self.erased.add((batch, number))
        self.batches[batch] = [row for row in self.batches[batch] if row[2] != number]
        for layer in LAYERS:
            kept = [row for row in before[layer] if (row[0], row[2]) != (batch, number)]
            for log in logs:
                if log.target_layer == layer and log.table_version is not None:
                    assert kept != before[layer]
                    self.versions[layer].append(kept)
            assert self.newest(layer) == kept

    @rule(place=st.integers(0, 60), load=st.sampled_from(["replace", "append"]))
    def fail_somewhere(self, place: int, load: str) -> None:
        """An interrupt at any of the moments when a file is put on the disk."""
        seen = 0

        def interrupt(path: Path) -> None:
            nonlocal seen
            seen += 1
            if seen == place:
                raise KeyboardInterrupt
            sync(path)

        before = {layer: len(self.engine.history("t", layer)) for layer in LAYERS}
        with mock.patch.object(publish, "sync_file", interrupt), suppress(KeyboardInterrupt):
            self.engine.run_full_pipeline(self.source(["x"]), "t", load=load)
        for layer in LAYERS:
            history = self.engine.history("t", layer)
            assert len(history) - before[layer] in {0, 1}
            if len(history) > before[layer]:
                batch = history[-1].about.batch_id
                self.batches.setdefault(batch, [(batch, "x", 1)])
                kept = self.newest(layer) if load == "append" else []
                self.versions[layer].append([*kept, (batch, "x", 1)])

    @rule()
    def reopen(self) -> None:
        self.engine = self.opened()

    def hit(self, rows: list[Row]) -> bool:
        """Whether one of the rows was erased."""
        return any((batch, number) in self.erased for batch, _, number in rows)

    def newest(self, layer: str) -> list[Row]:
        return self.versions[layer][-1] if self.versions[layer] else []

    @invariant()
    def every_version_is_what_the_model_says(self) -> None:
        for layer in LAYERS:
            if not self.versions[layer]:
                continue
            assert len(self.engine.history("t", layer)) == len(self.versions[layer])
            for number, expected in enumerate(self.versions[layer], start=1):
                hit = self.hit(expected)
                try:
                    frame = self.engine.read("t", layer, number).collect()
                except VersionRemovedError:
                    assert hit or number in self.removed[layer]
                    assert number < len(self.versions[layer])
                    continue
                assert not hit
                found = frame.select("_batch_id", "code", "_source_row").rows()
                assert found == expected

    @invariant()
    def nothing_is_left_behind(self) -> None:
        if not self.root.exists():
            return
        assert debris(self.root) == []
        for record in query.batches(self.engine.config):
            assert record.status is not TransitionStatus.RUNNING


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=max(15, settings().max_examples // 10), stateful_step_count=12
)
TestMachine = pytest.mark.usefixtures("quiet")(TestMachine)
