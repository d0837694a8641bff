"""Scores of the two texts of a pair, for `corpus clean`, `filter` and `mine` alike.

Takes: a source and a target. Gives: numbers that bounds are set on, flags that tell where to look.
Source: the filters of bicleaner and OpusFilter, as ideas; the constants are measured, see below and
docs/cleaning.md. Vectors hardly see a changed number (Chen et al. 2023, arXiv 2306.12907).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from labse.cleaning.numbers import number_mismatch

__all__ = [
    "FLAGS",
    "Flag",
    "flag_pair",
    "is_letterless",
    "length_ratio",
    "name_mismatch",
    "overlap",
    "score_pair_texts",
    "weighted_length",
]

Flag: TypeAlias = Literal["copy", "number", "name", "letterless"]
FLAGS: tuple[Flag, ...] = get_args(Flag)
_MIN_COPY_OVERLAP = 0.8

# How many letters of English one character stands for, measured on UDHR, Tatoeba and Bible pairs
# (English characters over theirs): Chinese 3.0 to 3.9, Japanese 2.3 to 2.5 (two thirds of it
# kana), Korean 2.0 to 2.2; every other script 0.7 to 1.9.
_HAN = re.compile(
    "[\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_KANA_OR_HANGUL = re.compile("[\u3040-\u30ff\u31f0-\u31ff\uac00-\ud7a3]")
_MAY_BE_WIDE = re.compile("[\u2e80-\U0003ffff]")
_HAN_WEIGHT, _KANA_OR_HANGUL_WEIGHT = 3.3, 2.0
# Added to both lengths, so that `OK` against `In Ordnung` is no scandal: the ratio of short texts
# says little.
_LENGTH_PRIOR = 15.0

_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[^\W\d_]+")
_ASCII_GAPS = {code: " " for code in range(128) if not chr(code).isalpha()}
# A letter after a space that may be a capital, which every name inside a sentence has.
_INNER_CAPITAL = re.compile(r"\s[^\W\d_a-z]")
_STEM = 4
# Of the words inside a sentence; chosen on Tatoeba and interface texts in four languages.
_MAX_NAME_SHARE = 0.25


def score_pair_texts(
    sources: Sequence[str], targets: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    """Returns (N,) columns `length_ratio`, `overlap`, `number_mismatch` and `name_mismatch`.

    Args:
        sources: N normalised texts, see `normalize_text`.
        targets: as many.
    """
    formulas = (length_ratio, overlap, number_mismatch, name_mismatch)
    return {
        formula.__name__: np.fromiter(map(formula, sources, targets), np.float32, len(sources))
        for formula in formulas
    }


def flag_pair(source: str, target: str) -> tuple[Flag, ...]:
    """Returns what is odd about a pair: a copy, another number or name, a side without letters."""
    is_odd = (
        overlap(source, target) >= _MIN_COPY_OVERLAP,
        number_mismatch(source, target) > 0,
        name_mismatch(source, target) > 0,
        is_letterless(source, target),
    )
    return tuple(flag for flag, is_set in zip(FLAGS, is_odd, strict=True) if is_set)


def is_letterless(source: str, target: str) -> bool:
    """Tells whether a side has no letter, as `5.1.4.` and `***` have none."""
    return not (_LETTER.search(source) and _LETTER.search(target))


# ---- length ----------------------------------------------------------------------------------


def weighted_length(text: str) -> float:
    """Returns the length in letters of English: a Han character counts 3.3, kana and Hangul 2."""
    if text.isascii() or not _MAY_BE_WIDE.search(text):
        return float(len(text))
    num_han = len(_HAN.findall(text))
    num_syllables = len(_KANA_OR_HANGUL.findall(text))
    extra = (_HAN_WEIGHT - 1) * num_han + (_KANA_OR_HANGUL_WEIGHT - 1) * num_syllables
    return len(text) + extra


def length_ratio(source: str, target: str) -> float:
    """Returns the longer weighted length over the shorter, both plus 15; 1 is equal."""
    lengths = weighted_length(source) + _LENGTH_PRIOR, weighted_length(target) + _LENGTH_PRIOR
    return max(lengths) / min(lengths)


# ---- words -----------------------------------------------------------------------------------


def overlap(source: str, target: str) -> float:
    """Returns the share of the letters that stand in words of both sides, of the side with more.

    1 for an untranslated copy, whatever its case, digits and punctuation; 0 without common words.
    Letters are counted, not words: `a`, `x` and `-p` stand on both sides of many good pairs.
    Scripts without spaces have words of whole phrases.
    """
    source_words, target_words = _words(source.lower()), _words(target.lower())
    distinct = set(source_words)
    common = distinct.intersection(target_words)
    if not common:  # The usual case, and counters are slow to make.
        return 0.0
    if len(distinct) == len(source_words):
        num_common = len("".join(common))
    else:
        counts = Counter(source_words) & Counter(target_words)
        num_common = sum(len(word) * count for word, count in counts.items())
    return num_common / max(len("".join(source_words)), len("".join(target_words)))


def _words(text: str) -> list[str]:
    """Returns the runs of letters."""
    if text.isascii():  # In three quarters of the time.
        return text.translate(_ASCII_GAPS).split()
    return _WORD.findall(text)


# ---- names -----------------------------------------------------------------------------------


def name_mismatch(source: str, target: str) -> float:
    """Returns 1 where each side names one thing that the other does not, else 0.

    A name is a capitalised word inside a sentence; any word of the other side with the same first
    four letters, accents aside, matches it. Only for two texts in Latin script, since a name in
    another script is spelled otherwise. Where capitals are many, as in German or in titles, or more
    than one name differs, as in the words of an interface, they tell nothing.
    """
    if not (_INNER_CAPITAL.search(source) and _INNER_CAPITAL.search(target)):
        return 0.0  # Most pairs; the search halves the time of all.
    if not (_is_latin(source) and _is_latin(target)):
        return 0.0
    source, target = _without_accents(source), _without_accents(target)
    return float(_num_unmatched(source, target) == 1 and _num_unmatched(target, source) == 1)


def _is_latin(text: str) -> bool:
    return text.isascii() or all(map(_is_latin_or_no_letter, set(text)))


@cache
def _is_latin_or_no_letter(char: str) -> bool:
    return not char.isalpha() or unicodedata.name(char, "").startswith("LATIN")


def _without_accents(text: str) -> str:
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", text)
    for mark in filter(unicodedata.combining, set(decomposed)):
        decomposed = decomposed.replace(mark, "")
    return decomposed


def _num_unmatched(text: str, other: str) -> int:
    """Counts the names of a text that the other has not; 0 if its capitals tell nothing."""
    inside = [word for word in _words_inside(text) if len(word) >= _STEM]
    names = [word for word in inside if word[0].isupper()]
    if not names or len(names) > max(1, _MAX_NAME_SHARE * len(inside)):
        return 0
    stems = {word.lower()[:_STEM] for word in _words(other)}
    return sum(name.lower()[:_STEM] not in stems for name in names)


def _words_inside(text: str) -> list[str]:
    """Returns the words that follow a small letter and spaces, so none that begins a sentence."""
    return [
        word.group()
        for before, chunk in pairwise(text.split())
        if before[-1].islower() and (word := _WORD.match(chunk))
    ]
