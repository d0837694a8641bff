"""Checks of a pair of texts, each a plain number that a bound is set on.

Takes: a source and a target. Gives: length ratio, overlap, disagreement of numbers.
Source: the filters of bicleaner and OpusFilter, as ideas; the constants are measured, see below.
"""

import re
from collections import Counter

__all__ = ["length_ratio", "number_mismatch", "overlap", "weighted_length"]

# How many letters of English one character stands for, measured on UDHR, Tatoeba and Bible pairs
# (English characters over theirs): Chinese 3.0 to 3.9, Japanese 2.3 to 2.5 (two thirds of it
# kana), Korean 2.0 to 2.2; every other script 0.7 to 1.9.
_HAN = re.compile(
    "[\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_KANA_OR_HANGUL = re.compile("[\u3040-\u30ff\u31f0-\u31ff\uac00-\ud7a3]")
_HAN_WEIGHT, _KANA_OR_HANGUL_WEIGHT = 3.3, 2.0
# Added to both lengths, so that `OK` against `In Ordnung` is no scandal: the ratio of short texts
# says little.
_LENGTH_PRIOR = 15.0

_WORD = re.compile(r"[^\W\d_]+")
_NUMBER = re.compile(r"\d+")
_GROUPED = re.compile(r"(?<=\d)[.,'’\u00a0\u202f\u066b\u066c ](?=\d{3}(?!\d))")


def weighted_length(text: str) -> float:
    """Returns the length in letters of English: a Han character counts 3.3, kana and Hangul 2."""
    if text.isascii():
        return float(len(text))
    num_han = len(_HAN.findall(text))
    num_syllables = len(_KANA_OR_HANGUL.findall(text))
    extra = (_HAN_WEIGHT - 1) * num_han + (_KANA_OR_HANGUL_WEIGHT - 1) * num_syllables
    return len(text) + extra


def length_ratio(source: str, target: str) -> float:
    """Returns the longer weighted length over the shorter, both plus 15; 1 is equal."""
    lengths = weighted_length(source) + _LENGTH_PRIOR, weighted_length(target) + _LENGTH_PRIOR
    return max(lengths) / min(lengths)


def overlap(source: str, target: str) -> float:
    """Returns the share of the letters that stand in words of both sides, of the side with more.

    1 for an untranslated copy, whatever its case, digits and punctuation; 0 without common words.
    Words of one letter count like all others; scripts without spaces have words of whole phrases.
    """
    source_words, target_words = _WORD.findall(source.lower()), _WORD.findall(target.lower())
    common = set(source_words).intersection(target_words)
    if not common:  # The usual case, and counters are slow to make.
        return 0.0
    source_counts, target_counts = Counter(source_words), Counter(target_words)
    num_common = sum(len(word) * min(source_counts[word], target_counts[word]) for word in common)
    return num_common / max(len("".join(source_words)), len("".join(target_words)))


def number_mismatch(source: str, target: str) -> float:
    """Returns the share of the numbers that the other side does not have; 0 if one side has none.

    One side may spell its numbers out, so nothing can be said then. Digits of all scripts are
    compared, in any order (12/31/2009, 31.12.2009), whatever groups them (1,000 and 1 000).
    """
    if not (_NUMBER.search(source) and _NUMBER.search(target)):
        return 0.0
    source_numbers, target_numbers = _numbers(source), _numbers(target)
    if sorted("".join(source_numbers.elements())) == sorted("".join(target_numbers.elements())):
        return 0.0
    num_common = (source_numbers & target_numbers).total()
    most = max(source_numbers.total(), target_numbers.total())
    return 1 - num_common / most


def _numbers(text: str) -> Counter[str]:
    numbers = _NUMBER.findall(_GROUPED.sub("", text))
    return Counter(str(int(number)) if len(number) <= 18 else number for number in numbers)
