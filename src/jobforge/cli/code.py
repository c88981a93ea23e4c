"""Python code that a user names on the command line."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

from jobforge.errors import InvalidOptionError


def modules(names: Sequence[str]) -> list[ModuleType]:
    """Modules by name, or Python files; the current folder is looked in last.

    A file is not run as a program: its `if __name__ == "__main__"` is not entered.

    Raises:
        InvalidOptionError: One is not there, or cannot be imported.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # not first: a html.py there would be ours, too, in place of Python's
    return [_file(Path(name)) if name.endswith(".py") else _module(name) for name in names]


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit is one: a script that ends the process here
        raise _refused(name, error) from error


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise InvalidOptionError(f"--code: there is no file {path}", hint="look at the spelling")
    known = sys.modules.get(path.stem)
    if known is not None and _same(known, path):
        return known
    name = path.stem if known is None else f"_replayed_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InvalidOptionError(f"--code: {path} is no Python file", hint="name a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _beside(path):
            spec.loader.exec_module(module)
    except BaseException as error:
        sys.modules.pop(name, None)
        if isinstance(error, KeyboardInterrupt):
            raise
        raise _refused(str(path), error) from error
    return module


@contextmanager
def _beside(path: Path) -> Iterator[None]:
    """Look for imports in the folder of a script.

    First while it is loaded, as when it ran; then last, for those that its
    functions make: what we import ourselves meanwhile is not looked for there.
    """
    folder = str(path.resolve().parent)
    before = list(sys.path)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with suppress(ValueError):  # a script may change the path itself
            sys.path.remove(folder)
        if folder not in before:
            sys.path.append(folder)


def _same(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve() == path.resolve()


def _refused(name: str, error: BaseException) -> InvalidOptionError:
    first = (str(error).splitlines() or [""])[0]
    return InvalidOptionError(
        f"--code: {name} cannot be imported: {type(error).__name__}: {first}",
        hint="import it with Python first; functions need no data to be imported",
    )
