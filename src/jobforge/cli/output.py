"""Where results and errors of a command go: a console for people, JSON for machines.

Results go to standard output, everything else to standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from jobforge.cli.exit_codes import as_record
from jobforge.errors import JobforgeError


class Output:
    """What a command prints to; one for a whole process.

    Args:
        as_json: Print one JSON document instead of tables.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
        self.errors = Console(stderr=True, highlight=False, soft_wrap=True)

    def record(self, value: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
        """Print a result as JSON; non-ASCII text stays readable."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")

    def line(self, text: str) -> None:
        """Print a line of text as it is."""
        self.console.print(Text(text))

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table; every cell as it is, whole numbers to the right."""
        table = Table(title=escape(title) if title else None, title_justify="left", box=None)
        for position, name in enumerate(columns):
            numeric = bool(rows) and all(isinstance(row[position], int) for row in rows)
            table.add_column(escape(name), justify="right" if numeric else "left")
        for row in rows:
            table.add_row(*(Text(_cell(value)) for value in row))
        self.console.print(table)

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


_current = Output()


def current() -> Output:
    """The output of this process."""
    return _current


def choose(*, as_json: bool) -> Output:
    """Set the form of the output of this process."""
    global _current  # noqa: PLW0603 - one process has one standard output
    _current = Output(as_json=as_json)
    return _current
