"""Numbers as workbooks write them: what a float holds, and which serials are honest dates."""

from __future__ import annotations

import re
from decimal import Decimal

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_SHORT = 16
_FAR_EXPONENT = re.compile(r"[eE].?[0-9]{3}")
LAST_DAY_1900 = 2_958_466
LAST_DAY_1904 = 2_957_004
"""First serial after 9999-12-31 in each date system (ECMA-376 part 1, 18.17.4)."""
_LEAP_BUG = 61  # the 1900 system counts a 29 February 1900 that never was


def is_inexact(text: str) -> bool:
    """Whether the written digits are not those of the nearest 64-bit float."""
    if not _NUMBER.fullmatch(text):
        return True
    if len(text) < _SHORT and not _FAR_EXPONENT.search(text):
        return False
    number = float(text)
    if repr(number) == text:
        return False
    if number - number != 0:
        return True
    written = Decimal(text)
    digits = len(written.as_tuple().digits)
    return Decimal(f"{number:.{digits - 1}e}") != written


def is_odd_serial(text: str, *, date_1904: bool) -> bool:
    """Whether a date serial is read as another date than the one meant.

    Negative ones, those of January and February 1900 (before the leap day that
    never was), those after the year 9999, times that round up to 24:00, and
    day 0 of the 1904 system.
    """
    if not _NUMBER.fullmatch(text):
        return False
    serial = float(text)
    last = LAST_DAY_1904 if date_1904 else LAST_DAY_1900
    if serial < 0 or serial >= last or 1 - 1e-8 < serial < 1:
        return True
    return serial == 0 if date_1904 else 1 <= serial < _LEAP_BUG
