"""Which code a step ran: its text, its bytecode, its module, and the values that it holds."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from typing import Any

import polars as pl

from jobforge.pipeline.code import bytecode, code_of, plain, unwrap
from jobforge.pipeline.transform_ref import TransformRef
from jobforge.pipeline.unsteady import shown
from jobforge.quality.declared import NamedStep

_LARGEST = 100_000
"""Characters of a recipe that a record keeps; a step with a longer one has to be passed again."""


def plain_name(function: Callable[..., Any]) -> str:
    """A short name for a person."""
    inner = unwrap(function)
    if isinstance(inner, NamedStep):
        return inner.name
    return str(getattr(inner, "__name__", type(inner).__name__))


def fingerprint(function: Callable[..., Any], name: str) -> TransformRef:
    """Identify the code of a transform, and keep what is needed to run it again.

    The hash is SHA-256 of the source text where Python can find it, and of the
    plain values that are bound to the function (arguments of a partial,
    defaults, closure). Lambdas, of which a line can hold more than one, and
    code without source (`python -c`) add their bytecode, which changes with
    the Python version.
    """
    if isinstance(function, NamedStep):
        return _declared(function, name)
    code = code_of(function)
    seen = shown(code)
    text = (code.source or "").encode("utf-8", "surrogatepass")
    hashed = text
    if code.compiled is not None and (not hashed or code.compiled.co_name == "<lambda>"):
        hashed += bytecode(code.compiled)
    qualified = f"{code.module or '?'}.{getattr(code.inner, '__qualname__', name)}"
    return TransformRef(
        name=name,
        qualified_name=qualified,
        code_sha256=hashlib.sha256(hashed + _bound(function)).hexdigest() if hashed else None,
        source=code.source,
        source_sha256=hashlib.sha256(text).hexdigest() if text else None,
        bytecode_sha256=code.bytecode_sha256,
        module=code.module,
        module_sha256=code.module_sha256,
        bound={held.name: held.text for held in code.held},
        reads={held.name: held.text for held in seen.reads},
        importable=code.importable
        and code.module != "__main__"
        and all(held.literal for held in code.held),
        unprovable=seen.doubt,
    )


def _declared(step: NamedStep, name: str) -> TransformRef:
    """A declared step is what it says of itself; the text of an expression has all it holds."""
    said = dict(step.definition())
    condition = getattr(step, "condition", None)
    whole = repr(sorted(said.items()))
    if isinstance(condition, pl.Expr):
        try:
            whole += condition.meta.serialize(format="json")
        except (pl.exceptions.PolarsError, ValueError, TypeError):
            whole += "<python>"
    kind = type(step)
    recipe = step.recipe()
    kept = recipe is not None and len(json.dumps(recipe)) <= _LARGEST
    return TransformRef(
        name=name,
        qualified_name=f"{kind.__module__}.{kind.__qualname__}",
        code_sha256=hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest(),
        definition=said,
        recipe=dict(recipe) if recipe is not None and kept else None,
    )


def _bound(function: Callable[..., Any]) -> bytes:
    """Plain values that a function carries with it; of others the type only."""
    values: list[object] = []
    while isinstance(function, functools.partial):
        values += [*function.args, *sorted(function.keywords.items())]
        function = function.func
    values += getattr(function, "__defaults__", None) or ()
    for cell in getattr(function, "__closure__", None) or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # a name that was never given a value
            values.append("<empty>")
    return "\0".join(plain(value) for value in values).encode("utf-8", "surrogatepass")
