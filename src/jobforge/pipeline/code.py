"""What can be known of a function: its text, its module, and the values that it holds."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import functools
import hashlib
import inspect
import re
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import polars as pl

_LONGEST = 10_000
"""Characters of a held value that a record keeps; of longer ones it keeps a hash."""
_PLAIN = (str, bytes, bool, int, float, complex, type(None))
_NAMED = (
    dt.date, dt.time, dt.timedelta, dt.tzinfo, decimal.Decimal, enum.Enum, Path, re.Pattern, range,
    pl.DataType,
)  # fmt: skip
"""Types whose text says all that a value is."""
_SHOWN_OF_A_PATTERN = 200
"""Characters after which Python cuts the text of a pattern."""


@dataclass(frozen=True)
class Held:
    """A value that a function carries with it.

    Args:
        name: Of the argument or variable.
        text: The value as text; of one that the record cannot keep, its type.
        kept: Whether the text says all that the value is.
        literal: Whether Python makes the value of the text.
    """

    name: str
    text: str
    kept: bool = True
    literal: bool = False


@dataclass(frozen=True)
class Code:
    """The code of a transform.

    Args:
        inner: The function or class itself, below partials and objects.
        source: Its text; None where Python cannot find it, or finds another one by now.
        compiled: Its bytecode, where it has some.
        module: Name of its module.
        file: The file of that.
        importable: Whether another process finds it by its module and name.
        held: What it carries with it.
    """

    inner: Any
    source: str | None
    compiled: CodeType | None
    module: str | None
    file: Path | None
    importable: bool
    held: tuple[Held, ...]

    @property
    def module_sha256(self) -> str | None:
        """SHA-256 of the file of its module, as it is by now."""
        try:
            stat = self.file.stat() if self.file is not None else None
            return None if stat is None else _file_hash(self.file, stat.st_mtime_ns, stat.st_size)
        except OSError:
            return None

    @property
    def bytecode_sha256(self) -> str | None:
        """SHA-256 of its bytecode, which is another one with another version of Python."""
        return (
            None if self.compiled is None else hashlib.sha256(bytecode(self.compiled)).hexdigest()
        )


def unwrap(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function below partials."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def code_of(function: Callable[..., Any]) -> Code:
    """What can be known of a transform."""
    inner = unwrap(function)
    plain = inspect.isroutine(inner) or inspect.isclass(inner)
    definition = inner if plain else type(inner)
    compiled = getattr(definition, "__code__", None)
    module = getattr(definition, "__module__", None)
    importable = plain and _found_by_name(definition, module)
    return Code(
        inner=definition,
        source=source_of(definition),
        compiled=compiled if isinstance(compiled, CodeType) else None,
        module=module,
        file=_file(definition),
        importable=importable,
        held=tuple(_held(function, inner, importable=importable)),
    )


def source_of(definition: Any) -> str | None:  # noqa: ANN401 - a function or class
    """Its text; None where Python cannot find it, or where its file has another one by now."""
    try:
        if changed_since(definition):
            return None
        return inspect.getsource(_as_it_stands(definition) or definition)
    except (OSError, TypeError):
        return None


def changed_since(definition: Any) -> bool:  # noqa: ANN401 - a function or class
    """Whether what stands in the file by now is not what was imported of it.

    Python reads the text of a function from its file when it is asked for it,
    which may be long after the import. Only where the file is known to be what
    was compiled can that be told; in a notebook, or where a loader rewrites what
    it reads, nothing is said.
    """
    return any(
        standing is not None and not standing
        for standing in (_standing(function) for function in functions_of(definition))
    )


def functions_of(definition: Any) -> Iterator[FunctionType]:  # noqa: ANN401 - a function or class
    """The functions whose text is that of a function or class."""
    if not inspect.isclass(definition):
        inner = inspect.unwrap(getattr(definition, "__func__", definition))
        yield from [inner] if isinstance(inner, FunctionType) else []
        return
    for member in vars(definition).values():
        inner = getattr(member, "__func__", getattr(member, "fget", member))
        if isinstance(inner, FunctionType) and _within(inner, definition):
            yield inner


def _within(function: FunctionType, definition: type) -> bool:
    return (
        function.__module__ == definition.__module__
        and function.__code__.co_qualname.rpartition(".")[0] == definition.__qualname__
    )


def _as_it_stands(definition: Any) -> CodeType | None:  # noqa: ANN401 - a function or class
    """The code of a function whose file has it in another line by now."""
    if inspect.isclass(definition):
        return None
    for function in functions_of(definition):
        line = function.__code__.co_firstlineno
        standing = _standing(function)
        if standing and all(code.co_firstlineno != line for code in standing):
            return standing[0]
    return None


def _standing(function: FunctionType) -> list[CodeType] | None:
    """What the file of a function has of the same name and bytecode; None where it cannot say."""
    code = function.__code__
    loader = function.__globals__.get("__loader__")
    if type(loader) is not SourceFileLoader or loader.path != code.co_filename:
        return None  # of another loader nobody knows what it makes of the text
    try:
        stat = Path(code.co_filename).stat()
        known = _compiled(code.co_filename, stat.st_mtime_ns, stat.st_size)
    except (OSError, RecursionError, MemoryError):
        return None
    wanted = bytecode(code)
    return [other for other in known.get(code.co_qualname, ()) if bytecode(other) == wanted]


@functools.lru_cache(maxsize=64)
def _compiled(file: str, changed: int, size: int) -> Mapping[str, list[CodeType]]:
    """The code in a file by qualified name, made again where its time or size is another."""
    del changed, size
    found: dict[str, list[CodeType]] = defaultdict(list)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were told when it was imported
            todo = [compile(Path(file).read_bytes(), file, "exec", dont_inherit=True)]
    except (SyntaxError, ValueError):
        return {}
    while todo:
        code = todo.pop()
        found[code.co_qualname].append(code)
        todo += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return dict(found)


def _file(definition: Any) -> Path | None:  # noqa: ANN401 - a function or class
    try:
        found = inspect.getsourcefile(definition)
    except TypeError:
        return None
    return Path(found) if found else None


@functools.lru_cache(maxsize=256)
def _file_hash(path: Path, changed: int, size: int) -> str:
    """The hash of a file, computed again where its time or size is another."""
    del changed, size
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _found_by_name(definition: Any, module: str | None) -> bool:  # noqa: ANN401 - any
    return module is not None and named(sys.modules.get(module), definition) is definition


def named(module: ModuleType | None, qualified: Any) -> object:  # noqa: ANN401 - a name, or what has one
    """What stands in a module under a dotted name, or None."""
    name = qualified if isinstance(qualified, str) else getattr(qualified, "__qualname__", "")
    found: object = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if name else None


def _held(function: Any, inner: Any, *, importable: bool) -> Iterator[Held]:  # noqa: ANN401 - any
    """Arguments of partials, the state of an object, and what a local function comes with."""
    given = dict(_given(function))
    yield from (described(name, value) for name, value in given.items())
    owner = getattr(inner, "__self__", None) if inspect.ismethod(inner) else inner
    if owner is not None and not inspect.isroutine(owner) and not inspect.isclass(owner):
        for name, value in sorted(getattr(owner, "__dict__", {}).items()):
            yield described(f"self.{name}", value)
    if importable:
        return  # its defaults and what it closes over come with its module
    called = inner if inspect.isroutine(inner) else type(inner).__call__
    for name, value in defaults_of(called):
        if name not in given:
            yield described(name, value)
    yield from _cells(called)


def _given(function: Any) -> Iterator[tuple[str, object]]:  # noqa: ANN401 - any
    """Arguments of partials, by their place or name; of two for one name the outer one counts."""
    partials = []
    while isinstance(function, functools.partial):
        partials.append(function)
        function = function.func
    for one in reversed(partials):
        yield from ((str(place), value) for place, value in enumerate(one.args))
        yield from sorted(one.keywords.items())


def _cells(function: Any) -> Iterator[Held]:  # noqa: ANN401 - any
    """What a function closes over."""
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    for name, cell in zip(names, getattr(function, "__closure__", None) or (), strict=False):
        try:
            yield described(name, cell.cell_contents)
        except ValueError:  # a name that was never given a value
            yield Held(name, "<empty>")


def defaults_of(function: Any) -> Iterator[tuple[str, object]]:  # noqa: ANN401 - any
    """What the arguments of a function are unless given."""
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return
    values = getattr(function, "__defaults__", None) or ()
    places = code.co_varnames[: code.co_argcount]
    yield from zip(places[len(places) - len(values) :], values, strict=True)
    yield from sorted((getattr(function, "__kwdefaults__", None) or {}).items())


def described(name: str, value: object) -> Held:
    """A value as a record keeps it."""
    text = _literal(value)
    if text is not None and len(text) <= _LONGEST:
        return Held(name, text, literal=True)
    text = text or as_text(value)
    if text is None:
        return Held(name, f"<{type(value).__qualname__}>", kept=False)
    if len(text) > _LONGEST:
        text = f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"
    return Held(name, text)


def _literal(value: object) -> str | None:
    """The text of a plain value, of which `ast.literal_eval` makes it again; None else."""
    if isinstance(value, float) and (value != value or value in (float("inf"), -float("inf"))):  # noqa: PLR0124 - NaN
        return None
    if type(value) in _PLAIN and not isinstance(value, complex):
        return repr(value)
    if type(value) in (list, tuple):
        parts = [_literal(entry) for entry in value]  # type: ignore[attr-defined] # a list or tuple
        return repr(value) if all(part is not None for part in parts) else None
    if type(value) is dict:
        parts = [_literal(entry) for pair in value.items() for entry in pair]
        return repr(value) if all(part is not None for part in parts) else None
    return None


def as_text(value: object) -> str | None:
    """The text of a value, where it says all that the value is."""
    if isinstance(value, (*_PLAIN, *_NAMED)):
        return _pattern(value) if isinstance(value, re.Pattern) else repr(value)
    if isinstance(value, ModuleType):
        return f"<module {value.__name__}>"
    if isinstance(value, type):
        # A class that is made inside a function may be made of what is around it.
        local = "<locals>" in value.__qualname__
        return None if local else f"<class {value.__module__}.{value.__qualname__}>"
    if isinstance(value, (pl.Expr, FunctionType)):
        return _expression(value) if isinstance(value, pl.Expr) else _function(value)
    return _collection(value)


def _pattern(value: re.Pattern[Any]) -> str:
    if len(repr(value.pattern)) <= _SHOWN_OF_A_PATTERN:
        return repr(value)
    return f"re.compile({value.pattern!r}, {value.flags})"


def _collection(value: object) -> str | None:
    if isinstance(value, dict):
        parts = [as_text(entry) for pair in value.items() for entry in pair]
    elif isinstance(value, (list, tuple, set, frozenset)):
        parts = [as_text(entry) for entry in value]
    else:
        return None
    known = [part for part in parts if part is not None]
    if isinstance(value, (set, frozenset)):
        known.sort()
    return f"{type(value).__name__}({', '.join(known)})" if len(known) == len(parts) else None


def _expression(value: pl.Expr) -> str | None:
    try:
        return value.meta.serialize(format="json")
    except (pl.exceptions.PolarsError, ValueError, TypeError):
        return None  # Python code is in it


def _function(value: FunctionType) -> str | None:
    """A function that another one holds: its text, if it holds nothing that cannot be told."""
    source = source_of(value)
    cells = value.__closure__ or ()
    if source is None or (cells and not _found_by_name(value, value.__module__)):
        return None
    defaults = [described(name, default) for name, default in defaults_of(value)]
    if not all(default.kept for default in defaults):
        return None
    source += "".join(f"\0{default.name}={default.text}" for default in defaults)
    digest = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
    return f"<function {value.__module__}.{value.__qualname__} {digest}>"


def plain(value: object) -> str:
    """A plain value as text; of others the type only."""
    if isinstance(value, (frozenset, set)):
        return "{" + ",".join(sorted(map(plain, value))) + "}"
    if isinstance(value, (list, tuple)):
        return "(" + ",".join(map(plain, value)) + ")"
    if isinstance(value, _PLAIN):
        return repr(value)
    return f"<{type(value).__qualname__}>"


def bytecode(code: CodeType) -> bytes:
    """The bytecode of a function and of those inside it."""
    parts = [code.co_code, repr(code.co_names).encode()]
    parts += [
        bytecode(constant) if isinstance(constant, CodeType) else plain(constant).encode()
        for constant in code.co_consts
    ]
    return b"\0".join(parts)
