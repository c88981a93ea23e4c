"""The code of a step, found again: passed by the caller, made of its recipe, or imported."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import ModuleType

from jobforge.errors import InvalidOptionError, InvalidRuleError
from jobforge.pipeline.code import named, unwrap
from jobforge.pipeline.config import Layer, parse_layer
from jobforge.pipeline.fingerprint import fingerprint
from jobforge.pipeline.models import LayerTransitionLog
from jobforge.pipeline.steps import Transform
from jobforge.pipeline.transform_ref import TransformRef
from jobforge.quality.recipes import step_of

Transforms = Mapping[str, Sequence[Transform]] | Sequence[Transform]
"""Steps by layer, or all together."""
_WITH_STEPS = (Layer.SILVER, Layer.GOLD)
_EXAMPLES = {"function": "tidy, deduplicate('id')", "module": "etl, shared.steps"}
_CLASS = re.compile(r"\s*(?:@.*\n\s*)*class\b")
"""The text of a class begins so: what ran was an object of it."""


class NotRecoverableError(Exception):
    """The code that ran is not to be had; the text says why. Never leaves this package."""


@dataclass(frozen=True)
class Recovered:
    """A step of a transition, ready to be run again.

    Args:
        function: The step.
        doubts: Why it may give something else than it did.
    """

    function: Transform
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Code:
    """Where the code of steps is looked for.

    Args:
        given: Functions and declared steps that the caller has.
        modules: Modules that the caller named.
    """

    given: Transforms = ()
    modules: Sequence[ModuleType] = ()

    def steps(self, log: LayerTransitionLog) -> list[Recovered]:
        """The steps of a transition, in order.

        Raises:
            NotRecoverableError: The code of one is gone, or another one by now.
        """
        given = self._given(log.target_layer)
        return [self._step(reference, given) for reference in log.transforms_applied]

    def _given(self, layer: Layer) -> list[Transform]:
        if isinstance(self.given, Mapping):
            return list(self.given.get(layer.value, ()))
        return list(self.given)

    def check(self) -> None:
        """Refuse what is no code, and steps that are given for a layer that has none.

        Raises:
            InvalidConfigError: There is no such layer.
            InvalidOptionError: It has no steps, or something that is given is no list of
                functions, or of modules.
        """
        _check_all("modules", self.modules, "module", lambda one: isinstance(one, ModuleType))
        if not isinstance(self.given, Mapping):
            _check_all("transforms", self.given, "function", callable)
            return
        for name, steps in self.given.items():
            layer = parse_layer(name)
            if layer not in _WITH_STEPS:
                raise InvalidOptionError(
                    f"transforms are given for {layer}, which has none",
                    hint=f"the layers that have some are {' and '.join(_WITH_STEPS)}",
                )
            _check_all(f"transforms of {layer}", steps, "function", callable)

    def _step(self, was: TransformRef, given: Sequence[Transform]) -> Recovered:
        changed: list[str] = []
        found: list[Recovered] = []
        try:
            for function in chain(given, self._candidates(was)):
                one = self._matched(was, function)
                if isinstance(one, Recovered):
                    found.append(one)
                    if not one.doubts:
                        break
                elif one is not None:
                    changed.append(one)
        except NotRecoverableError:
            if not found:  # its own module came last, and might have been without a doubt
                raise
        if found:
            return min(found, key=lambda one: len(one.doubts))
        if was.recipe is not None:
            return _made(was)
        raise NotRecoverableError(changed[0] if changed else _gone(was))

    def _matched(self, was: TransformRef, function: Transform) -> Recovered | str | None:
        """A step that is the recorded one; why not, where it has its name; else None."""
        inner = unwrap(function)
        # A class has the text of its objects, and is none of them.
        other = inspect.isclass(inner) and not (was.importable or was.definition)
        if other or _called(inner, was.name) != _last(was.qualified_name):
            return None  # before its text is read, which takes longer
        now = fingerprint(function, was.name)
        same = was.code_sha256 == now.code_sha256 or _same_bytecode(was, now)
        held = _held_otherwise(was, now, same=same)
        if same and not held:
            return Recovered(function, tuple(_doubts(was, now)))
        if held and was.source_sha256 == now.source_sha256:
            return f"{was.name} holds another value of {', '.join(held)} than it did"
        if was.definition.get("kind") != now.definition.get("kind"):
            return None
        if was.definition:
            return f"{was.name} was declared in another way when the batch ran"
        return f"the code has changed: {was.name} is not the code that ran"

    def _candidates(self, was: TransformRef) -> Iterator[Transform]:
        """What stands under the name of a function, in the modules that were named and its own.

        Nothing where it was no function of a module: of a method or an object, a module
        has the class only, whose text is the same and which is another thing.
        """
        name = _name_in_module(was)
        if _unfindable(was) is not None:
            return
        home = () if _home(was) == "__main__" else (was,)
        modules = chain(self.modules, map(_imported, home))  # not before its turn
        for found in (named(module, name) for module in modules):
            if callable(found) and (was.importable or not inspect.isclass(found)):
                yield _with_arguments(was, found)


def _check_all(what: str, given: object, kind: str, fits: Callable[[object], bool]) -> None:
    """Refuse what is no list of functions, or of modules.

    Raises:
        InvalidOptionError: It is something else, or an entry is.
    """
    # Not any iterable: a generator that was looked at once would be empty when it counts.
    if not isinstance(given, (list, tuple)):
        raise InvalidOptionError(
            f"{what} is {_a(given)}, not a list",
            hint=f"pass a list of {kind}s: [{_EXAMPLES[kind]}]",
        )
    for number, one in enumerate(given, start=1):
        if not fits(one):
            raise InvalidOptionError(
                f"entry {number} of {what} is {_a(one)}, not a {kind}",
                hint=f"pass the {kind} itself: [{_EXAMPLES[kind]}]",
            )


def _a(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"


def _held_otherwise(was: TransformRef, now: TransformRef, *, same: bool) -> list[str]:
    """Names of what the function holds that is not as it was; older records do not tell.

    What a function has as defaults is held where no module has the function, and is read
    where one has. So of the same code only what both hold is compared, and the state of
    an object, which its code does not tell.
    """
    if was.source_sha256 is None and was.bytecode_sha256 is None:
        return []
    names = [*was.bound, *(name for name in now.bound if name not in was.bound)]
    both = was.bound.keys() & now.bound.keys()
    return [
        name
        for name in names
        if was.bound.get(name) != now.bound.get(name)
        and (not same or name in both or name.startswith("self."))
    ]


def _read_otherwise(was: TransformRef, now: TransformRef) -> list[str]:
    """Names of what the function reads in its module, or has as default, that is not as it was."""
    then, by_now = was.reads | was.bound, now.reads | now.bound
    return [name for name, text in then.items() if by_now.get(name, text) != text]


def _same_bytecode(was: TransformRef, now: TransformRef) -> bool:
    """Whether the bytecode is the same, where one of both has no text to go by."""
    one = (was.source_sha256 is None) != (now.source_sha256 is None)
    return one and was.bytecode_sha256 is not None and was.bytecode_sha256 == now.bytecode_sha256


def _made(was: TransformRef) -> Recovered:
    """A declared step, made of its recipe.

    Raises:
        NotRecoverableError: This version makes another step of it, or none.
    """
    try:
        step = step_of(was.recipe or {})
    except InvalidRuleError as error:
        raise NotRecoverableError(f"{was.name} cannot be made again: {error.message}") from error
    if fingerprint(step, was.name).code_sha256 != was.code_sha256:
        raise NotRecoverableError(
            f"{was.name}, made again, is not the step that ran: pass the step itself"
        )
    return Recovered(step)


def _doubts(was: TransformRef, now: TransformRef) -> list[str]:
    doubts = [f"{was.name}: {was.unprovable}"] if was.unprovable is not None else []
    if was.module_sha256 is not None and was.module_sha256 != now.module_sha256:
        doubts.append(f"the file that {was.name} stands in has changed since it ran")
    if other := _read_otherwise(was, now):
        doubts.append(f"{was.name} reads another value of {', '.join(other)} than it did")
    if was.code_sha256 is None:
        doubts.append(f"{was.name}: its code could not be read when it ran")
    if was.code_sha256 != now.code_sha256:
        doubts.append(f"{was.name}: its text is not known, only that its bytecode is the same")
    return doubts


def _imported(was: TransformRef) -> ModuleType | None:
    """The module that a function came from.

    Raises:
        NotRecoverableError: It is there, and cannot be imported.
        KeyboardInterrupt: Somebody does not want to wait for it.
    """
    try:
        return importlib.import_module(_home(was))
    except ModuleNotFoundError:
        return None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit is one: a script that ends the process here
        first = (str(error).splitlines() or [""])[0]
        raise NotRecoverableError(
            f"the module {_home(was)} of {was.name} cannot be imported: "
            f"{type(error).__name__}: {first}"
        ) from error


def _with_arguments(was: TransformRef, function: Transform) -> Transform:
    """The function with the arguments that a partial bound to it."""
    positions, words = {}, {}
    for name, text in was.bound.items():
        if name.isdecimal():
            positions[int(name)] = ast.literal_eval(text)
        else:
            words[name] = ast.literal_eval(text)
    if not positions and not words:
        return function
    return functools.partial(function, *(positions[at] for at in sorted(positions)), **words)


def _gone(was: TransformRef) -> str:
    why = _unfindable(was)
    if why is not None:
        return why
    if _home(was) == "__main__":
        return f"{was.name} was defined in a script: name the file of the script"
    return f"the code of {was.name} is gone: there is no {was.qualified_name}"


def _unfindable(was: TransformRef) -> str | None:
    """Why no module can have what ran; None where one can."""
    name = _name_in_module(was)
    if was.definition:
        return f"{was.name} holds what the record does not keep: pass the step itself"
    if "<lambda>" in name:
        return "a lambda has no name to be found by: pass it, or write a function"
    if "<locals>" in name:
        return f"{was.name} is defined inside another function: pass it, or move it to a module"
    lost = [name for name, text in was.bound.items() if not _is_literal(text)]
    if lost:
        return f"{was.name} holds {', '.join(lost)}, which the record cannot make again: pass it"
    # A function of a script is none of an importable module, and older records do not tell.
    told = was.module is not None and was.module != "__main__"
    if was.importable or not (told or "." in name or _CLASS.match(was.source or "")):
        return None
    return f"{was.name} is a method, an object or a wrapper, which no module has as such: pass it"


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _name_in_module(was: TransformRef) -> str:
    return was.qualified_name.removeprefix(f"{_home(was)}.")


def _home(was: TransformRef) -> str:
    """The module of a function; older records have it in its name only."""
    return was.module or was.qualified_name.rpartition(".")[0] or "?"


def _called(inner: Transform, otherwise: str) -> str:
    """The name of a function, or of the class of an object, as a fingerprint ends with it."""
    plain = inspect.isroutine(inner) or inspect.isclass(inner)
    return _last(str(getattr(inner if plain else type(inner), "__qualname__", otherwise)))


def _last(qualified: str) -> str:
    """The name of a function without its module, which may be called otherwise by now."""
    return qualified.rsplit(".", 1)[-1]
