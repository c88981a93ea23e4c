"""Which code a step ran: a hash of its source text, or of its bytecode."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable
from types import CodeType
from typing import Any

from jobforge.pipeline.models import TransformRef


def unwrap(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function below partials and bound methods."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def plain_name(function: Callable[..., Any]) -> str:
    """A short name for a person."""
    inner = unwrap(function)
    return getattr(inner, "__name__", type(inner).__name__)


def fingerprint(function: Callable[..., Any], name: str) -> TransformRef:
    """Identify the code of a transform.

    The hash is SHA-256 of the source text where Python can find it. Without
    source (code typed at a prompt, `python -c`) it is that of the bytecode,
    constants and names, which changes with the Python version.
    """
    inner = unwrap(function)
    if not inspect.isroutine(inner) and not inspect.isclass(inner):
        inner = type(inner)
    qualified = f"{getattr(inner, '__module__', '?')}.{getattr(inner, '__qualname__', name)}"
    try:
        code = inspect.getsource(inner).encode()
    except (OSError, TypeError):
        compiled = getattr(inner, "__code__", None)
        code = _bytecode(compiled) if isinstance(compiled, CodeType) else b""
    digest = hashlib.sha256(code).hexdigest() if code else None
    return TransformRef(name=name, qualified_name=qualified, code_sha256=digest)


def _bytecode(code: CodeType) -> bytes:
    parts = [code.co_code, repr(code.co_names).encode()]
    parts += [
        _bytecode(constant) if isinstance(constant, CodeType) else repr(constant).encode()
        for constant in code.co_consts
    ]
    return b"\0".join(parts)
