"""Python code that a user names on the command line."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from jobforge.errors import InvalidOptionError


def modules(names: Sequence[str]) -> list[ModuleType]:
    """Modules by name, or Python files; the current folder is looked in, as `python -m` does.

    A file is not run as a program: its `if __name__ == "__main__"` is not entered.

    Raises:
        InvalidOptionError: One is not there, or cannot be imported.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    return [_file(Path(name)) if name.endswith(".py") else _module(name) for name in names]


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise _refused(name, error) from error


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise InvalidOptionError(f"--code: there is no file {path}", hint="look at the spelling")
    folder = str(path.resolve().parent)  # where its own imports are looked for, as in a script
    if folder not in sys.path:
        sys.path.insert(0, folder)
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
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _refused(str(path), error) from error
    return module


def _same(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve() == path.resolve()


def _refused(name: str, error: Exception) -> InvalidOptionError:
    first = (str(error).splitlines() or [""])[0]
    return InvalidOptionError(
        f"--code: {name} cannot be imported: {type(error).__name__}: {first}",
        hint="import it with Python first; functions need no data to be imported",
    )
