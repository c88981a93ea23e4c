"""The code of a step is found again, or the reason is told."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from jobforge import (
    PipelineEngine,
    references,
    trim,
)
from jobforge.pipeline.audit.replay import replay
from replay_support import (
    DIFFERS,
    IDENTICAL,
    NOT_PROVABLE,
    ORDERS,
    layers,
    orders,
    verdicts,
)

Write = Callable[..., ModuleType]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a module of functions, and imports it as a new process would."""
    folder = tmp_path / "code"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)

    def write(text: str) -> ModuleType:
        sys.modules.pop("steps_of_a_user", None)
        (folder / "steps_of_a_user.py").write_text("import polars as pl\n" + text)
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
        importlib.invalidate_caches()
        import linecache

        linecache.clearcache()
        return importlib.import_module("steps_of_a_user")

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return write


TIDY = "def tidy(lf):\n    return lf.with_columns(pl.col('kind').str.strip_chars())\n"


def test_changed_code_is_named(engine: PipelineEngine, tmp_path: Path, module: Write) -> None:
    tidy = module(TIDY).tidy
    batch = engine.run_full_pipeline(
        orders(tmp_path), "orders", "sales", ORDERS, silver_transforms=[tidy]
    )["batch_id"]
    module(TIDY)
    assert replay(engine.config, batch).verdict is IDENTICAL
    module(TIDY.replace("strip_chars", "to_uppercase"))
    found = replay(engine.config, batch)
    assert verdicts(found) == [IDENTICAL, IDENTICAL, NOT_PROVABLE, NOT_PROVABLE]
    assert layers(found)["silver"].reasons == (
        "the code has changed: tidy is not the code that ran",
    )
    assert "is not there in a replay" in layers(found)["gold"].reasons[0]
    # The caller may still have the code that ran, whatever the module says by now.
    kept = tmp_path / "kept.py"
    kept.write_text("import polars as pl\n" + TIDY)
    from jobforge.cli.code import modules

    assert replay(engine.config, batch, modules=modules([str(kept)])).verdict is IDENTICAL


def test_another_part_of_the_module_is_no_proof_and_no_disproof(
    engine: PipelineEngine, tmp_path: Path, module: Write
) -> None:
    text = "def least():\n    return 3\n"
    text += "def dear(lf):\n    return lf.filter(pl.col('price') > least())\n"
    dear = module(text).dear
    batch = engine.run_full_pipeline(
        orders(tmp_path), "orders", "sales", ORDERS, silver_transforms=[dear]
    )["batch_id"]
    module(text + "# more\n")
    same = replay(engine.config, batch)
    assert same.verdict is IDENTICAL
    assert "stands in has changed" in layers(same)["silver"].notes[0]
    module(text.replace("3", "4"))
    other = replay(engine.config, batch)
    assert verdicts(other)[2:] == [NOT_PROVABLE, NOT_PROVABLE]
    assert "stands in has changed" in layers(other)["silver"].reasons[-1]
    assert "what it read could not be proved" in layers(other)["gold"].reasons[-1]


def test_code_that_is_gone(engine: PipelineEngine, tmp_path: Path, module: Write) -> None:
    tidy = module(TIDY).tidy
    run = partial(engine.run_full_pipeline, orders(tmp_path), "orders", "sales", ORDERS)
    batch = run([tidy])["batch_id"]
    module("")
    found = replay(engine.config, batch)
    assert "the code of tidy is gone: there is no steps_of_a_user.tidy" in (
        layers(found)["silver"].reasons
    )
    (tmp_path / "code/steps_of_a_user.py").unlink()
    sys.modules.pop("steps_of_a_user", None)
    importlib.invalidate_caches()
    assert "is gone" in layers(replay(engine.config, batch))["silver"].reasons[0]
    (tmp_path / "code/steps_of_a_user.py").write_text("1 / 0")
    importlib.invalidate_caches()
    broken = layers(replay(engine.config, batch))["silver"].reasons[0]
    assert "cannot be imported: ZeroDivisionError" in broken
    assert replay(engine.config, batch, transforms=[tidy]).verdict is not DIFFERS


def test_local_functions_and_lambdas_are_passed(engine: PipelineEngine, tmp_path: Path) -> None:
    least = 3

    def local(frame: pl.LazyFrame) -> pl.LazyFrame:
        return frame.filter(pl.col("price") > least)

    run = partial(engine.run_full_pipeline, orders(tmp_path), "orders", "sales", ORDERS)
    unnamed = lambda lf: lf.head(50)  # noqa: E731 - a lambda is what is tested
    for step, words in ((local, "inside another function"), (unnamed, "a lambda has no name")):
        ran = run([step])
        assert ran["logs"][2].notes == ()
        found = replay(engine.config, ran["batch_id"])
        assert verdicts(found)[2] is NOT_PROVABLE
        assert words in layers(found)["silver"].reasons[0]
        for given in ([step], {"silver": [step]}):
            assert replay(engine.config, ran["batch_id"], transforms=given).verdict is IDENTICAL
    ran = run([local])
    least = 5
    found = replay(engine.config, ran["batch_id"], transforms=[local])
    assert layers(found)["silver"].reasons == ("local holds another value of least than it did",)


def test_a_frame_that_a_function_holds_is_told(engine: PipelineEngine, tmp_path: Path) -> None:
    kinds = pl.LazyFrame({"kind": ["a"]})

    def joined(frame: pl.LazyFrame) -> pl.LazyFrame:
        return frame.join(kinds, on="kind", how="semi")

    ran = engine.run_full_pipeline(orders(tmp_path), "orders", silver_transforms=[joined])
    assert "holds a LazyFrame (kinds)" in ran["logs"][2].notes[0].text
    same = replay(engine.config, ran["batch_id"], transforms=[joined])
    assert same.verdict is IDENTICAL
    assert "holds a LazyFrame" in layers(same)["silver"].notes[0]
    kinds = pl.LazyFrame({"kind": ["b"]})
    other = replay(engine.config, ran["batch_id"], transforms=[joined])
    assert other.verdict is NOT_PROVABLE


def test_references_to_a_frame_need_the_frame_and_tell_another_one(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    known = references("kind", pl.LazyFrame({"kind": ["a", "b"]}))
    run = partial(engine.run_full_pipeline, orders(tmp_path), "orders", "sales", ORDERS)
    batch = run([trim("kind"), known])["batch_id"]
    missing = replay(engine.config, batch)
    assert missing.verdict is NOT_PROVABLE
    assert "pass the step itself" in layers(missing)["silver"].reasons[0]
    assert replay(engine.config, batch, transforms=[known]).verdict is IDENTICAL
    other = replay(
        engine.config, batch, transforms=[references("kind", pl.DataFrame({"kind": ["a"]}))]
    )
    assert other.verdict is NOT_PROVABLE
    assert any("other keys" in reason for reason in layers(other)["silver"].reasons)
