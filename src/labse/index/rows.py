"""Rows of an index: what is stored of a text beside its vector, and what a search returns.

Takes: ids, texts, languages, metadata. Gives: frozen records whose values every store can hold.
Source: JSON's values, since the engines keep metadata as JSON.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from labse.corpus.languages import canonical_tag, is_language
from labse.corpus.records import UNKNOWN_LANG

__all__ = [
    "MAX_COLUMNS",
    "OWN_COLUMNS",
    "Hit",
    "IndexRow",
    "Metadata",
    "Value",
    "canonical_lang",
    "columns_of",
    "is_unicode",
]

Value: TypeAlias = str | int | float | bool
Metadata: TypeAlias = Mapping[str, Value]

OWN_COLUMNS = ("id", "text", "lang")
MAX_COLUMNS = 256
"""Columns of metadata of a store; more are the mark of a table that lies on its side."""

_MAX_ID = 1024
_MAX_INT = 1 << 63
_BAD_NAME = re.compile(r'["\\\x00-\x1f\x7f]')


@dataclass(frozen=True, slots=True)
class IndexRow:
    """A text as it is stored.

    Attributes:
        id: unique in the store; adding it again replaces the row.
        text: what the vector is of.
        lang: a canonical tag, `und` if it is not known.
        metadata: values by the name of their column.

    Raises:
        ValueError: a value that no store can hold; the message says which.
    """

    id: str
    text: str
    lang: str = UNKNOWN_LANG
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks all values."""
        if not self.id or len(self.id) > _MAX_ID:
            raise ValueError(f"id {self.id[:40]!r}: give 1 to {_MAX_ID} characters")
        for name, text in (("id", self.id), ("text", self.text), ("lang", self.lang)):
            _check_text(name, text)
        for name, value in self.metadata.items():
            _check_name(name)
            _check_value(name, value)


@dataclass(frozen=True, slots=True)
class Hit:
    """A row that was found.

    Attributes:
        score: its cosine with the question.
        id: see `IndexRow`, as are the others.
        lang: a canonical tag.
        text: of the row.
        metadata: of the row.
    """

    score: float
    id: str
    lang: str
    text: str
    metadata: Metadata


def canonical_lang(code: str | None) -> str:
    """Returns the tag of a language, the code itself if it is not known, `und` for none."""
    if not code:
        return UNKNOWN_LANG
    return canonical_tag(code) if is_language(code) else code


def is_unicode(text: str) -> bool:
    """Tells whether a text has no lone surrogate, which comes of a wrong encoding."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def columns_of(rows: Iterable[IndexRow]) -> Sequence[str]:
    """Returns the names of the columns of metadata, in order of first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row.metadata))


def _check_text(name: str, text: str) -> None:
    if not isinstance(text, str):
        raise ValueError(f"{name} is {text!r}; expected text")
    if text.isascii() and "\0" not in text:
        return
    if "\0" in text:
        raise ValueError(f"{name}: holds the character NUL; remove it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        char = f"U+{ord(text[error.start]):04X}"
        raise ValueError(f"{name}: holds a lone surrogate ({char}); remove it") from None


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not name or len(name) > 64 or _BAD_NAME.search(name):
        raise ValueError(
            f"column {str(name)[:70]!r}: a name has 1 to 64 characters, no double quote, "
            "backslash or control character"
        )
    if name in OWN_COLUMNS:
        raise ValueError(f"column {name!r} of the metadata has a name that the index itself uses")
    _check_text("a name of a column", name)


def _check_value(name: str, value: object) -> None:
    if isinstance(value, str):
        _check_text(f"column {name!r}", value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"column {name!r} is {value}, no number; leave the value out")
    elif isinstance(value, int):  # Truth values are whole numbers too.
        if not -_MAX_INT <= value < _MAX_INT:
            raise ValueError(f"column {name!r} is {value}; a whole number has 64 bits at most")
    else:
        raise ValueError(
            f"column {name!r} is {type(value).__name__}; expected text, a number, true or false"
        )
