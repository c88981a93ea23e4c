"""The code of a step is found again, or the reason is told."""

from __future__ import annotations

import importlib
import re
import shutil
import sys
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from jobforge import PipelineEngine, references, trim
from jobforge.errors import InvalidConfigError, InvalidOptionError
from jobforge.pipeline import lineage
from jobforge.pipeline.audit import replay_code
from jobforge.pipeline.audit.replay import replay
from jobforge.pipeline.fingerprint import fingerprint
from replay_support import IDENTICAL, NOT_PROVABLE, ORDERS, edited, layers, orders, verdicts

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
    # What is given has no text any more, and is known by its bytecode.
    given = layers(replay(engine.config, batch, transforms=[tidy]))["silver"]
    assert (given.verdict, given.reasons) == (IDENTICAL, ())
    (tmp_path / "code/steps_of_a_user.py").write_text("import sys\nsys.exit(0)")
    importlib.invalidate_caches()
    ended = layers(replay(engine.config, batch))["silver"]
    assert ended.verdict is NOT_PROVABLE
    assert "cannot be imported: SystemExit: 0" in ended.reasons[0]


@pytest.mark.parametrize("text", ["1 / 0", "import sys\nsys.exit(3)", "import gone_package"])
def test_code_that_is_given_needs_no_module_of_its_own(
    engine: PipelineEngine, tmp_path: Path, module: Write, text: str
) -> None:
    tidy = module(TIDY).tidy
    batch = engine.run_full_pipeline(
        orders(tmp_path), "orders", "sales", ORDERS, silver_transforms=[tidy]
    )["batch_id"]
    sys.modules.pop("steps_of_a_user")
    (tmp_path / "code/steps_of_a_user.py").write_text(text)
    importlib.invalidate_caches()
    kept = tmp_path / "kept.py"  # of that time, with a line that the module did not have
    kept.write_text("# kept\nimport polars as pl\n" + TIDY)
    from jobforge.cli.code import modules

    (file,) = modules([str(kept)])
    for given in ({"modules": [file]}, {"transforms": [file.tidy]}):
        found = replay(engine.config, batch, **given)
        assert found.verdict is IDENTICAL, found
        assert "stands in has changed" in layers(found)["silver"].notes[0]


def test_the_text_of_a_function_of_another_name_is_not_read(
    engine: PipelineEngine, tmp_path: Path, module: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"f{number}" for number in range(5)]
    text = "".join(f"def {name}(lf):\n    return lf.head(90)\n" for name in names)
    made = module(text)
    steps = [getattr(made, name) for name in names]
    batch = engine.run_full_pipeline(orders(tmp_path), "orders", silver_transforms=steps)[
        "batch_id"
    ]
    read: list[str] = []

    def watched(function: Any, name: str) -> Any:
        read.append(function.__name__)
        return fingerprint(function, name)

    monkeypatch.setattr(replay_code, "fingerprint", watched)
    assert replay(engine.config, batch, transforms=steps).verdict is IDENTICAL
    assert read == names


def test_a_file_that_was_changed_after_the_import_is_not_the_code_that_ran(
    engine: PipelineEngine, tmp_path: Path, module: Write
) -> None:
    text = "def dear(lf):\n    return lf.with_columns(price=pl.col('price') * 2)\n"
    other = text.replace("2", "300")
    dear = module(text).dear
    (tmp_path / "code/steps_of_a_user.py").write_text("import polars as pl\n" + other)
    ran = engine.run_full_pipeline(
        orders(tmp_path), "orders", "sales", ORDERS, silver_transforms=[dear]
    )
    (was,) = ran["logs"][2].transforms_applied
    assert (was.source, was.source_sha256) == (None, None)
    assert was.code_sha256 is not None
    assert "dear was changed after it was imported" in ran["logs"][2].notes[0].text
    batch = ran["batch_id"]
    # What is still in memory is the code that ran; what the file has by now is not.
    assert replay(engine.config, batch, transforms=[dear]).verdict is IDENTICAL
    module(other)
    found = layers(replay(engine.config, batch))["silver"]
    assert found.verdict is NOT_PROVABLE
    assert found.reasons == ("the code has changed: dear is not the code that ran",)
    module(text)
    same = replay(engine.config, batch)
    assert same.verdict is IDENTICAL
    assert "only that its bytecode is the same" in str(layers(same)["silver"].notes)


def test_a_helper_whose_file_was_changed_after_the_import_is_a_doubt(
    engine: PipelineEngine, tmp_path: Path, module: Write
) -> None:
    text = "def twice(x):\n    return x * 2\n"
    text += "def dear(lf):\n    return lf.with_columns(price=twice(pl.col('price')))\n"
    dear = module(text).dear
    other = text.replace("2", "300")
    (tmp_path / "code/steps_of_a_user.py").write_text("import polars as pl\n" + other)
    batch = engine.run_full_pipeline(
        orders(tmp_path), "orders", "sales", ORDERS, silver_transforms=[dear]
    )["batch_id"]
    module(other)
    found = layers(replay(engine.config, batch))["silver"]
    assert found.verdict is NOT_PROVABLE
    assert "twice was changed after it was imported" in str(found.reasons)


def test_a_value_of_the_module_that_is_another_one_excuses_a_difference(
    engine: PipelineEngine,
    tmp_path: Path,
    module: Write,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "import os\nLEAST = int(os.environ['LEAST'])\n"
    text += "def dear(lf):\n    return lf.filter(pl.col('price') > LEAST)\n"
    monkeypatch.setenv("LEAST", "3")
    ran = engine.run_full_pipeline(
        orders(tmp_path), "orders", "sales", ORDERS, silver_transforms=[module(text).dear]
    )
    batch = ran["batch_id"]
    assert ran["logs"][2].transforms_applied[0].reads == {"LEAST": "3"}
    module(text)
    assert replay(engine.config, batch).verdict is IDENTICAL
    monkeypatch.setenv("LEAST", "4")
    module(text)
    other = layers(replay(engine.config, batch))["silver"]
    assert other.verdict is NOT_PROVABLE
    assert other.reasons[-1] == "dear reads another value of LEAST than it did"
    # Another value with which the same comes out is a note.
    monkeypatch.setenv("LEAST", "-1")
    low = engine.run_full_pipeline(
        orders(tmp_path), "low", "sales", ORDERS, silver_transforms=[module(text).dear]
    )["batch_id"]
    monkeypatch.setenv("LEAST", "-2")
    module(text)
    found = replay(engine.config, low)
    assert found.verdict is IDENTICAL
    assert "another value of LEAST" in layers(found)["silver"].notes[0]
    # Records of before do not tell what was read.
    (was,) = ran["logs"][2].transforms_applied
    old = was.model_copy(update={"reads": {}})
    edited(engine.config, batch, "silver", transforms_applied=(old,))
    monkeypatch.setenv("LEAST", "3")
    module(text)
    assert replay(engine.config, batch).verdict is IDENTICAL


def test_a_default_is_the_same_wherever_the_function_is_found(
    engine: PipelineEngine, tmp_path: Path, module: Write
) -> None:
    text = "from datetime import date\nDAY = date(2026, 1, 2)\n"
    text += "def dear(lf, least=3, day=DAY):\n"
    text += "    return lf.filter(pl.col('price') > least).with_columns(day=pl.lit(day))\n"
    batch = engine.run_full_pipeline(
        orders(tmp_path), "orders", "sales", ORDERS, silver_transforms=[module(text).dear]
    )["batch_id"]
    kept = module(text)
    del sys.modules["steps_of_a_user"]  # so that nothing finds it by its name
    assert not fingerprint(kept.dear, "dear").importable
    (tmp_path / "code/steps_of_a_user.py").rename(tmp_path / "code/kept.py")
    kept.dear.__code__ = kept.dear.__code__.replace(co_filename=str(tmp_path / "code/kept.py"))
    assert replay(engine.config, batch, transforms=[kept.dear]).verdict is IDENTICAL
    kept.dear.__defaults__ = (3, date(2026, 1, 3))
    other = layers(replay(engine.config, batch, transforms=[kept.dear]))["silver"]
    assert other.verdict is NOT_PROVABLE
    assert "dear reads another value of day than it did" in other.reasons


KINDS = (
    "class Tidy:\n"
    "    def __call__(self, lf):\n        return lf.head(50)\n"
    "    def method(self, lf):\n        return lf.head(40)\n"
    "    @staticmethod\n    def static(lf):\n        return lf.head(30)\n"
)


def test_a_method_or_an_object_is_not_its_class(
    engine: PipelineEngine, tmp_path: Path, module: Write
) -> None:
    tidy = module(KINDS).Tidy
    for step in (tidy(), tidy().method, partial(tidy())):
        batch = engine.run_full_pipeline(orders(tmp_path), "orders", silver_transforms=[step])[
            "batch_id"
        ]
        for named in ((), [sys.modules["steps_of_a_user"]]):
            found = layers(replay(engine.config, batch, modules=named))["silver"]
            assert found.verdict is NOT_PROVABLE, found
            assert "is a method, an object or a wrapper" in found.reasons[0]
            assert found.reasons[0].endswith("pass it")
        assert replay(engine.config, batch, transforms=[step]).verdict is IDENTICAL
        other = layers(replay(engine.config, batch, transforms=[tidy]))["silver"]
        assert other.verdict is NOT_PROVABLE, other
    batch = engine.run_full_pipeline(orders(tmp_path), "orders", silver_transforms=[tidy.static])[
        "batch_id"
    ]
    assert replay(engine.config, batch).verdict is IDENTICAL


def test_a_method_of_a_script_is_not_taken_from_its_file(
    engine: PipelineEngine, tmp_path: Path, module: Write
) -> None:
    script = module(KINDS)
    for step in (script.Tidy(), script.Tidy().method):
        batch = engine.run_full_pipeline(orders(tmp_path), "orders", silver_transforms=[step])[
            "batch_id"
        ]
        log = lineage.known(engine.config, batch).transitions[2]
        (was,) = log.transforms_applied
        name = was.qualified_name.replace("steps_of_a_user", "__main__")
        main = was.model_copy(update={"module": "__main__", "qualified_name": name})
        edited(engine.config, batch, "silver", transforms_applied=(main,))
        found = layers(replay(engine.config, batch, modules=[script]))["silver"]
        assert found.verdict is NOT_PROVABLE, found
        assert found.reasons[0].endswith("pass it")


def test_a_value_that_the_record_cannot_make_again_is_no_other_value(
    engine: PipelineEngine, tmp_path: Path, module: Write
) -> None:
    text = "def since(lf, day):\n    return lf.with_columns(day=pl.lit(day))\n"
    step = partial(module(text).since, day=date(2026, 1, 2))
    batch = engine.run_full_pipeline(orders(tmp_path), "orders", silver_transforms=[step])[
        "batch_id"
    ]
    found = layers(replay(engine.config, batch))["silver"]
    assert found.verdict is NOT_PROVABLE
    assert found.reasons == ("since holds day, which the record cannot make again: pass it",)
    assert replay(engine.config, batch, transforms=[step]).verdict is IDENTICAL
    later = partial(step.func, day=date(2026, 1, 3))
    other = layers(replay(engine.config, batch, transforms=[later]))["silver"]
    assert other.reasons == ("since holds another value of day than it did",)


def test_defaults_of_local_functions_are_values_that_they_hold(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    def made(day: date, least: int) -> list[Any]:
        def placed(lf: pl.LazyFrame, day: date = day) -> pl.LazyFrame:
            return lf.with_columns(day=pl.lit(day))

        def named(lf: pl.LazyFrame, *, least: int = least) -> pl.LazyFrame:
            return lf.with_columns(least=pl.lit(least))

        class Called:
            def __call__(self, lf: pl.LazyFrame, day: date = day) -> pl.LazyFrame:
                return lf.with_columns(day=pl.lit(day), least=pl.lit(least))

        return [placed, named, Called()]

    then, now = made(date(2026, 1, 2), 1), made(date(2026, 1, 3), 2)
    for step, other, names in zip(then, now, ("day", "least", "day, least"), strict=True):
        batch = engine.run_full_pipeline(orders(tmp_path), "orders", silver_transforms=[step])[
            "batch_id"
        ]
        assert replay(engine.config, batch, transforms=[step]).verdict is IDENTICAL
        found = layers(replay(engine.config, batch, transforms=[other]))["silver"]
        assert found.verdict is NOT_PROVABLE, found
        assert f"holds another value of {names} than it did" in found.reasons[0]
    # What a partial gives takes the place of a default.
    step = partial(then[0], day=date(2026, 5, 5))
    assert fingerprint(step, "step").bound == {"day": "datetime.date(2026, 5, 5)"}


def test_steps_for_a_layer_without_steps_are_refused(
    engine: PipelineEngine, tmp_path: Path
) -> None:
    batch = engine.run_full_pipeline(orders(tmp_path), "orders")["batch_id"]
    with pytest.raises(InvalidConfigError, match="no layer 'gld'"):
        replay(engine.config, batch, transforms={"gld": [trim()]})
    with pytest.raises(InvalidOptionError, match="given for bronze, which has none"):
        replay(engine.config, batch, transforms={"bronze": [trim()]})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"transforms": trim()}, "transforms is of type Cleaning, not a list"),
        ({"transforms": None}, "transforms is None, not a list"),
        ({"transforms": "dear"}, "transforms is of type str, not a list"),
        ({"transforms": (step for step in [trim()])}, "transforms is of type generator"),
        ({"transforms": [trim(), 5]}, "entry 2 of transforms is of type int, not a function"),
        (
            {"transforms": {"silver": trim()}},
            "transforms of silver is of type Cleaning, not a list",
        ),
        ({"transforms": {"silver": None}}, "transforms of silver is None, not a list"),
        ({"transforms": {"gold": ["dear"]}}, "entry 1 of transforms of gold is of type str"),
        ({"modules": None}, "modules is None, not a list"),
        ({"modules": sys}, "modules is of type module, not a list"),
        ({"modules": ["etl"]}, "entry 1 of modules is of type str, not a module"),
        ({"into": 5}, "into is of type int, not a path"),
    ],
)
def test_what_is_no_code_is_refused(
    engine: PipelineEngine, tmp_path: Path, given: dict[str, Any], words: str
) -> None:
    batch = engine.run_full_pipeline(orders(tmp_path), "orders")["batch_id"]
    with pytest.raises(InvalidOptionError, match=re.escape(words)) as refused:
        engine.replay(batch, **given)
    assert refused.value.hint


def test_a_pack_refuses_modules_that_are_none(engine: PipelineEngine, tmp_path: Path) -> None:
    engine.run_full_pipeline(orders(tmp_path), "orders")
    modules: Any = ["etl"]
    with pytest.raises(InvalidOptionError, match="entry 1 of modules is of type str"):
        engine.pack("orders", tmp_path / "p.zip", replay=True, modules=modules)


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
