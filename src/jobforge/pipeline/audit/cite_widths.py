"""Whole numbers that a statement makes by itself, computed with 128 bits too.

Polars wraps around in silence where a whole number has too few bits, and takes a truth for
a small one. The columns of a table are widened before; what is left are the values that
functions, casts and numbers in `CASE` give. Each part of an expression that can stand by itself is
asked for its type, from the inside out, and is widened by `::INT128` where that is a whole
number. What may have wrapped around before it can be widened is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import polars as pl

from jobforge.errors import InvalidQueryError
from jobforge.pipeline.audit.cite_functions import BETWEEN_PARTS, NEVER_WRAP
from jobforge.pipeline.audit.cite_statement import Token, tokens_of

_WIDE = "::INT128 "
_SIGNS = frozenset({"+", "-", "*", "/", "%"})
_TRUTHS = frozenset({"NULL", "TRUE", "FALSE", "UNKNOWN"})
"""`n IS NULL + 1` is a truth and a number, too."""
_ENDS = frozenset({",", "=", "<", ">", "<=", ">=", "<>", "!="})
_MORE_OF_TYPE = frozenset({"UNSIGNED", "SIGNED", "PRECISION", "VARYING"})
_CAST = "write CAST(... AS BIGINT) around what is in it, or compute it in gold"

TypeOf = Callable[[str], pl.DataType]
"""The type that an expression has."""


def widened(text: str, schema: pl.Schema, type_of: TypeOf) -> str:
    """An expression whose whole numbers have 128 bits wherever it computes with them.

    Args:
        text: As it was written.
        schema: The columns, whole numbers among them widened.
        type_of: Tells the type of a part of it.

    Raises:
        InvalidQueryError: It computes with whole numbers that cannot be widened.
    """
    return _Widening(text, list(tokens_of(text)), schema, type_of).run()


@dataclass
class _Open:
    """A parenthesis or `CASE` that is not closed yet."""

    kind: str
    start: int
    """The first token of it: of a function its name."""
    signs: int = 0
    floors: int = 0


@dataclass
class _Widening:
    text: str
    tokens: list[Token]
    schema: pl.Schema
    type_of: TypeOf
    pieces: list[str] = field(default_factory=list)
    """One for each token that was read, what was put behind it included."""

    def run(self) -> str:
        levels = [_Open("all", 0)]
        start = 0  # of the operand that was read last
        at = 0
        while at < len(self.tokens):
            token = self.tokens[at]
            self._take(at)
            if token.text == "(" or token.upper == "CASE":
                levels.append(self._opened(at))
            elif len(levels) > 1 and (token.text == ")" or token.upper == "END"):
                level = levels.pop()
                start = level.start
                self._closed(level, at)
            elif token.text == "::":
                at = self._cast(at, start)
            elif not self._within_name(at):
                start = self._operand(at)
            self._count(levels[-1], at)
            at += 1
        return "".join(self.pieces)

    def _take(self, at: int) -> None:
        before = self.tokens[at - 1].end if at else self.tokens[at].start
        self.pieces.append(self.text[before : self.tokens[at].end])

    def _near(self, at: int) -> Token | None:
        return self.tokens[at] if 0 <= at < len(self.tokens) else None

    def _opened(self, at: int) -> _Open:
        last, before = self._near(at - 1), self._near(at - 2)
        if self.tokens[at].text != "(":
            return _Open("case", at)
        if last is None or last.name is None:
            return _Open("group", at)
        if last.upper in BETWEEN_PARTS:
            return _Open("list" if last.upper == "IN" else "group", at)
        if before is not None and (before.upper == "AS" or before.text == "::"):
            return _Open("type", at)
        return _Open("call", at - 1)

    def _closed(self, level: _Open, at: int) -> None:
        """Widen what ends here."""
        start = level.start
        if level.kind == "list":
            self._no_truth(start, at)
        if level.kind in ("list", "type"):
            return
        dtype = self.type_of("".join(self.pieces[start:]).strip())
        if dtype == pl.Boolean:
            self._no_truth(start, at)
        if not _narrow(dtype):
            return
        name = str(self.tokens[start].name).upper() if level.kind == "call" else ""
        if name and name not in NEVER_WRAP and not (name == "SUM" and self._of_truths(start)):
            self._refuse(start, at, f"is {dtype}, which wraps around in silence", _CAST)
        # Nothing computes with what is the whole expression, and it keeps its type.
        if start or at < len(self.tokens) - 1:
            self.pieces[-1] += _WIDE

    def _of_truths(self, start: int) -> bool:
        """Whether a sum counts truths; of numbers it would be computed with too few bits."""
        inner = self.pieces[start + 2 : -1]
        if inner and self.tokens[start + 2].upper in ("DISTINCT", "ALL"):
            inner = inner[1:]
        return self.type_of("".join(inner).strip()) == pl.Boolean

    def _cast(self, at: int, start: int) -> int:
        """Read the type behind `::`, and widen what is cast to it; the last token of it."""
        end = at + 1
        while (more := self._near(end + 1)) is not None and more.upper in _MORE_OF_TYPE:
            end += 1
        following = self._near(end + 1)
        if following is not None and following.text == "(":
            while end + 1 < len(self.tokens) and self.tokens[end].text != ")":
                end += 1
        for part in range(at + 1, min(end + 1, len(self.tokens))):
            self._take(part)
        dtype = self.type_of(f"CAST(NULL AS {''.join(self.pieces[at + 1 :])})")
        if dtype == pl.Boolean:
            self._no_truth(start, end)
        if _narrow(dtype):
            self.pieces[-1] += _WIDE
        return end

    def _within_name(self, at: int) -> bool:
        """Whether a token is no operand, or one that goes on."""
        following = self._near(at + 1)
        more = following is not None and following.text in (".", "(")
        return self.tokens[at].kind == "symbol" or more

    def _operand(self, at: int) -> int:
        """Look at a name, number or text; the first token of it."""
        start = at
        while start >= 2 and self.tokens[start - 1].text == ".":  # noqa: PLR2004 - name and dot
            start -= 2
        token = self.tokens[at]
        if start != at:
            dtype: pl.DataType | None = self.type_of("".join(self.pieces[start:]).strip())
        else:
            dtype = self.schema.get(token.name) if token.name is not None else None
        if dtype == pl.Boolean or token.upper in _TRUTHS:
            self._no_truth(start, at)
        if start != at and dtype is not None and _narrow(dtype):
            self.pieces[-1] += _WIDE
        return start

    def _no_truth(self, start: int, end: int) -> None:
        """Refuse to compute with a truth: Polars makes a number of few bits of it."""
        before, after = self._near(start - 1), self._near(end + 1)
        if after is not None and after.text == "::":
            return
        if any(token is not None and token.text in _SIGNS for token in (before, after)):
            self._refuse(start, end, "is no number to compute with", _CAST)

    def _count(self, level: _Open, at: int) -> None:
        """Refuse to compute on with `a // b`, which has 64 bits, where it has no parentheses."""
        token, last = self.tokens[at], self._near(at - 1)
        if token.text in _ENDS or token.upper in BETWEEN_PARTS:
            level.signs = level.floors = 0
        elif token.text == "/" and last is not None and last.text == "/":
            level.floors += 1
        elif token.text in _SIGNS:
            level.signs += 1
        if level.floors and level.signs > 1:
            hint = "put the division in parentheses: (a // b)"
            self._refuse(at, at, "computes on with what // gives", hint)

    def _refuse(self, start: int, end: int, why: str, hint: str) -> None:
        tokens: Sequence[Token] = self.tokens[start : end + 1]
        said = self.text[tokens[0].start : tokens[-1].end]
        raise InvalidQueryError(f"{said} {why}", hint=hint, character=tokens[0].start + 1)


def _narrow(dtype: pl.DataType) -> bool:
    return dtype.is_integer() and dtype != pl.Int128
