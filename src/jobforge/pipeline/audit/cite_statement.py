"""The one form of statement that can be cited, told apart token by token.

    SELECT expression [, expression]... FROM table [WHERE condition]

Of such a statement it is certain which rows go into the figure: those that the
condition lets through. Whatever could bring in other rows, or leave some out
elsewhere, is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from jobforge.errors import InvalidQueryError, nearest
from jobforge.pipeline.audit.cite_functions import (
    AGGREGATES,
    BETWEEN_PARTS,
    ROW_BY_ROW,
    SIZED_TYPES,
)
from jobforge.pipeline.config import Layer, parse_layer

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<comment>--|/\*)
    | (?P<string>'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"]|"")+")
    | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<word>[^\W\d]\w*)
    | (?P<symbol><=|>=|<>|!=|\|\||::|[-+*/%(),.<>=;~])""",
    re.VERBOSE,
)
FORM = "write SELECT expression FROM table [WHERE condition]"
_HINTS = {
    "FILTER": "put its condition into WHERE",
    "GROUP": "one figure at a time: put the group into WHERE",
    "JOIN": "cite from one table; join in a step of gold, so that rows keep their records",
    "LIMIT": "say in WHERE which rows count",
    "OVER": "use a plain aggregate",
}
_REFUSED = frozenset({
    "SELECT", "WITH", "UNION", "INTERSECT", "EXCEPT", "MINUS", "JOIN", "LATERAL", "GROUP",
    "HAVING", "ORDER", "LIMIT", "OFFSET", "FETCH", "OVER", "FILTER", "QUALIFY", "WINDOW",
    "VALUES", "TABLE", "INTO", "EXISTS", "UNNEST", "COLUMNS", "TABLESAMPLE", "INSERT",
    "UPDATE", "DELETE", "CREATE", "DROP",
})  # fmt: skip
"""Words that bring in other rows or leave some out; a column of such a name is quoted."""
_CLOCKS = frozenset({
    "NOW", "TODAY", "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "LOCALTIME",
    "LOCALTIMESTAMP", "RANDOM", "RAND", "UUID",
})  # fmt: skip
"""Give another value each time."""
_PARTS = 2


@dataclass(frozen=True)
class Token:
    """A word, sign or value of a statement, and where it stands in its text."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """Where the next character stands."""
        return self.start + len(self.text)

    @property
    def upper(self) -> str:
        """A bare word in capitals, and nothing of others: no quoted text is a keyword."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def name(self) -> str | None:
        """The name of a column or table that it may be."""
        if self.kind == "quoted":
            return self.text[1:-1].replace('""', '"')
        return self.text if self.kind == "word" else None


@dataclass(frozen=True)
class Statement:
    """A statement that can be cited.

    Args:
        text: As it was given.
        items: What is selected, each as it was written.
        layer: Which layer of the table.
        table: `table` or `domain/table`.
        alias: The name by which columns may be qualified.
        where: The condition; None where every row counts.
        names: Every name in it that may be that of a column.
    """

    text: str
    items: tuple[str, ...]
    layer: Layer
    table: str
    alias: str
    where: str | None = None
    names: frozenset[str] = field(default=frozenset())


def parse_statement(text: object) -> Statement:
    """Take a statement apart.

    Raises:
        InvalidQueryError: It is not of the form that can be cited.
        InvalidConfigError: It names a layer that there is not.
    """
    if not isinstance(text, str) or not text.strip():
        raise InvalidQueryError("there is no statement", hint=FORM)
    tokens = list(tokens_of(text))
    while tokens and tokens[-1].text == ";":
        tokens.pop()
    _check_words(tokens)
    depths = _depths(tokens)
    top = {at: token for at, token in enumerate(tokens) if depths[at] == 0}
    begin = next((at for at, token in top.items() if token.upper == "FROM"), None)
    if begin is None:
        raise InvalidQueryError("the statement names no table", hint=FORM)
    where = next((at for at, token in top.items() if token.upper == "WHERE"), len(tokens))
    if where < begin:
        raise _unexpected(tokens[where])
    items = [_written(text, part) for part in _items(tokens[1:begin], depths[1:begin])]
    layer, table, alias = _source(tokens[begin + 1 : where])
    condition = tokens[where + 1 :]
    if where < len(tokens):
        _check_condition(condition, depths[where + 1 :])
    used = [*tokens[1:begin], *condition]
    return Statement(
        text=text.strip(),
        items=tuple(items),
        layer=layer,
        table=table,
        alias=alias,
        where=_written(text, condition) if condition else None,
        names=frozenset(token.name for token in used if token.name is not None),
    )


def tokens_of(text: str) -> Iterator[Token]:
    """The words, signs and values of a text.

    Raises:
        InvalidQueryError: It has something else.
    """
    at = 0
    before = ""
    while at < len(text):
        match = _TOKEN.match(text, at)
        kind = match.lastgroup if match is not None else None
        if match is None or kind is None or kind == "comment":
            what = "a comment" if kind == "comment" else f"{text[at]!r}"
            raise InvalidQueryError(
                f"the statement has {what} at character {at + 1}",
                hint="leave comments out; text stands in '...', a column of an odd name in \"...\"",
                character=at + 1,
            )
        # 1e, 5abc, E'...', 'a'"b": two things without a space mean other things elsewhere.
        if kind in ("word", "number", "string", "quoted") and before in (kind, *_CLOSE[kind]):
            raise InvalidQueryError(
                f"{match.group()!r} follows at once on what stands before it",
                hint="put a space between, or look at the quotes",
                character=at + 1,
            )
        if kind != "space":
            yield Token(kind, match.group(), at)
        before, at = kind, match.end()


_CLOSE = {
    "word": ("number", "string", "quoted"),
    "number": ("word", "string", "quoted"),
    "string": ("word", "number", "quoted"),
    "quoted": ("word", "number", "string"),
}


def _check_words(tokens: Sequence[Token]) -> None:
    """Refuse what is no single plain SELECT.

    Raises:
        InvalidQueryError: It is not.
    """
    if not tokens or tokens[0].upper != "SELECT":
        what = tokens[0].text if tokens else ";"
        raise InvalidQueryError(
            f"the statement begins with {what!r}: only SELECT is answered, nothing is changed",
            hint=FORM,
        )
    for token in tokens[1:]:
        if token.text == ";":
            raise InvalidQueryError("there is more than one statement", hint="give one at a time")
        if token.upper in _REFUSED:
            hint = _HINTS.get(token.upper, FORM)
            raise InvalidQueryError(
                f"{token.text} makes it unclear which rows the figure is of",
                hint=f'{hint}; a column of that name is written "{token.text}"',
                character=token.start + 1,
            )
        if token.upper in _CLOCKS:
            raise InvalidQueryError(
                f"{token.text} gives another value each time, so the figure could not be checked",
                hint=f'write the value; a column of that name is written "{token.text}"',
                character=token.start + 1,
            )
    if len(tokens) > 1 and tokens[1].upper in ("DISTINCT", "ALL", "TOP"):
        raise _unexpected(tokens[1])


def _depths(tokens: Sequence[Token]) -> list[int]:
    """In how many parentheses each token stands."""
    found: list[int] = []
    depth = 0
    for token in tokens:
        depth -= token.text == ")"
        if depth < 0:
            raise _unexpected(token)
        found.append(depth)
        depth += token.text == "("
    if depth:
        raise InvalidQueryError("a parenthesis is never closed", hint=FORM)
    return found


def _items(tokens: Sequence[Token], depths: Sequence[int]) -> list[list[Token]]:
    """What is selected, one by one."""
    items: list[list[Token]] = [[]]
    for token, depth in zip(tokens, depths, strict=True):
        if token.text == "," and depth == 0:
            items.append([])
            continue
        if token.text == "*" and (not items[-1] or items[-1][-1].text == "."):
            raise InvalidQueryError(
                "* is no figure", hint="name the columns or aggregates", character=token.start + 1
            )
        items[-1].append(token)
    for item in items:
        if not any(token.name is not None for token in item):
            said = " ".join(token.text for token in item)
            raise InvalidQueryError(
                f"{said!r} names no column" if said else "nothing is selected", hint=FORM
            )
    return items


def _source(tokens: Sequence[Token]) -> tuple[Layer, str, str]:
    """The table that is read: its layer, its address, and the name that qualifies columns.

    Raises:
        InvalidQueryError: It is no single table.
    """
    rest = list(tokens)
    parts: list[str] = []
    while rest and rest[0].name is not None:
        parts.append(str(rest.pop(0).name))
        if not rest or rest[0].text != ".":
            break
        rest.pop(0)
    alias = parts[-1].rpartition("/")[2] if parts else ""
    if rest and rest[0].upper == "AS":
        rest.pop(0)
        alias = ""
    if rest and rest[0].name is not None:
        alias = str(rest.pop(0).name)
    if rest or not alias or not 1 <= len(parts) <= _PARTS:
        what = f"{rest[0].text!r} stands behind FROM" if rest else "FROM names no table"
        if not rest and len(parts) > _PARTS:
            what = f"{'.'.join(parts)} has more than a layer and a table"
        raise InvalidQueryError(
            what, hint='name one table: revenue, silver.orders or gold."sales/revenue"'
        )
    layer = parse_layer(parts[0].lower()) if len(parts) == _PARTS else Layer.GOLD
    return layer, parts[-1], alias


def check_condition(text: str) -> None:
    """Refuse a condition that looks at other rows than the one that it judges.

    Raises:
        InvalidQueryError: It does, or is none.
    """
    tokens = list(tokens_of(text))
    _check_condition(tokens, _depths(tokens))


def _check_condition(tokens: Sequence[Token], depths: Sequence[int]) -> None:
    """Refuse a condition that looks at other rows than the one that it judges.

    Raises:
        InvalidQueryError: It does, or is none.
    """
    if not tokens:
        raise InvalidQueryError("WHERE has no condition", hint=FORM)
    before = [None, *tokens[:-1]]
    after = [*tokens[1:], None]
    for token, last, following, depth in zip(tokens, before, after, depths, strict=True):
        if following is not None and following.text == "(" and token.name is not None:
            _check_function(token, last)
        if depth == 0 and (token.text == "," or token.upper in ("FROM", "WHERE", "FOR")):
            raise _unexpected(token)


def _check_function(token: Token, last: Token | None) -> None:
    """Refuse what stands before a parenthesis, unless it is known to judge one row at a time.

    Raises:
        InvalidQueryError: It is not.
    """
    name = str(token.name)  # Polars takes a name in quotes for that of a function, too
    if name.upper() in ROW_BY_ROW or token.upper in BETWEEN_PARTS:
        return
    typed = last is not None and (last.upper == "AS" or last.text == "::")
    if typed and token.upper in SIZED_TYPES:
        return
    if name.upper() in AGGREGATES:
        text = f"WHERE has the aggregate {name}: it judges one row at a time"
        hint = "write the value that you compare with"
    else:
        text = f"WHERE has {name}(...), and what looks at other rows cannot be told from it"
        hint = f"{nearest(name.lower(), sorted(map(str.lower, ROW_BY_ROW)))}; or compute it in gold"
    raise InvalidQueryError(text, hint=hint, character=token.start + 1)


def _written(text: str, tokens: Sequence[Token]) -> str:
    """Tokens as they were written, with one space where there was any."""
    found = ""
    for token, before in zip(tokens, [None, *tokens[:-1]], strict=True):
        gap = before is not None and before.end < token.start
        found += (" " if gap else "") + text[token.start : token.end]
    return found


def _unexpected(token: Token) -> InvalidQueryError:
    return InvalidQueryError(
        f"{token.text!r} is not expected at character {token.start + 1}",
        hint=FORM,
        character=token.start + 1,
    )
