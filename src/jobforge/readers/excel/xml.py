"""Streaming XML for workbook parts, without DOCTYPEs and so without entities."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO
from xml.parsers import expat

from jobforge.errors import MalformedSourceError

Start = Callable[[str, dict[str, str]], None]


def parse_part(
    stream: IO[bytes],
    part: str,
    start: Start,
    end: Callable[[str], None] | None = None,
    text: Callable[[str], None] | None = None,
    noise: Callable[[], None] | None = None,
) -> None:
    """Feed one part to handlers; names come without their namespace prefix.

    Args:
        stream: The part.
        part: Its name, for errors.
        start: Called with each element's name and attributes.
        end: Called with each element's name at its end.
        text: Called with character data.
        noise: Called for comments, processing instructions and CDATA, which
            spreadsheet libraries misread inside a cell.

    Raises:
        MalformedSourceError: It is not well-formed XML, or has a DOCTYPE.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def doctype(*_: object) -> None:
        raise _refused(part, "it declares a DOCTYPE")

    def local_start(name: str, attributes: dict[str, str]) -> None:
        start(name.rpartition(":")[2], attributes)

    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = local_start
    if end is not None:
        parser.EndElementHandler = lambda name: end(name.rpartition(":")[2])
    if text is not None:
        parser.CharacterDataHandler = text
    if noise is not None:
        parser.CommentHandler = lambda _: noise()
        parser.ProcessingInstructionHandler = lambda *_: noise()
        parser.StartCdataSectionHandler = noise
    try:
        parser.ParseFile(stream)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise _refused(part, str(error)) from error


def _refused(part: str, why: str) -> MalformedSourceError:
    return MalformedSourceError(
        f"a part of the workbook cannot be read: {why}",
        hint="open it in a spreadsheet program and save it anew",
        part=part,
    )
