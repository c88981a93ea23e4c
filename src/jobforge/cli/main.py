"""The entry point of the `jobforge` command: a quick start, and errors as exit codes."""

from __future__ import annotations

import atexit
import gc
import io
import os
import sys

from jobforge.errors import JobforgeError

_OBJECTS = 200_000
"""New objects between two searches for garbage; a start makes half as many, and they all stay."""


def main() -> None:
    """Run the command line; the entry point of the installed script."""
    # Searching what was just imported for garbage takes a start 60 ms, and its end 40 more.
    gc.set_threshold(_OBJECTS)
    atexit.register(gc.freeze)
    # Plug-ins of pydantic watch an application's models. Looking for some takes 15 ms.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a letter gets its code, not an error.
            stream.reconfigure(errors="backslashreplace")
    from jobforge.cli import output
    from jobforge.cli.app import app
    from jobforge.cli.exit_codes import ExitCode, exit_code

    try:
        app()
    except JobforgeError as error:
        output.current().failure(error)
        sys.exit(exit_code(error))
    except Exception as error:  # a traceback is no message for a user
        if os.environ.get("JOBFORGE_DEBUG"):
            raise
        unexpected = JobforgeError(
            f"unexpected {type(error).__name__}: {error}",
            hint="this is a defect of jobforge; set JOBFORGE_DEBUG=1 to see where, and report it",
        )
        output.current().failure(unexpected)
        sys.exit(ExitCode.FAILED)
