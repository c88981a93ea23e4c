"""Why a function may give something else when it is run again, as far as its text tells.

What is found is a reason to doubt, not a proof: a call that is named here may
have no effect on the result, and one that is not may have. So it is said when
the code is first run, and excuses a difference in a replay; it does not take
the place of one.
"""

from __future__ import annotations

import ast
import builtins
import datetime as dt
import decimal
import dis
import functools
import hashlib
import inspect
import logging
import sys
import textwrap
import typing
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from jobforge.pipeline.code import (
    Code,
    Held,
    changed_since,
    defaults_of,
    described,
    functions_of,
    source_of,
)

_CHANGES = (
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today",
    "datetime.date.today", "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns",
    "time.perf_counter", "time.perf_counter_ns", "time.localtime", "time.gmtime", "time.ctime",
    "uuid.uuid1", "uuid.uuid4", "os.urandom", "os.getpid", "builtins.id", "builtins.hash",
    "random.", "secrets.", "numpy.random.",
)  # fmt: skip
"""Calls whose result is another one each time; those with a dot at the end are whole modules."""
_OUTSIDE = (
    "os.environ", "os.getenv", "os.listdir", "os.scandir", "os.walk", "os.stat", "os.path.getmtime",
    "builtins.open", "builtins.input", "io.open", "glob.", "subprocess.", "socket.", "requests.",
    "httpx.", "urllib.", "urllib3.", "aiohttp.", "http.", "boto3.", "sqlite3.", "duckdb.",
    "sqlalchemy.", "polars.read_", "polars.scan_",
)  # fmt: skip
"""What looks at something that is no input of the batch, whose version nobody records."""
_READS = {"read_text", "read_bytes", "iterdir", "read_csv", "read_parquet", "read_database"}
_PICKS = {"sample", "shuffle"}
_NOW = {"now", "today", "utcnow"}
_LOOKED_UP = ("LOAD_GLOBAL", "LOAD_NAME")
_SELF = ("self", "cls")
_TELLING = (
    bool, int, float, decimal.Decimal, dt.date, dt.time, dt.timedelta, dt.tzinfo, type(None),
)  # fmt: skip
"""Types of values that may stand in a record as they are."""
_PACKAGES = ("polars", "numpy", "functools")
"""Objects of these that are called stand for functions, as `polars.col` does."""


@dataclass(frozen=True)
class Shown:
    """What shows in the code of a step.

    Args:
        doubt: Why it may give something else when it is run again; None where nothing shows.
        reads: The values of its module that it reads by name, and that its arguments have
            as defaults if it is found there.
    """

    doubt: str | None
    reads: tuple[Held, ...]


def shown(code: Code) -> Shown:
    """What shows in a function, and in those of its own module that it names."""
    found: list[str] = []
    seen: dict[int, Any] = {}
    _look(code.inner, code.source, code.compiled, found, seen, _owner(code.inner))
    given = {held.name for held in code.held}
    defaults = dict(defaults_of(code.inner)) if code.importable else {}
    reads = (
        *(described(name, value) for name, value in defaults.items() if name not in given),
        *(held for held in _reads(seen.values()) if held.name not in defaults),
    )
    found += [
        f"it holds a {held.text.strip('<>')} ({held.name}), which the record cannot keep"
        for held in (*code.held, *reads)
        if not held.kept
    ]
    if code.source is None and code.compiled is None:
        found.append("its code cannot be read")
    return Shown("; ".join(dict.fromkeys(found)) or None, reads)


def _reads(definitions: Iterable[Any]) -> Iterator[Held]:
    """What functions read by name of the module that they stand in."""
    values: dict[str, object] = {}
    for function in (one for definition in definitions for one in functions_of(definition)):
        for name in _globals(function.__code__):
            value = function.__globals__.get(name)
            if name in function.__globals__ and not name.startswith("__") and _is_value(value):
                values[name] = value
    return (_discreet(described(name, value), value) for name, value in sorted(values.items()))


def _discreet(held: Held, value: object) -> Held:
    """A value of a module, which may be a password: of a text the record keeps its hash."""
    if not held.kept or isinstance(value, _TELLING):
        return held
    digest = hashlib.sha256(held.text.encode("utf-8", "surrogatepass")).hexdigest()
    return replace(held, text=f"sha256:{digest}", literal=False)


@functools.lru_cache(maxsize=1024)
def _globals(code: CodeType) -> tuple[str, ...]:
    """Names that a function, and those inside it, look up in the module."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    names = [step.argval for step in dis.get_instructions(code) if step.opname in _LOOKED_UP]
    return tuple(dict.fromkeys([*names, *(name for one in inner for name in _globals(one))]))


def _is_value(value: object) -> bool:
    """Whether something is data: no code, no type, no part of a package, nothing that logs."""
    if isinstance(value, (ModuleType, type, logging.Logger, logging.LoggerAdapter)):
        return False
    if inspect.isroutine(value):
        return False
    if typing.get_origin(value) is not None or type(value).__module__ == "typing":
        return False
    return not (callable(value) and type(value).__module__.split(".")[0] in _PACKAGES)


def _owner(definition: Any) -> type | None:  # noqa: ANN401 - a function or class
    """The class that `self` is one of."""
    bound = getattr(definition, "__self__", None) if inspect.ismethod(definition) else definition
    if isinstance(bound, type):
        return bound
    return type(bound) if inspect.ismethod(definition) else None


def _look(
    function: Any,  # noqa: ANN401 - a function or class
    source: str | None,
    compiled: CodeType | None,
    found: list[str],
    seen: dict[int, Any],
    owner: type | None,
) -> None:
    """Add what shows in a function, and in those of its own module that it names.

    Methods of its object are named as `self.name`; they are looked for in the class.
    """
    if id(function) in seen:
        return
    seen[id(function)] = function
    if changed_since(function):
        name = getattr(function, "__qualname__", "it")
        found.append(f"the file of {name} was changed after it was imported, so its text is lost")
    tree = _parsed(source)
    if tree is None:
        if compiled is not None:
            found += _by_names(compiled)
        return
    names = _Names(function, tree, owner)
    for node in ast.walk(tree):
        found += _of_node(node, names)
        if isinstance(node, (ast.Name, ast.Attribute)):
            other = _plain_function(names.value(node))
            if other is not None and other.__module__ == names.module:
                _look(other, source_of(other), other.__code__, found, seen, owner)


def _plain_function(value: object) -> FunctionType | None:
    """The function of a method or property."""
    if isinstance(value, MethodType):
        value = value.__func__
    elif isinstance(value, property):
        value = value.fget
    return value if isinstance(value, FunctionType) else None


def _of_node(node: ast.AST, names: _Names) -> Iterator[str]:
    if isinstance(node, ast.Attribute) and names.dotted(node) == "os.environ":
        yield "it reads os.environ, which the record does not keep"
    if not isinstance(node, ast.Call):
        return
    called = names.dotted(node.func)
    if called is not None:
        if _among(called, _CHANGES):
            yield f"it calls {_short(called)}, whose result changes from run to run"
        if _among(called, _OUTSIDE):
            yield f"it reads something that is no input of the batch ({_short(called)})"
        return
    if isinstance(node.func, ast.Attribute):
        yield from _of_method(node.func.attr, node)


def _of_method(name: str, call: ast.Call) -> Iterator[str]:
    """What the name of a method tells, where nobody can say whose it is."""
    said = {keyword.arg: keyword.value for keyword in call.keywords}
    if name in _PICKS and _is_none(said.get("seed")):
        yield f"it calls {name}() without a seed, which picks other rows each time"
    if name in _READS:
        yield f"it reads something that is no input of the batch ({name})"
    if name in _NOW:
        yield f"it calls {name}(), whose result changes from run to run"
    if name == "unique" and (call.args or "subset" in said):
        kept = said.get("keep")
        if kept is None or (isinstance(kept, ast.Constant) and kept.value == "any"):
            yield "unique() of some columns keeps any row of equal ones: say keep='first' or 'none'"


def _is_none(node: ast.expr | None) -> bool:
    return node is None or (isinstance(node, ast.Constant) and node.value is None)


def _by_names(code: CodeType) -> Iterator[str]:
    """What names in bytecode tell, where there is no text that can be parsed."""
    words = _PICKS | _READS | _NOW | {"uuid4", "urandom", "environ", "getenv"}
    for name in code.co_names:
        if name in words:
            yield f"it uses {name}, whose result may change from run to run"
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _by_names(constant)


def _parsed(source: str | None) -> ast.AST | None:
    if source is None:
        return None
    try:
        return ast.parse(textwrap.dedent(source))
    except (SyntaxError, ValueError):
        return None  # a lambda in the middle of a line


def _among(name: str, known: tuple[str, ...]) -> bool:
    return any(
        name == entry or (entry.endswith((".", "_")) and name.startswith(entry)) for entry in known
    )


def _short(name: str) -> str:
    return "open" if name == "io.open" else name.removeprefix("builtins.")


class _Names:
    """What names in a function mean: by the module of the function, and by its own imports."""

    def __init__(self, function: Any, tree: ast.AST, owner: type | None) -> None:  # noqa: ANN401 - function or class
        self.module = getattr(function, "__module__", None)
        self._owner = owner
        self._known = _namespace(function)
        self._imported = dict(_imports(tree))
        self._own = {arg.arg for node in ast.walk(tree) if isinstance(node, ast.arguments)
                     for arg in (*node.posonlyargs, *node.args, *node.kwonlyargs)}  # fmt: skip

    def value(self, node: ast.expr) -> object:
        """The module, class or function that an expression names; None where that is not clear."""
        if isinstance(node, ast.Name):
            if node.id in _SELF and self._owner is not None:
                return self._owner
            return None if node.id in self._own else self._known.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self.value(node.value)
            if isinstance(owner, (ModuleType, type)):
                return getattr(owner, node.attr, None)
        return None

    def dotted(self, node: ast.expr) -> str | None:
        """The full name of what an expression names, as `module.name`; None where not clear."""
        if isinstance(node, ast.Name):
            if node.id in self._own:
                return None
            if node.id in self._imported:
                return self._imported[node.id]
            return _full_name(self._known.get(node.id))
        if isinstance(node, ast.Attribute):
            owner = self.dotted(node.value)
            return None if owner is None else f"{owner}.{node.attr}"
        return None


def _namespace(function: Any) -> Mapping[str, object]:  # noqa: ANN401 - a function or class
    scope = getattr(function, "__globals__", None)
    if scope is None:
        scope = vars(sys.modules.get(str(getattr(function, "__module__", "")), builtins))
    cells: dict[str, object] = {}
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    for name, cell in zip(names, getattr(function, "__closure__", None) or (), strict=False):
        try:
            cells[name] = cell.cell_contents
        except ValueError:
            continue
    return ChainMap(cells, scope, vars(builtins))


def _imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Names that a function imports itself, and what each stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name if alias.asname else alias.name.split(".")[0]
                yield alias.asname or first, first
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _full_name(value: object) -> str | None:
    if isinstance(value, ModuleType):
        return value.__name__
    name = getattr(value, "__qualname__", None)
    if not isinstance(name, str):  # an object may answer any attribute, as `pl.col` does
        return None
    owner = getattr(value, "__self__", None)
    home = getattr(value, "__module__", None)
    if home is None and owner is not None:
        home = owner.__name__ if isinstance(owner, ModuleType) else type(owner).__module__
    if not isinstance(home, str):
        return None
    # Polars has its functions in modules of its own; everybody knows them by the first name.
    return f"polars.{name}" if home.startswith("polars.") and "." not in name else f"{home}.{name}"
