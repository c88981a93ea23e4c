"""What the record says of the code of a step, and which code may give something else."""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib.util
import os
import random
import sys
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from functools import partial
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars import col, read_csv

from jobforge import deduplicate, expect, keep, normalise_whitespace, null_words, references, trim
from jobforge.errors import InvalidRuleError
from jobforge.pipeline.fingerprint import fingerprint
from jobforge.pipeline.transform_ref import TransformRef
from jobforge.quality.declared import NamedStep
from jobforge.quality.recipes import step_of


def plain(lf: pl.LazyFrame, least: int = 3) -> pl.LazyFrame:
    """Words such as datetime.now() in a text are no calls."""
    known = "random.random() time.time()"
    return lf.filter((pl.col("v") > least) & (pl.col("now") != known)).with_columns(
        pl.col("at").dt.time(), pl.col("id").dt.date()
    )


def by_col(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.with_columns(double=col("v") + col("v"))


def test_an_object_that_answers_any_attribute_is_no_doubt() -> None:
    assert fingerprint(by_col, "by_col").unprovable is None


def by_clock(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.with_columns(at=pl.lit(datetime.now()))  # noqa: DTZ005 - what is tested


def by_module(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.with_columns(at=pl.lit(dt.date.today()))  # noqa: DTZ011 - what is tested


def by_time(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.with_columns(at=pl.lit(time.time()))


def by_import(lf: pl.LazyFrame) -> pl.LazyFrame:
    from time import time_ns as clock

    return lf.with_columns(at=pl.lit(clock()))


def by_chance(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.head(random.randint(1, 9))  # noqa: S311 - what is tested


def by_numpy(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.with_columns(x=pl.lit(np.random.default_rng().random()))


def by_uuid(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.with_columns(x=pl.lit(str(uuid.uuid4())))


def by_environment(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.with_columns(x=pl.lit(os.environ["HOME"]))


def by_file(lf: pl.LazyFrame) -> pl.LazyFrame:
    with open("x.txt") as file:  # noqa: PTH123 - what is tested
        return lf.with_columns(x=pl.lit(file.read()))


def by_table(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.join(pl.scan_parquet("x.parquet"), on="k")


def by_other_name(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.join(read_csv("x.csv").lazy(), on="k")


def by_path(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.with_columns(x=pl.lit(Path("x").read_text(encoding="utf-8")))


def by_sample(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.collect().sample(3).lazy()


def by_seed(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.collect().sample(3, seed=1).lazy()


def by_any(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.unique("k")


def by_first(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.unique("k", keep="first", maintain_order=True)


def by_all_columns(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.select("k").unique()


def helper() -> float:
    return time.time()


def by_helper(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.with_columns(x=pl.lit(helper()))


def by_reference(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.map_batches(_with_time)


def _with_time(df: pl.DataFrame) -> pl.DataFrame:
    return df.with_columns(x=time.time())


def recursive(lf: pl.LazyFrame) -> pl.LazyFrame:
    return recursive(lf) if lf.collect_schema().names() == [] else lf


class Scaled:
    """A step with a state."""

    def __init__(self, by: Any) -> None:
        self.by = by

    def __call__(self, lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(pl.col("v") * self.by)

    def method(self, lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(pl.col("v") * self.by)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (by_clock, "calls datetime.datetime.now"),
        (by_module, "calls datetime.date.today"),
        (by_time, "calls time.time"),
        (by_import, "calls time.time_ns"),
        (by_chance, "calls random."),
        (by_numpy, "calls numpy.random.default_rng"),
        (by_uuid, "calls uuid.uuid4"),
        (by_environment, "reads os.environ"),
        (by_file, "no input of the batch (open)"),
        (by_table, "no input of the batch (polars.scan_parquet)"),
        (by_other_name, "no input of the batch (polars.read_csv)"),
        (by_path, "no input of the batch (read_text)"),
        (by_sample, "sample() without a seed"),
        (by_any, "keeps any row"),
        (by_helper, "calls time.time"),
        (by_reference, "calls time.time"),
        (lambda lf: lf.filter(pl.lit(datetime.now()) > 1), "now"),  # noqa: DTZ005 - what is tested
        (partial(plain, least=pl.LazyFrame()), "holds a LazyFrame (least)"),  # type: ignore[arg-type] # what is tested
        (Scaled(pl.DataFrame()), "holds a DataFrame (self.by)"),
        (Scaled(pl.DataFrame()).method, "holds a DataFrame (self.by)"),
    ],
)
def test_code_that_may_give_something_else_is_told(
    function: Callable[..., Any], words: str
) -> None:
    assert words in str(fingerprint(function, "step").unprovable)


@pytest.mark.parametrize(
    "function",
    [
        plain, by_seed, by_first, by_all_columns, recursive, Scaled(2), Scaled(2).method,
        partial(plain, least=3), lambda lf: lf.head(2), pl.LazyFrame.lazy,
    ],
)  # fmt: skip
def test_other_code_is_not_doubted(function: Callable[..., Any]) -> None:
    assert fingerprint(function, "step").unprovable is None


def test_the_record_has_the_code_and_what_it_holds() -> None:
    reference = fingerprint(partial(plain, least=3), "plain")
    assert reference.source is not None
    assert reference.source.startswith("def plain(")
    assert reference.source_sha256 == hashlib.sha256(reference.source.encode()).hexdigest()
    file = Path(__file__).read_bytes()
    assert reference.module_sha256 == hashlib.sha256(file).hexdigest()
    assert (reference.module, reference.bound) == (__name__, {"least": "3"})
    assert reference.importable
    assert reference.bytecode_sha256 is not None
    assert fingerprint(partial(plain, least=4), "plain").code_sha256 != reference.code_sha256
    known = {"a": [1, (2, None)], "b": {"c": 1.5}}

    def local(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.filter(pl.lit(str(known)) == kind)

    kind = pl.col("x").cast(pl.Int64)
    reference = fingerprint(local, "local")
    assert not reference.importable
    assert reference.unprovable is None
    assert reference.bound["known"] == repr(known)
    assert "Column" in reference.bound["kind"]


MANY = """
import functools
import os
from dataclasses import dataclass
import polars as pl
def deco(function):
    @functools.wraps(function)
    def inner(lf):
        return function(lf)
    return inner
@deco
def decorated(lf):
    return lf.head(1)
def outer(least):
    def local(lf):
        return lf.filter([pl.col("v") > n for n in (least,)])
    return local
local = outer(3)
first, second = lambda lf: lf.head(1), lambda lf: lf.head(2)
if os.sep:
    def either(lf):
        return lf.filter("x")
else:
    def either(lf):
        return lf
@dataclass
class Called:
    by: int = 3
    def __call__(self, lf):
        return lf.head(self.by)
    def method(self, lf):
        'A text.'
        assert lf
        return [x for x in lf.rows()]
    @staticmethod
    def static(lf):
        return lf.head(1)
    @classmethod
    def of_class(cls, lf):
        return lf.head(1)
    @property
    def size(self):
        return 1
called = Called()
method, static, of_class = called.method, called.static, called.of_class
STEPS = "decorated local first second either called method static of_class".split()
"""


def imported(
    file: Path, monkeypatch: pytest.MonkeyPatch, loader: SourceFileLoader | None = None
) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file, loader=loader)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, file.stem, made)  # where the text of a class is looked for
    spec.loader.exec_module(made)
    return made


def test_a_file_that_is_as_it_was_imported_is_no_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "many_steps.py"
    file.write_text(MANY)
    module = imported(file, monkeypatch)
    steps = [getattr(module, name) for name in module.STEPS]
    known = [fingerprint(step, "step") for step in steps]
    for name, reference in zip(module.STEPS, known, strict=True):
        assert reference.unprovable is None, name
    # Lines that were added above move a function, and leave it what it is.
    file.write_text("# one\n\n# two\n" + MANY)
    for name, step, had in zip(module.STEPS, steps, known, strict=True):
        assert fingerprint(step, "step").source == had.source, name
    file.write_text(MANY.replace("lf.", "lf.lazy()."))
    for name, step in zip(module.STEPS, steps, strict=True):
        reference = fingerprint(step, "step")
        assert "was changed after it was imported" in str(reference.unprovable), name
        assert reference.source is None, name
    file.write_text("def (")
    assert "was changed after" in str(fingerprint(module.either, "step").unprovable)
    file.unlink()
    assert fingerprint(module.either, "step").unprovable is None


class Rewriting(SourceFileLoader):
    """Runs something else than stands in the file."""

    def get_data(self, path: str) -> bytes:
        return super().get_data(path).replace(b"1", b"2")


def test_a_file_that_a_loader_rewrites_is_no_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rewritten_steps.py"
    file.write_text("def step(lf):\n    return lf.head(1)\n")
    module = imported(file, monkeypatch, Rewriting("rewritten_steps", str(file)))
    made: dict[str, Any] = {"__name__": "nowhere"}
    exec(compile(file.read_text() + "0", str(file), "exec"), made)  # noqa: S102 - as a notebook does
    for step in (module.step, made["step"]):
        reference = fingerprint(step, "step")
        assert reference.unprovable is None
        assert reference.source is not None


def test_records_of_before_still_read() -> None:
    old = {"name": "f", "qualified_name": "m.f", "code_sha256": "0" * 64}
    reference = TransformRef.model_validate(old)
    assert (reference.source, reference.importable, reference.unprovable) == (None, False, None)


STEPS: list[NamedStep] = [
    expect("positive", pl.col("v") > 0, on_fail="warn", tolerance=0.25, null="pass"),
    expect("whole", pl.col("v").is_in([1, 2]), on_fail="fail", tolerance=3),
    expect("text", pl.col("k").str.contains("^[a-z]+$") | pl.col("k").is_null()),
    keep("known", pl.col("k").is_in(["a", "b"])),
    deduplicate("k"),
    deduplicate("k", "v", keep="latest", order_by=["v"], nulls_equal=True, name="newest"),
    references(["k"], "ref/kinds", ["kind"], tolerance=2, null="fail"),
    trim(),
    trim("k"),
    normalise_whitespace("k"),
    null_words(["N/A", ""], "k"),
]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_declared_step_is_made_again_of_its_recipe(step: NamedStep) -> None:
    reference = fingerprint(step, step.name)
    again = TransformRef.model_validate_json(reference.model_dump_json())
    assert again.recipe is not None
    made = step_of(again.recipe)
    assert fingerprint(made, step.name) == reference
    if not step.name.startswith("references"):
        frame = pl.DataFrame({"k": [" a", "b  b", None, "N/A", "a"], "v": [1, 2, 3, None, 0]})
        kept: pl.DataFrame | str
        want: pl.DataFrame | str
        try:
            want = step(frame)
        except Exception as error:  # noqa: BLE001 - it is refused again
            want = str(error)
        try:
            kept = made(frame)
        except Exception as error:  # noqa: BLE001 - as above
            kept = str(error)
        assert kept.equals(want) if isinstance(kept, pl.DataFrame) else kept == want  # type: ignore[arg-type] # both are of one kind


def test_steps_that_the_record_cannot_hold_have_no_recipe() -> None:
    frame = references("k", pl.DataFrame({"k": ["a"]}))
    large = keep("large", pl.col("v").is_in(list(range(50_000))))
    for step in (frame, large):
        assert fingerprint(step, step.name).recipe is None


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"kind": "nonsense"}, "no declared step of the kind 'nonsense'"),
        ({"kind": "expect", "name": "x"}, "cannot be followed"),
        ({"kind": "keep", "name": "x", "condition": "{"}, "no JSON"),
        (
            {"kind": "keep", "name": "x", "condition": '{"AnonymousFunction": {"input": []}}'},
            "AnonymousFunction",
        ),
        ({"kind": "keep", "name": "x", "condition": '{"Column": 3}'}, "cannot read"),
    ],
)
def test_what_is_no_recipe_is_refused_before_polars_reads_it(
    recipe: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidRuleError, match=words):
        step_of(recipe)
