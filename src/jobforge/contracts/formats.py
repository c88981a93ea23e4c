"""Formats of dates and times: which there are, and the pattern that text of a format has.

The notation is that of `strftime` (ISO/IEC 9899 7.29.3.5). Only what has one
meaning is taken: a format has to name every part of the value, and nothing
that the value cannot hold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from jobforge.errors import InvalidSchemaError

_PARTS: dict[str, tuple[str, str]] = {
    # directive: what it says, and the text that it stands for
    "Y": ("year", "[0-9]{4}"),
    "y": ("year", "[0-9]{2}"),
    "m": ("month", "(?:0[1-9]|1[0-2])"),
    "-m": ("month", "(?:[1-9]|1[0-2])"),
    "b": ("month", "[A-Za-z]{3}"),
    "h": ("month", "[A-Za-z]{3}"),
    "B": ("month", "[A-Za-z]{3,9}"),
    "d": ("day", "(?:0[1-9]|[12][0-9]|3[01])"),
    "-d": ("day", "(?:[1-9]|[12][0-9]|3[01])"),
    "e": ("day", "(?: [1-9]|[12][0-9]|3[01])"),
    "j": ("day of year", "[0-3][0-9]{2}"),
    "H": ("hour", "(?:[01][0-9]|2[0-3])"),
    "-H": ("hour", "(?:[0-9]|1[0-9]|2[0-3])"),
    "I": ("hour of 12", "(?:0[1-9]|1[0-2])"),
    "p": ("half", "[AaPp][Mm]"),
    "M": ("minute", "[0-5][0-9]"),
    "S": ("second", "[0-5][0-9]"),
    ".f": ("fraction", r"(?:\.(?P<fraction>[0-9]{1,9}))?"),
    ".3f": ("fraction", r"\.(?P<fraction>[0-9]{3})"),
    ".6f": ("fraction", r"\.(?P<fraction>[0-9]{6})"),
    ".9f": ("fraction", r"\.(?P<fraction>[0-9]{9})"),
    "z": ("offset", "[+-][0-9]{2}[0-5][0-9]"),
    ":z": ("offset", "[+-][0-9]{2}:[0-5][0-9]"),
    "%": ("", "%"),
}
_SHORT = {"F": "%Y-%m-%d", "T": "%H:%M:%S", "R": "%H:%M"}
_DIRECTIVE = re.compile(r"%(\.[369]?f|:z|-[mdH]|.|$)", re.DOTALL)
_DATE = ({"year", "month", "day"}, {"year", "day of year"})
_CLOCK = ({"hour", "minute"}, {"hour of 12", "half", "minute"})
_REST = {"second", "fraction"}


@dataclass(frozen=True)
class Format:
    """A format that was checked.

    Args:
        text: For Polars.
        pattern: Regular expression of the whole text, the fraction of a second
            as a group of that name where there is one.
        offset: Whether the text says its distance from UTC.
        fraction: Whether there can be a fraction of a second.
    """

    text: str
    pattern: str
    offset: bool
    fraction: bool


def parse_format(column: str, text: str, dtype: pl.DataType) -> Format:
    """Check a format for a type.

    Raises:
        InvalidSchemaError: It has an unknown directive, leaves out a part of
            the value, names one twice, or one that the type cannot hold.
    """
    for short, long in _SHORT.items():
        text = text.replace(f"%{short}", long)
    parts: list[str] = []
    pattern = ""
    at = 0
    for found in _DIRECTIVE.finditer(text):
        directive = found[1]
        if directive not in _PARTS:
            known = " ".join(f"%{name}" for name in (*_PARTS, *_SHORT))
            raise InvalidSchemaError(
                f"format: %{directive} is not known",
                hint=f"there is {known}; other marks have more than one meaning",
                column=column,
            )
        part, regex = _PARTS[directive]
        pattern += re.escape(text[at : found.start()]) + regex
        at = found.end()
        parts += [part] if part else []
    pattern += re.escape(text[at:])
    _check(column, text, parts, dtype)
    return Format(text, f"^(?:{pattern})$", "offset" in parts, "fraction" in parts)


def _check(column: str, text: str, parts: list[str], dtype: pl.DataType) -> None:
    named = set(parts)
    if len(named) < len(parts):
        raise InvalidSchemaError(
            f"format: {text!r} names a part twice", hint="name each part once", column=column
        )
    rest = named - _REST - {"offset"}
    if isinstance(dtype, pl.Date):
        fits = named in _DATE
    elif isinstance(dtype, pl.Time):
        fits = rest in _CLOCK and "offset" not in named
    else:
        fits = any(rest == date | clock for date in _DATE for clock in _CLOCK)
        if fits and "offset" in named and isinstance(dtype, pl.Datetime) and not dtype.time_zone:
            raise InvalidSchemaError(
                f"format: {text!r} says the distance from UTC, and the type has no time zone",
                hint='cast to Datetime("us", "UTC")',
                column=column,
            )
    if "fraction" in named and "second" not in named:
        fits = False
    if not fits:
        raise InvalidSchemaError(
            f"format: {text!r} does not name just the parts of a {dtype}",
            hint="a date has year, month and day; a time has hour and minute, seconds if you like",
            column=column,
        )
