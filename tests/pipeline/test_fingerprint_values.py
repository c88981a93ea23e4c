"""Values that a step does not get as arguments: of its module, and held with it."""

from __future__ import annotations

import logging
import random
import re
from datetime import date
from functools import lru_cache, partial
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy import log1p
from polars import col

from jobforge.pipeline.fingerprint import fingerprint

LIMIT = 3
KINDS = {"a": [1, 2]}
SINCE = date(2026, 1, 2)
CHEAP = pl.col("price") < LIMIT
RATES = pl.DataFrame({"k": ["a"]})
WEIGHTS = np.array([1.0])
Frame = pl.DataFrame | pl.LazyFrame
logger = logging.getLogger(__name__)


@lru_cache
def cached() -> int:
    return 3


def indirect() -> int:
    return deeper() + 1


def deeper() -> int:
    return LIMIT


def by_value(lf: pl.LazyFrame) -> pl.LazyFrame:
    wanted = [kind for kind in KINDS if kind]
    return lf.filter(CHEAP, pl.col("day") >= SINCE, pl.col("kind").is_in(wanted))


def by_helpers(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.head(indirect())


def by_frame(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.join(RATES.lazy(), on="k")


def by_array(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.with_columns(w=pl.lit(WEIGHTS[0]))


def by_code(lf: Any) -> Any:
    """Names of functions, types and modules, of attributes and arguments, are no values."""
    LIMIT = lf.LIMIT  # noqa: N806 - a name of the module
    logger.info(__name__, LIMIT, log1p, cached())
    return lf.select(col("x")) if isinstance(lf, Frame) else lf.RATES(lf)


class Called:
    """Reads a value of its module."""

    def __call__(self, lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.head(LIMIT)

    def method(self, lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.head(len(KINDS))


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (by_value, ["CHEAP", "KINDS", "SINCE"]),
        (by_helpers, ["LIMIT"]),
        (partial(by_helpers), ["LIMIT"]),
        (Called(), ["KINDS", "LIMIT"]),
        (Called().method, ["KINDS"]),
        (lambda lf: lf.head(LIMIT), ["LIMIT"]),
        (by_code, []),
    ],
)
def test_the_record_has_the_values_that_a_step_reads_of_its_module(
    function: Any, names: list[str]
) -> None:
    reference = fingerprint(function, "step")
    assert sorted(reference.reads) == names
    assert reference.unprovable is None
    assert {"LIMIT": "3", **reference.reads}["LIMIT"] == "3"


@pytest.mark.parametrize(
    ("function", "words"),
    [(by_frame, "holds a DataFrame (RATES)"), (by_array, "holds a ndarray (WEIGHTS)")],
)
def test_what_the_record_cannot_keep_of_a_module_is_a_doubt(function: Any, words: str) -> None:
    reference = fingerprint(function, "step")
    assert words in str(reference.unprovable)
    assert reference.importable


def held_by(value: object) -> dict[str, str]:
    def step(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(x=pl.lit(str(value)))

    return fingerprint(step, "step").bound


def test_values_that_look_alike_are_told_from_one_another() -> None:
    long = "(" + "a" * 250 + ")|"
    assert held_by(re.compile(long + "x")) != held_by(re.compile(long + "y"))
    assert held_by(re.compile(long)) != held_by(re.compile(long, re.IGNORECASE))
    assert held_by(re.compile("a")) == {"value": "re.compile('a')"}

    def helper(by: object) -> object:
        def scaled(x: int, *, by: object = by) -> str:
            return f"{x}{by}"

        return scaled

    assert held_by(helper(2)) != held_by(helper(3))
    assert held_by(helper(2)) == held_by(helper(2))
    assert held_by(helper(object())) == {"value": "<function>"}


def test_a_class_that_is_made_inside_a_function_cannot_be_kept() -> None:
    class Local:
        by = 3

    def step(lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.head(Local.by)

    assert "holds a type (Local)" in str(fingerprint(step, "step").unprovable)


def since(lf: pl.LazyFrame, day: date = SINCE) -> pl.LazyFrame:
    return lf.filter(pl.col("day") > day)


def test_defaults_of_a_function_that_is_found_by_name_are_read() -> None:
    reference = fingerprint(since, "since")
    assert (reference.bound, reference.reads) == ({}, {"day": "datetime.date(2026, 1, 2)"})
    assert reference.importable
    given = fingerprint(partial(since, day=date(2026, 5, 5)), "since")
    assert (given.bound, given.reads) == ({"day": "datetime.date(2026, 5, 5)"}, {})


def h0() -> int:
    return h1()


def h1() -> int:
    return h2()


def h2() -> int:
    return 2


def h3() -> int:
    return 3


def h4() -> int:
    return 4


def h5() -> int:
    return 5


def h6() -> int:
    return 6


def h7() -> int:
    return 7


def tick() -> float:
    return random.random()  # noqa: S311 - what is tested


def by_many(lf: pl.LazyFrame) -> pl.LazyFrame:
    return lf.head(h0() + h3() + h4() + h5() + h6() + h7()).with_columns(x=tick())


class Base:
    def inherited(self) -> float:
        return tick()


class Ticking(Base):
    """Calls other methods of its own."""

    def step(self, lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(x=self.tick())

    def by_property(self, lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(x=self.now)

    @classmethod
    def of_class(cls, lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(x=cls.static())

    def plain(self, lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.head(1)

    def tick(self) -> float:
        return self.inherited()

    @property
    def now(self) -> float:
        return tick()

    @staticmethod
    def static() -> float:
        return tick()


class Calling(Base):
    def __call__(self, lf: pl.LazyFrame) -> pl.LazyFrame:
        return lf.with_columns(x=self.inherited())


@pytest.mark.parametrize(
    "function",
    [by_many, Ticking().step, Ticking().by_property, Ticking.of_class, Calling()],
)
def test_every_helper_and_every_method_of_the_object_is_looked_at(function: Any) -> None:
    assert "calls random." in str(fingerprint(function, "step").unprovable)


def test_a_method_that_is_not_named_is_not_looked_at() -> None:
    assert fingerprint(Ticking().plain, "step").unprovable is None


def test_a_text_of_a_module_does_not_stand_in_the_record() -> None:
    module = ModuleType("of_a_user")
    code = "KEY = 'hunter2'\nKEYS = [KEY]\ndef step(frame): return frame, KEY, KEYS\n"
    exec(code, module.__dict__)  # noqa: S102 - as an import would
    one = fingerprint(module.step, "step")
    assert sorted(one.reads) == ["KEY", "KEYS"]
    assert "hunter2" not in one.model_dump_json()
    module.__dict__["KEY"] = "hunter3"
    assert fingerprint(module.step, "step").reads["KEY"] != one.reads["KEY"]
