"""Conditions on rows: a line such as `year >= 2020 and lang in (de, fr)` as a small tree.

Takes: text in the grammar below. Gives: a tree that each store translates to its own filter.
Source: the conditions of SQL, with two truth values in place of three.

    where      = and-part {"or" and-part}
    and-part   = not-part {"and" not-part}
    not-part   = "not" not-part | "(" where ")" | condition
    condition  = name operator value | name ["not"] "in" "(" value {"," value} ")"
               | name "is" ["not"] "null"
    operator   = "=" | "==" | "!=" | "<" | "<=" | ">" | ">="
    value      = number | 'text' | "text" | true | false | word
    name       = word | "text"

A condition on a column that a row does not have is false, so `not` of it is true. Numbers compare
as 64-bit floats. Text in quotes that is written like a number also equals that number.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from labse.errors import UsageError
from labse.index.rows import IndexRow, Value, canonical_lang, is_unicode

__all__ = [
    "And",
    "Compare",
    "Equals",
    "IsMissing",
    "Not",
    "Or",
    "Where",
    "iter_names",
    "matches",
    "parse_where",
    "read_number",
]

Order: TypeAlias = Literal["<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Equals:
    """The column `name` is one of `values`."""

    name: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """The column `name` is a number on that side of `value`."""

    name: str
    order: Order
    value: float


@dataclass(frozen=True, slots=True)
class IsMissing:
    """The row has no column `name`."""

    name: str


@dataclass(frozen=True, slots=True)
class Not:
    """The part is false."""

    part: "Where"


@dataclass(frozen=True, slots=True)
class And:
    """All parts are true."""

    parts: tuple["Where", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One of the parts is true."""

    parts: tuple["Where", ...]


Where: TypeAlias = Equals | Compare | IsMissing | Not | And | Or

_MAX_LENGTH = 10_000
_MAX_DEPTH = 50
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?")
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*")
      | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
      | (?P<word>[^\W\d][\w.-]*)
      | (?P<sign><=|>=|!=|==|[=<>(),])
    )""",
    re.VERBOSE,
)
_KEYWORDS = ("and", "or", "not", "in", "is", "null", "true", "false")


def read_number(text: str) -> int | float | None:
    """Returns the number that a text is, if it is written as a number is; `007` is none."""
    if not _NUMBER.fullmatch(text) or len(text) > 18:
        return None
    return float(text) if "." in text else int(text)


def parse_where(text: str) -> Where:
    """Reads a condition; the grammar stands at the top of this module.

    Raises:
        UsageError: it does not follow the grammar; the message says where.
    """
    if len(text) > _MAX_LENGTH:
        raise UsageError(f"a condition of {len(text):,} characters; {_MAX_LENGTH:,} at most")
    if not is_unicode(text):
        raise UsageError("a condition that is not valid UTF-8; see which encoding it has")
    return _Parser(text).parse()


def matches(where: Where, row: IndexRow) -> bool:
    """Tells whether a condition is true for a row: the definition that all stores follow."""
    match where:
        case And(parts):
            return all(matches(part, row) for part in parts)
        case Or(parts):
            return any(matches(part, row) for part in parts)
        case Not(part):
            return not matches(part, row)
        case IsMissing(name):
            return _value_of(row, name) is None
        case Compare(name, order, bound):
            value = _value_of(row, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                return False
            number = float(value)
            below, above = number < bound, number > bound
            return {"<": below, "<=": not above, ">": above, ">=": not below}[order]
        case Equals(name, values):
            value = _value_of(row, name)
            return any(_equal(value, wanted) for wanted in values)


def iter_names(where: Where) -> Iterator[str]:
    """Yields the names of columns in a condition."""
    match where:
        case And(parts) | Or(parts):
            for part in parts:
                yield from iter_names(part)
        case Not(part):
            yield from iter_names(part)
        case Equals(name, _) | Compare(name, _, _) | IsMissing(name):
            yield name


def _value_of(row: IndexRow, name: str) -> Value | None:
    own: dict[str, Value] = {"id": row.id, "text": row.text, "lang": row.lang}
    return own[name] if name in own else row.metadata.get(name)


def _equal(value: Value | None, wanted: Value) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, int | float) and isinstance(wanted, int | float):
        return float(value) == float(wanted)
    return value == wanted


class _Parser:
    """Recursive descent over the tokens of one condition."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._read_tokens())
        self._next = 0
        self._depth = 0

    def parse(self) -> Where:
        where = self._or()
        if self._peek()[0] != "end":
            raise self._error("expected and, or, or the end")
        return where

    def _read_tokens(self) -> Iterator[tuple[str, str, int]]:
        position, end = 0, len(self._text.rstrip())
        while position < end:
            match = _TOKEN.match(self._text, position)
            if match is None:
                rest = self._text[position:][:20]
                raise UsageError(f"condition {self._text[:60]!r}: cannot be read at {rest!r}")
            kind, token = str(match.lastgroup), match[str(match.lastgroup)]
            if kind == "word" and token.lower() in _KEYWORDS:
                kind, token = "keyword", token.lower()
            yield kind, token, match.start(kind if kind != "keyword" else "word")
            position = match.end()
        yield "end", "", end

    def _peek(self) -> tuple[str, str, int]:
        return self._tokens[self._next]

    def _take(self, *tokens: str) -> str | None:
        """Steps over the next token if it is one of these."""
        kind, token, _ = self._peek()
        if kind in ("keyword", "sign") and token in tokens:
            self._next += 1
            return token
        return None

    def _error(self, expected: str) -> UsageError:
        position = self._peek()[2]
        found = self._text[position:].strip()[:20] or "the end"
        return UsageError(
            f"condition {self._text[:60]!r}: {expected}, found {found!r}; "
            "write for example: year >= 2020 and lang in (de, fr)"
        )

    def _or(self) -> Where:
        parts = [self._and()]
        while self._take("or"):
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _and(self) -> Where:
        parts = [self._not()]
        while self._take("and"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _not(self) -> Where:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise UsageError(f"a condition of more than {_MAX_DEPTH} levels; write it flatter")
        if self._take("not"):
            part: Where = Not(self._not())
        elif self._take("("):
            part = self._or()
            if not self._take(")"):
                raise self._error("expected )")
        else:
            part = self._condition()
        self._depth -= 1
        return part

    def _condition(self) -> Where:
        kind, token, _ = self._peek()
        if kind not in ("word", "quoted"):
            raise self._error("expected the name of a column")
        self._next += 1
        name = _unquote(token) if kind == "quoted" else token

        if self._take("is"):
            is_not = self._take("not")
            if not self._take("null"):
                raise self._error("expected null")
            return Not(IsMissing(name)) if is_not else IsMissing(name)
        is_not = self._take("not")
        if self._take("in"):
            part = Equals(name, self._values(name))
            return Not(part) if is_not else part
        if is_not:
            raise self._error("expected in")

        order = self._take("=", "==", "!=", "<", "<=", ">", ">=")
        if order is None:
            raise self._error(f"expected a comparison of {name}")
        start = self._next
        values = self._value(name)
        if order in ("=", "=="):
            return Equals(name, values)
        if order == "!=":
            return Not(Equals(name, values))
        number = values[-1]  # Of text in quotes that is a number, the number.
        if isinstance(number, str | bool):
            self._next = start
            raise self._error(f"{name} {order} compares numbers; text has =, != and in")
        return Compare(name, order, float(number))  # type: ignore[arg-type]

    def _values(self, name: str) -> tuple[Value, ...]:
        if not self._take("("):
            raise self._error("expected (")
        values = list(self._value(name))
        while self._take(","):
            values += self._value(name)
        if not self._take(")"):
            raise self._error("expected , or )")
        return tuple(values)

    def _value(self, name: str) -> tuple[Value, ...]:
        """Returns the value, and the number that a text in quotes is as well."""
        kind, token, _ = self._peek()
        if kind == "keyword" and token in ("true", "false"):
            self._next += 1
            return (token == "true",)
        if kind not in ("quoted", "number", "word"):
            raise self._error("expected a value")
        self._next += 1
        if kind == "number":
            number = float(token)
            if number in (float("inf"), float("-inf")):
                raise UsageError(f"condition {self._text[:60]!r}: {token} is out of range")
            is_whole = number == int(number) and abs(number) < 2**53
            return (int(number) if is_whole else number,)
        text = _unquote(token) if kind == "quoted" else token
        if name == "lang":
            return (canonical_lang(text),)
        also = read_number(text)
        return (text,) if also is None else (text, also)


def _unquote(token: str) -> str:
    quote = token[0]
    return token[1:-1].replace(quote * 2, quote)
