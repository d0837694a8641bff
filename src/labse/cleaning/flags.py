r"""Signs that two similar sentences are no translations: a copy, another number, another name.

Takes: the two texts of a pair. Gives: flags, which tell what to look at; no pair is judged.
Source: rules of spelling that need no language: digits and capitals. Vectors hardly see a changed
number (Chen et al. 2023, arXiv 2306.12907).
"""

import re
import unicodedata
from collections import Counter
from typing import Literal, TypeAlias, get_args

__all__ = ["FLAGS", "Flag", "copy_ratio", "flag_pair", "has_other_names", "has_other_numbers"]

Flag: TypeAlias = Literal["copy", "number", "name"]
FLAGS: tuple[Flag, ...] = get_args(Flag)

MAX_COPY_RATIO = 0.8
_MAX_CHARS = 2000  # Of a text that is looked at.
# Digits with single separators of thousands or decimals inside: 1,234.5 and 1 234,5 are one number.
_NUMBER = re.compile(r"\d+(?:[.,'’\u066b\u066c\u00a0\u202f ]\d{3}(?!\d))*(?:[.,\u066b]\d+)?")
_NO_DIGIT = re.compile(r"\D")
_WORD = re.compile(r"[^\W\d_]+")
# Up to here languages spell numbers out at will: "3 dogs", "three dogs".
_MAX_SPELLED = 12
_STEM = 4
# Of the words inside a sentence; chosen on Tatoeba and interface texts in four languages.
_MAX_NAME_SHARE = 0.25


def flag_pair(source: str, target: str) -> tuple[Flag, ...]:
    """Returns the flags of a pair, none of them if nothing is odd."""
    source, target = source[:_MAX_CHARS], target[:_MAX_CHARS]
    flags: list[Flag] = []
    if copy_ratio(source, target) >= MAX_COPY_RATIO:
        flags.append("copy")
    if has_other_numbers(source, target):
        flags.append("number")
    if has_other_names(source, target):
        flags.append("name")
    return tuple(flags)


def copy_ratio(source: str, target: str) -> float:
    """Returns the share of words, of the longer side, that stand on both: 1 for a copy.

    Case, punctuation and the order of words do not count. A text without letters has none: 0.
    """
    left, right = _words(source), _words(target)
    if left == right:
        return 1.0 if left else 0.0
    shared = (left & right).total()
    return shared / max(left.total(), right.total()) if shared else 0.0


def has_other_numbers(source: str, target: str) -> bool:
    """Tells whether a number of one side is missing on the other.

    Digits of any script count, separators do not. A number up to 12 may be spelled out, so it is
    missed only where the other side has a number too much as well.
    """
    left, right = _numbers(source), _numbers(target)
    missing, added = left - right, right - left
    if missing and added:
        return True
    return any(len(number) > 2 or int(number) > _MAX_SPELLED for number in missing + added)


def has_other_names(source: str, target: str) -> bool:
    """Tells whether each side names one thing that the other does not.

    A name is a capitalised word inside a sentence; any word of the other side with the same first
    four letters, accents aside, matches it. Only for two texts in Latin script, since a name in
    another script is spelled otherwise. Where capitals are many, as in German or in titles, or more
    than one name differs, as in the words of an interface, they tell nothing.
    """
    if not (_is_latin(source) and _is_latin(target)):
        return False
    left, right = _folded(source), _folded(target)
    return _num_unmatched(left, right) == 1 and _num_unmatched(right, left) == 1


def _words(text: str) -> Counter[str]:
    if text.isascii():
        return Counter(_WORD.findall(text.lower()))
    return Counter(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def _numbers(text: str) -> Counter[str]:
    numbers: Counter[str] = Counter()
    for match in _NUMBER.findall(text):
        digits = "".join(str(unicodedata.decimal(char)) for char in _NO_DIGIT.sub("", match))
        numbers[digits.lstrip("0") or "0"] += 1
    return numbers


def _is_latin(text: str) -> bool:
    if text.isascii():
        return True
    return all(unicodedata.name(char, "").startswith("LATIN") for char in text if char.isalpha())


def _folded(text: str) -> str:
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def _num_unmatched(text: str, other: str) -> int:
    """Counts the names of a text that the other has not; 0 if its capitals tell nothing."""
    inside = [
        match.group()
        for match in _WORD.finditer(text)
        if len(match.group()) >= _STEM and _follows_small_letter(text, match.start())
    ]
    names = [word for word in inside if word[0].isupper()]
    if not names or len(names) > max(1, _MAX_NAME_SHARE * len(inside)):
        return 0
    stems = {word.lower()[:_STEM] for word in _WORD.findall(other)}
    return sum(name.lower()[:_STEM] not in stems for name in names)


def _follows_small_letter(text: str, start: int) -> bool:
    before = text[:start].rstrip(" ")
    return bool(before) and before[-1].islower()
