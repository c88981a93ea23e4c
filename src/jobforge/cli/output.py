"""Where results and errors of a command go: a console for people, JSON for machines.

Results go to standard output, everything else to standard error.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobforge.cli.exit_codes import as_record
from jobforge.errors import InvalidConfigError, JobforgeError
from jobforge.pipeline.config import PipelineConfig

if TYPE_CHECKING:
    from jobforge.openlineage import OpenLineageConfig

_WIDE = 100_000
_NARROWEST = 10
"""Characters that a column of a table needs to be of use on a terminal."""


class Output:
    """What a command prints to; one for a whole process.

    Args:
        as_json: Print one JSON document instead of tables.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        # Off a terminal nothing is cut or wrapped: the next program reads whole lines.
        self.wide = sys.stdout is None or not sys.stdout.isatty()
        self.console = Console(highlight=False, width=_WIDE if self.wide else None)
        self.errors = Console(stderr=True, highlight=False, soft_wrap=True)

    def record(self, value: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
        """Print a result as JSON; non-ASCII text stays readable."""
        text = json.dumps(_finite(value), ensure_ascii=False, indent=2, default=_plain)
        sys.stdout.write(text + "\n")

    def text(self, text: str) -> None:
        """Print text as it is, for another program to read."""
        sys.stdout.write(text)

    def line(self, text: str) -> None:
        """Print a line of text as it is."""
        self.console.print(Text(text))

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table; every cell as it is, whole numbers to the right."""
        shown = len(columns)
        if not self.wide:
            shown = max(1, min(shown, self.console.width // _NARROWEST))
        if title:
            self.line(title)
        table = Table(box=None)
        for position, name in enumerate(columns[:shown]):
            kinds = {type(row[position]) for row in rows} - {type(None)}
            numeric = kinds == {int}
            justify: Literal["left", "right"] = "right" if numeric else "left"
            table.add_column(Text(name), justify=justify, no_wrap=self.wide)
        for row in rows:
            table.add_row(*(Text(_cell(value)) for value in row[:shown]))
        self.console.print(table)
        if shown < len(columns):
            self.line(f"and {len(columns) - shown} more columns: use --json, or a wider terminal")

    def failure(self, error: JobforgeError) -> None:
        """Say what went wrong, where, and what to do."""
        if self.as_json:
            sys.stderr.write(json.dumps({"error": as_record(error)}, ensure_ascii=False) + "\n")
            return
        self.errors.print(Text.assemble(("error ", "bold red"), f"{error.code} {error}"))


def _cell(value: object) -> str:
    if value is None:
        return "·"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def _finite(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """NaN and the infinities, which JSON does not have, as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return value


def _plain(value: object) -> str:
    """Values that JSON has no form for: times in ISO 8601, bytes in Base64."""
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return str(value)


_current: Output | None = None


def current() -> Output:
    """The output of this process."""
    return _current or choose(as_json=False)


def config(data_root: str, *, keep_source: bool = False) -> PipelineConfig:
    """Settings for the data root that the command line names.

    Raises:
        InvalidConfigError: It is no folder's name.
    """
    if not data_root.strip():
        raise InvalidConfigError("--data-root is empty", hint="name a folder")
    return PipelineConfig(Path(data_root), keep_source=keep_source, openlineage=openlineage())


_openlineage = {"transport": "", "namespace": ""}


def choose_openlineage(transport: str, namespace: str) -> None:
    """Set where the OpenLineage events of this process go; empty for what is not said."""
    _openlineage.update(transport=transport, namespace=namespace)


def openlineage() -> OpenLineageConfig | None:
    """The settings for OpenLineage events; None where nobody asked for any.

    Raises:
        InvalidConfigError: What was asked for has no meaning.
    """
    if not _openlineage["transport"]:
        return None
    from jobforge.openlineage import OpenLineageConfig

    namespace = _openlineage["namespace"] or OpenLineageConfig.namespace
    return OpenLineageConfig(_openlineage["transport"], namespace)


def choose(*, as_json: bool) -> Output:
    """Set the form of the output of this process."""
    global _current  # noqa: PLW0603 - one process has one standard output
    _current = Output(as_json=as_json)
    return _current
