"""What pages have in common beside their vectors: numbers, and words that translate each other.

Takes: the sentences of pages. Gives: sparse matrices, a row a page; a word list learnt from pairs.
Source: numbers and dates as a signal: Fernando et al. 2022; translated words that are rare:
    Uszkoreit et al. 2010. Here the words are learnt from the surest pairs of the site itself, by
    Dice's coefficient (Smadja et al. 1996), so that no dictionary is needed.

Dimensions: P pages, W words of one side, V of the other.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from labse.runtime import require

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Bag", "count_page", "learn_translations", "number_rows", "word_rows"]

Bag: TypeAlias = NDArray[np.uint64]
"""Hashes of the distinct words or numbers of a page, sorted."""

_NUMBER = re.compile(r"\d+")
# Marks, which \w leaves out, are letters in the scripts of India; Chinese, Japanese and Thai write
# no spaces, so pairs of characters stand for words.
_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|[\u0300-\u036f\u0900-\u0dff\u0f00-\u109f\u200c\u200d])*")
_WIDE = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]{2,}"
)
_MAX_WORDS = 1_000  # Distinct ones of a page.
_MAX_PAGE_SHARE = 0.3  # Of pages with a word; a commoner one tells no two apart.
_MIN_DICE = 0.15
_MAX_TRANSLATIONS = 3
# Rows shorter than this are not made unit rows: that the one number of two pages is the same says
# little. One number that is on one of a hundred pages has a length of 4.6.
_MIN_NORM = 4.0


def count_page(sentences: Iterable[str], counts: Iterable[int]) -> tuple[Bag, Bag]:
    """Returns the numbers and the words of a page; of what all pages repeat, nothing.

    Args:
        sentences: the text.
        counts: on how many pages each stands.
    """
    numbers: Counter[str] = Counter()
    words: dict[str, None] = {}
    for sentence, count in zip(sentences, counts, strict=True):
        if count > 3 and len(words) > 50:
            continue
        for digits in _NUMBER.findall(sentence):
            # Digits of every script; 08 and 8 are one. The second 5 of a page is another word.
            value = str(int(digits)) if len(digits) < 15 else digits
            numbers[value] += 1
        for word in _WORD.findall(sentence.lower()):
            if len(words) >= _MAX_WORDS:
                break
            if _WIDE.fullmatch(word):
                words.update(dict.fromkeys(word[n : n + 2] for n in range(len(word) - 1)))
            else:
                words[word] = None
    repeated = [f"{value} {n}" for value, total in numbers.items() for n in range(min(total, 4))]
    return _hash(repeated), _hash(words)


def _hash(words: Iterable[str]) -> Bag:
    digest = require("xxhash", "corpus").xxh3_64_intdigest
    return np.unique(
        np.array([digest(w.encode("utf-8", "surrogatepass")) for w in words], np.uint64)
    )


def number_rows(source: Sequence[Bag], target: Sequence[Bag]) -> "tuple[csr_matrix, csr_matrix]":
    """Returns unit rows of the numbers of both sides, in the same columns; rare ones weigh more."""
    vocabulary, pages = np.unique(np.concatenate([*source, *target]), return_counts=True)
    num_pages = len(source) + len(target)
    is_kept = pages > 1
    vocabulary, idf = vocabulary[is_kept], np.log(num_pages / pages[is_kept])
    rows = [_unit_rows(_rows(bags, vocabulary), idf, _MIN_NORM) for bags in (source, target)]
    return rows[0], rows[1]


def word_rows(bags: Sequence[Bag]) -> "tuple[csr_matrix, NDArray[np.float64]]":
    """Returns (P, W) which words a page has, and (W,) their weights; common words have none."""
    vocabulary, pages = np.unique(
        np.concatenate([np.zeros(0, np.uint64), *bags]), return_counts=True
    )
    is_kept = (pages > 1) & (pages <= max(2, _MAX_PAGE_SHARE * len(bags)))
    vocabulary = vocabulary[is_kept]
    return _rows(bags, vocabulary), np.log(len(bags) / pages[is_kept])


def learn_translations(
    source: "csr_matrix", target: "csr_matrix", pairs: NDArray[np.int64]
) -> "csr_matrix":
    """Returns (W, V) how surely a word stands for another, 0 for most, learnt from paired pages.

    Dice: 2 * pages of pairs with both words / (pages with the one + pages with the other)

    Args:
        source: (P, W) words of pages.
        target: (Q, V) words of those of the other language.
        pairs: (N, 2) which of them are pairs.
    """
    sparse = require("scipy.sparse", "corpus")
    left, right = source[pairs[:, 0]], target[pairs[:, 1]]
    both = (left.T @ right).tocoo()
    totals = [np.asarray(side.sum(axis=0)).ravel() for side in (left, right)]
    of_source, of_target = totals[0][both.row], totals[1][both.col]
    dice = 2 * both.data / (of_source + of_target)
    by_chance = of_source * of_target / max(1, len(pairs))
    is_kept = (both.data >= 2) & (dice >= _MIN_DICE) & (both.data > 2 * by_chance)
    rows, columns, dice = both.row[is_kept], both.col[is_kept], dice[is_kept]

    # The best translations of each word.
    order = np.lexsort((columns, -dice, rows))
    rows, columns, dice = rows[order], columns[order], dice[order]
    firsts = np.searchsorted(rows, rows)
    is_best = np.arange(len(rows)) - firsts < _MAX_TRANSLATIONS
    shape = (source.shape[1], target.shape[1])
    return sparse.csr_matrix((dice[is_best], (rows[is_best], columns[is_best])), shape=shape)


def _rows(bags: Sequence[Bag], vocabulary: NDArray[np.uint64]) -> "csr_matrix":
    sparse = require("scipy.sparse", "corpus")
    lengths = [len(bag) for bag in bags]
    joined = np.concatenate([np.zeros(0, np.uint64), *bags])
    rows = np.repeat(np.arange(len(bags)), lengths)
    shape = (len(bags), len(vocabulary))
    if not len(vocabulary):
        return sparse.csr_matrix(shape, dtype=np.float32)
    columns = np.minimum(np.searchsorted(vocabulary, joined), len(vocabulary) - 1)
    is_known = vocabulary[columns] == joined
    values = np.ones(int(is_known.sum()), np.float32)
    return sparse.csr_matrix((values, (rows[is_known], columns[is_known])), shape=shape)


def _unit_rows(
    rows: "csr_matrix", weights: NDArray[np.float64], min_norm: float = 1e-9
) -> "csr_matrix":
    """Returns weighted rows of length 1; those below `min_norm` are divided by that."""
    sparse = require("scipy.sparse", "corpus")
    weighted: Any = rows @ sparse.diags(weights)
    norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    return (sparse.diags(1 / np.maximum(norms, min_norm)) @ weighted).tocsr().astype(np.float32)


def translate_rows(
    rows: "csr_matrix", weights: NDArray[np.float64], translations: "csr_matrix"
) -> "csr_matrix":
    """Returns unit rows of what the words of pages stand for on the other side."""
    translated: Any = _unit_rows(rows, weights) @ translations
    return _unit_rows(translated.tocsr(), np.ones(translations.shape[1]))


def unit_word_rows(rows: "csr_matrix", weights: NDArray[np.float64]) -> "csr_matrix":
    """Returns unit rows of the words of pages, rare ones weighing more."""
    return _unit_rows(rows, weights)
