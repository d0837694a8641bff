"""Features of the quality model: hashed n-grams of characters and words.

Takes: texts. Gives: buckets of a hash table, order by order, for all texts at once.
Source: Weinberger et al. 2009, feature hashing; here vectorised, and the same code trains and
scores, so that scoring needs NumPy alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labse.cleaning.characters import DIGIT, SPACE, TextBlock, build_block, kinds_of

__all__ = ["BUCKET_BITS", "Buckets", "iter_buckets"]

BUCKET_BITS = 18
_CHARACTER_ORDERS = (1, 2, 3, 4, 5)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: Knuth, TAOCP 6.4.
_ZERO = np.uint64(ord("0"))


@dataclass(frozen=True, slots=True)
class Buckets:
    """The features of one order of N texts.

    Attributes:
        buckets: (F,) int64 below 2^18, text after text.
        counts: (N,) int64 how many of them each text has.
    """

    buckets: NDArray[np.int64]
    counts: NDArray[np.int64]


def iter_buckets(texts: Sequence[str]) -> Iterator[Buckets]:
    """Yields 1- to 5-grams of characters, then words and pairs of words.

    Every digit is `0`. Both ends of a text are characters of its n-grams; a word is what stands
    between spaces, a phrase in scripts without them. Case counts: titles are not prose.
    """
    block = build_block(texts)
    kinds = kinds_of(block)
    letters = np.where(kinds == DIGIT, _ZERO, block.code_points.astype(np.uint64))
    yield from _iter_character_grams(block, letters)
    yield from _iter_word_grams(block, letters, kinds == SPACE)


def _iter_character_grams(block: TextBlock, letters: NDArray[np.uint64]) -> Iterator[Buckets]:
    bounded = np.concatenate(([np.uint64(ord("\n"))], letters))  # Text i starts at starts[i] + 1.
    hashes = np.zeros(len(bounded), np.uint64)
    for order in _CHARACTER_ORDERS:
        stop = max(len(bounded) - order + 1, 0)
        hashes = (hashes[:stop] + bounded[order - 1 :][:stop] + np.uint64(1)) * _MULTIPLIER
        hashes ^= hashes >> np.uint64(31)
        is_single = order == 1  # Not the ends alone.
        starts = block.starts + is_single
        counts = np.maximum(block.lengths + 2 - 2 * is_single - order + 1, 0)
        yield Buckets(_to_buckets(hashes[_ranges(starts, counts)], order), counts)


def _iter_word_grams(
    block: TextBlock, letters: NDArray[np.uint64], is_space: NDArray[np.bool_]
) -> Iterator[Buckets]:
    is_gap = is_space.copy()
    is_gap[block.starts + block.lengths] = True
    is_first = ~is_gap & np.concatenate(([True], is_gap[:-1]))
    firsts = np.flatnonzero(is_first)
    counts = block.sum(is_first, np.int64).astype(np.int64)
    if not len(firsts):
        yield from (Buckets(firsts, counts), Buckets(firsts, counts))
        return
    widths = np.diff(firsts, append=len(letters))
    places = np.arange(firsts[0], len(letters)) - np.repeat(firsts, widths)
    mixed = (letters[firsts[0] :] + (places.astype(np.uint64) << np.uint64(32))) * _MULTIPLIER
    mixed = (mixed ^ (mixed >> np.uint64(29))) * _MULTIPLIER
    mixed[is_gap[firsts[0] :]] = 0
    words = np.add.reduceat(mixed, firsts - firsts[0])
    yield Buckets(_to_buckets(words, 11), counts)
    pair_counts = np.maximum(counts - 1, 0)
    lefts = _ranges(np.cumsum(counts) - counts, pair_counts)
    yield Buckets(_to_buckets(words[lefts] * _MULTIPLIER + words[lefts + 1], 12), pair_counts)


def _ranges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns `starts[i], starts[i] + 1, ...`, `counts[i]` of them, for each i."""
    offsets = np.repeat(starts - (np.cumsum(counts) - counts), counts)
    places: NDArray[np.int64] = np.arange(len(offsets)) + offsets
    return places


def _to_buckets(hashes: NDArray[np.uint64], salt: int) -> NDArray[np.int64]:
    """Spreads hashes over the table, another way for each order."""
    salted = (hashes ^ np.uint64(salt << 56 | salt)) * _MULTIPLIER
    buckets: NDArray[np.int64] = (salted >> np.uint64(64 - BUCKET_BITS)).astype(np.int64)
    return buckets
