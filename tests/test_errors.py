"""The error tree: codes, places, hints, and the way through another process."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from jobforge import errors
from jobforge.errors import JobforgeError, MalformedSourceError, nearest

ALL = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, JobforgeError)
]


def test_codes_are_unique_and_in_the_tree_of_the_docstring() -> None:
    codes = [kind.code for kind in ALL]
    assert len(set(codes)) == len(codes)
    drawn = errors.__doc__ or ""
    for kind in ALL:
        assert kind.__name__ in drawn
        if not kind.code.endswith("00"):
            assert kind.code in drawn


@pytest.mark.parametrize("kind", ALL)
def test_an_error_says_what_where_and_what_to_do(kind: type[JobforgeError]) -> None:
    error = kind("it is broken", hint="mend it", table="t", line=3)
    assert str(error) == "it is broken [table t, line 3]\n  hint: mend it"
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(again) is kind
    assert (again.message, again.hint, again.place) == (error.message, error.hint, error.place)


def test_a_place_is_added_and_never_replaced() -> None:
    error = MalformedSourceError("x", line=3).at(line=9, file="a.csv")
    assert error.place == {"line": 3, "file": "a.csv"}


def test_built_in_errors_fit_where_they_exist() -> None:
    assert issubclass(errors.SourceNotFoundError, FileNotFoundError)
    assert issubclass(errors.InvalidNameError, ValueError)
    assert issubclass(errors.UnknownColumnError, LookupError)


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("NOC cod", ["NOC code", "title"], "did you mean 'NOC code'?"),
        ("title", [" Title ", "x"], "did you mean ' Title '?"),
        ("zzz", ["a", "b"], "there is: 'a', 'b'"),
        ("zzz", [], "there are no columns"),
        ("zzz", [f"c{n}" for n in range(25)], " and 5 more"),
    ],
)
def test_hints_name_the_nearest(name: str, known: list[str], said: str) -> None:
    assert said in nearest(name, known)


def test_the_guide_lists_every_error() -> None:
    page = (Path(__file__).parents[1] / "docs" / "errors.md").read_text(encoding="utf-8")
    for kind in ALL:
        assert f"| {kind.code} | `{kind.__name__}` |" in page
