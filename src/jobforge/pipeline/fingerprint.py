"""Which code a step ran: a hash of its source text, or of its bytecode."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable
from types import CodeType
from typing import Any

import polars as pl

from jobforge.pipeline.models import TransformRef
from jobforge.quality.declared import NamedStep


def unwrap(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function below partials."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def plain_name(function: Callable[..., Any]) -> str:
    """A short name for a person."""
    inner = unwrap(function)
    if isinstance(inner, NamedStep):
        return inner.name
    return str(getattr(inner, "__name__", type(inner).__name__))


def fingerprint(function: Callable[..., Any], name: str) -> TransformRef:
    """Identify the code of a transform.

    The hash is SHA-256 of the source text where Python can find it, and of the
    plain values that are bound to the function (arguments of a partial,
    defaults, closure). Lambdas, of which a line can hold more than one, and
    code without source (`python -c`) add their bytecode, which changes with
    the Python version.
    """
    if isinstance(function, NamedStep):
        return _declared(function, name)
    inner = unwrap(function)
    if not inspect.isroutine(inner) and not inspect.isclass(inner):
        inner = type(inner)
    qualified = f"{getattr(inner, '__module__', '?')}.{getattr(inner, '__qualname__', name)}"
    compiled = getattr(inner, "__code__", None)
    try:
        code = inspect.getsource(inner).encode()
    except (OSError, TypeError):
        code = b""
    if isinstance(compiled, CodeType) and (not code or compiled.co_name == "<lambda>"):
        code += _bytecode(compiled)
    digest = hashlib.sha256(code + _bound(function)).hexdigest() if code else None
    return TransformRef(name=name, qualified_name=qualified, code_sha256=digest)


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
    return TransformRef(
        name=name,
        qualified_name=f"{kind.__module__}.{kind.__qualname__}",
        code_sha256=hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest(),
        definition=said,
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
    return "\0".join(_plain(value) for value in values).encode("utf-8", "surrogatepass")


def _plain(value: object) -> str:
    if isinstance(value, (frozenset, set)):
        return "{" + ",".join(sorted(map(_plain, value))) + "}"
    if isinstance(value, (list, tuple)):
        return "(" + ",".join(map(_plain, value)) + ")"
    if value is None or isinstance(value, (str, bytes, bool, int, float, complex)):
        return repr(value)
    return f"<{type(value).__qualname__}>"


def _bytecode(code: CodeType) -> bytes:
    parts = [code.co_code, repr(code.co_names).encode()]
    parts += [
        _bytecode(constant) if isinstance(constant, CodeType) else _plain(constant).encode()
        for constant in code.co_consts
    ]
    return b"\0".join(parts)
