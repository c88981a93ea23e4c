"""Whether a function computes values of its input while it makes a plan.

A function may collect what it is given and put a number of it into an
expression. The plan has the number then, and nothing says where it is from. So
Python is asked to tell of every call of compiled code while the function runs;
the first one that computes its input is enough.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import polars as pl

from jobforge.pipeline.column_lineage.plan import as_written, cache_number

_HARMLESS = ("collect_schema", "collect_dtype")
_THREADS = ("start_new_thread", "start_joinable_thread")
"""What begins work that is not seen from here; work for a pool of threads goes by a queue."""


@dataclass
class Watch:
    """What was seen of a function."""

    computed: bool = False
    """Whether it computed values of its input, or may have done so unseen."""


@contextmanager
def watched(given: pl.LazyFrame) -> Iterator[Watch]:
    """Watch what is called in the block.

    Args:
        given: What the function is given; cached.
    """
    watch = Watch()
    if sys.getprofile() is not None:
        # Somebody measures this program, and only one at a time can listen.
        watch.computed = True
        yield watch
        return

    def listen(_: object, event: str, called: Any) -> None:  # noqa: ANN401 - any callable
        if event != "c_call":
            return
        name = getattr(called, "__name__", "")
        computes = name.startswith("collect") and name not in _HARMLESS and _uses(called, given)
        handed_over = name == "put" and type(getattr(called, "__self__", None)) is SimpleQueue
        if computes or handed_over or name in _THREADS:
            watch.computed = True
            sys.setprofile(None)

    sys.setprofile(listen)
    try:
        yield watch
    finally:
        if sys.getprofile() is listen:
            sys.setprofile(None)
        else:
            watch.computed = True  # seen, or the function put a listener of its own in place


def _uses(called: Any, given: pl.LazyFrame) -> bool:  # noqa: ANN401
    """Whether what is computed is made of a frame; where that cannot be told, yes."""
    frame = getattr(called, "__self__", None)
    if type(frame).__name__ != "PyLazyFrame":
        return True  # such as `collect_all`, whose frames are not shown
    try:
        return _has_cache(as_written(frame), cache_number(given))
    except (Exception, pl.exceptions.PanicException):  # noqa: BLE001 - a plan that nobody foresaw
        return True


def _has_cache(plan: Any, number: int) -> bool:  # noqa: ANN401
    todo = [plan.get_node()]
    while todo:
        plan.set_node(todo.pop())
        try:
            seen = plan.view_current_node()
        except NotImplementedError:
            seen = None
        if type(seen).__name__ == "Cache" and int(seen.id_) == number:
            return True
        todo += plan.get_inputs()
    return False
