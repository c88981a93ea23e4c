"""A suggestion for bytes that are not UTF-8; never a decision."""

from __future__ import annotations

_LIKELY = ("cp1252", "cp1250", "cp1251", "shift_jis", "gb18030", "cp437")


def suggestion(sample: bytes) -> str:
    """What to try for a record whose bytes are not UTF-8, with how each would show it."""
    start = next((i for i, byte in enumerate(sample) if byte > 127), 0)  # noqa: PLR2004 - not ASCII
    part = sample[max(0, start - 12) : start + 12].strip()
    shown = []
    for name in _LIKELY:
        try:
            text = part.decode(name)
        except UnicodeDecodeError:
            continue
        if text.isprintable():
            shown.append(f"encoding={name!r} shows {text!r}")
    tried = "; ".join(shown[:3])
    return f"name the encoding: {tried}" if tried else "name the encoding: encoding='...'"
