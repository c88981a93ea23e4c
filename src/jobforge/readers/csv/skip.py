"""Records that are passed over quickly: in regular text a line end outside quotes ends one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jobforge.readers.places import Checkpoint, line_breaks

_BLOCK = 1 << 18


def nearer(
    path: Path,
    begin: Checkpoint,
    quote: bytes | None,
    beyond: Callable[[Checkpoint], bool],
    block: int = _BLOCK,
) -> Checkpoint:
    """The beginning of a record that is nearer to what is looked for, and not beyond it.

    Args:
        path: UTF-8 text of regular structure (`csv.structure`) from `begin` on.
        begin: From where on.
        quote: The quote, or None.
        beyond: Whether a record begins behind what is looked for.
        block: Bytes to look at in one go.
    """
    rest = b""
    with path.open("rb") as file:
        file.seek(begin.offset)
        while data := file.read(block):
            rest += data  # from the beginning of a record, so that it begins outside of quotes
            parts = rest.split(quote) if quote is not None else [rest]
            ended = sum(part.count(b"\n") for part in parts[::2])
            if not ended:
                continue
            size = _up_to_last_end(parts, len(rest))
            mark = Checkpoint(
                begin.record + ended, begin.offset + size, begin.line + line_breaks(rest[:size])
            )
            if beyond(mark):
                break
            begin, rest = mark, rest[size:]
    return begin


def _up_to_last_end(parts: list[bytes], size: int) -> int:
    """Bytes up to the last line end outside of quotes; every other part is outside."""
    for index in range(len(parts) - 1, -1, -1):
        size -= len(parts[index])
        if index % 2 == 0 and (at := parts[index].rfind(b"\n")) >= 0:
            return size + at + 1
        size -= 1  # the quote before the part
    return 0
