"""JSON text to Python values, exactly: no number loses a digit, no key is dropped.

The parser is pydantic's jiter, which refuses repeated keys, NaN, lone
surrogates, trailing commas and deep nesting (RFC 8259 allows a reader to).
Numbers with a fraction come as floats where that is known to be exact for the
whole block, else as `LosslessFloat`, which keeps the text.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import Any, Literal

import jiter
import numpy as np

from jobforge.errors import MalformedSourceError

FloatMode = Literal["float", "lossless-float"]
_AT = re.compile(r"(?P<what>.*) at line (?P<line>\d+) column (?P<column>\d+)", re.DOTALL)
# A number of 16 characters out of [0-9.] is an integer, or has at most 15
# significant digits, which a 64-bit float holds (DBL_DIG, ISO/IEC 9899 5.2.4.2.2).
_LONG = 17
_DIGIT = np.zeros(256, np.bool_)
_DIGIT[list(b"0123456789")] = True
_AFTER_E = _DIGIT.copy()
_AFTER_E[list(b"+-")] = True


def parse_document(data: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """A whole JSON document, numbers with their text.

    Raises:
        MalformedSourceError: With line and column.
    """
    return _parse(data, "lossless-float", first_line=1)


def parse_lines(lines: list[bytes], first_line: int, *, lossless: bool) -> list[dict[str, Any]]:
    """One object from each line.

    Args:
        lines: Without their line ends; none is blank.
        first_line: 1-based number of the first of them, for errors.
        lossless: Keep the text of every number with a fraction, not only of
            those that a float might not hold.

    Raises:
        MalformedSourceError: A line is not one JSON object; with line and column.
    """
    # A number that nobody can guess stands between the lines: a value that spans
    # two of them, such as `{"a":[1` and `2]}`, cannot pass for one record.
    mark = secrets.randbits(50)  # 16 digits: no alarm of `may_lose_digits`
    block = b"[" + (b",%d,\n" % mark).join(lines) + b"]"
    mode: FloatMode = "lossless-float" if lossless or may_lose_digits(block) else "float"
    try:
        found = _parse(block, mode, first_line)
    except MalformedSourceError:
        found = []
    records = found[::2]
    alike = len(records) == len(lines) and found[1::2] == [mark] * (len(lines) - 1)
    if alike and set(map(type, records)) <= {dict}:
        return list(records)
    for number, line in enumerate(lines, start=first_line):
        if not isinstance(_parse(line, mode, number), dict):
            raise MalformedSourceError(
                "the line holds JSON that is no object",
                hint="every line holds one object: {...}",
                line=number,
            )
    raise MalformedSourceError(
        "the lines are not one object each",
        hint="every line holds one object: {...}",
        line=first_line,
    )


def may_lose_digits(block: bytes) -> bool:
    """Whether some number of the block might not be exact as a 64-bit float.

    False is certain; true may be a false alarm, from digits inside text.
    """
    data = np.frombuffer(block, np.uint8)
    if data.size <= _LONG:
        return True
    run = (data - np.uint8(ord("."))) < 12  # noqa: PLR2004 - . / and the ten digits, side by side in ASCII
    for step in (1, 2, 4, 8, 1):
        run = run[:-step] & run[step:]
    if run.any():
        return True
    exponent = np.flatnonzero((data[1:-1] | 32) == ord("e"))
    return bool((_DIGIT[data[exponent]] & _AFTER_E[data[exponent + 2]]).any())


def _parse(data: bytes, mode: FloatMode, first_line: int) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return jiter.from_json(
            data,
            allow_inf_nan=False,
            catch_duplicate_keys=True,
            cache_mode="keys",
            float_mode=mode,
        )
    except ValueError as error:
        found = _AT.fullmatch(str(error))
        what = found["what"] if found else str(error)
        line = first_line + int(found["line"]) - 1 if found else first_line
        column = int(found["column"]) if found else 1
        raise MalformedSourceError(
            f"the JSON is not well formed: {what}",
            hint="mend the file where it is written; nothing is repaired here",
            line=line,
            column=column,
        ) from error


def to_text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """The JSON text of a value; numbers keep theirs, white space is left out."""
    if isinstance(value, jiter.LosslessFloat):
        return str(value)
    if isinstance(value, dict):
        inner = (f"{_string(key)}:{to_text(entry)}" for key, entry in value.items())
        return "{" + ",".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(to_text, value)) + "]"
    return _string(value)


def _string(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
