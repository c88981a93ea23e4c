"""Work in a child process, so that a native library that crashes ends only the child.

A workbook is foreign bytes for a parser written in another language; some
bytes end the process instead of raising. The child reads the file and leaves
Arrow files and a JSON answer in a folder; the parent takes them from there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from jobforge import errors
from jobforge.errors import JobforgeError, MalformedSourceError, SourceError

LIMIT_SECONDS = 1_800
"""A child that takes longer is stopped: foreign bytes must not hang the caller."""


def call_in_child(module: str, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run `python -m module FOLDER/request.json` and return its answer.

    Args:
        module: A module whose `__main__` part calls `answer`.
        request: What to do, as JSON.
        folder: A folder for the request, the answer, and what the child makes.

    Raises:
        JobforgeError: What the child raised, raised here.
        MalformedSourceError: The child ended without an answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    question = folder / f"{uuid.uuid4().hex}.json"
    question.write_text(json.dumps(request), encoding="utf-8")
    reply = question.with_suffix(".answer.json")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
    }
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module, no shell
            [sys.executable, "-m", module, str(question), str(reply)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
            timeout=LIMIT_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise MalformedSourceError(
            f"reading took longer than {LIMIT_SECONDS} seconds and was stopped",
            hint="save the file in parts, or as .csv",
        ) from error
    if not reply.is_file():
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise MalformedSourceError(
            f"the file ended its parser (exit code {done.returncode}): {' '.join(last)}",
            hint="the file is damaged or too large for the memory; save it anew from its program",
        )
    answer: dict[str, Any] = json.loads(reply.read_text(encoding="utf-8"))
    if "error" in answer:
        raise _error(answer["error"])
    return answer


def answer(work: Any) -> None:  # noqa: ANN401 - a function from request to answer
    """The child's side: do the work that the command line names and leave the answer.

    Args:
        work: Function from the request to a JSON object.
    """
    question, reply = Path(sys.argv[1]), Path(sys.argv[2])
    try:
        result = work(json.loads(question.read_text(encoding="utf-8")))
    except JobforgeError as error:
        result = {
            "error": {
                "kind": type(error).__name__,
                "message": error.message,
                "hint": error.hint,
                "place": dict(error.place),
            }
        }
    except MemoryError:
        result = {
            "error": {
                "kind": "MalformedSourceError",
                "message": "the file needs more memory than there is",
                "hint": "save it in parts, or as .csv",
                "place": {},
            }
        }
    reply.write_text(json.dumps(result), encoding="utf-8")


def _error(record: dict[str, Any]) -> JobforgeError:
    kind = getattr(errors, str(record["kind"]), SourceError)
    made: JobforgeError = kind(record["message"], hint=record["hint"], **record["place"])
    return made
