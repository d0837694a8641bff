"""What pages have in common beside their vectors: numbers, and words that translate each other.

Takes: the sentences of pages. Gives: sparse matrices, a row a page; a word list learnt from pairs.
Source: numbers and dates as a signal: Fernando et al. 2022; translated words that are rare:
    Uszkoreit et al. 2010. Here the words are learnt from the surest pairs of the site itself, by
    Dice's coefficient (Smadja et al. 1996), so that no dictionary is needed.

Dimensions: P pages, W words of one side, V of the other.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from labse.runtime import require
from labse.web.sparse_rows import SparseRows, count_values

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = [
    "Bag",
    "Bags",
    "count_page",
    "learn_translations",
    "number_rows",
    "translate_rows",
    "unit_word_rows",
    "word_rows",
]

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
_CHUNK_PAGES = 512
_MAX_MEETINGS = 200_000  # Of words of both sides that are counted at a time.
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


class Bags:
    """The numbers or the words of the pages of one side, chunk by chunk."""

    def __init__(
        self,
        read: Callable[[NDArray[np.int64]], tuple[NDArray[np.uint64], NDArray[np.int64]]],
        pages: NDArray[np.int64],
        num_values: int,
        release: Callable[[], None],
    ) -> None:
        """Keeps how they are read: `read` gives values and lengths of pages, `release` lets go."""
        self._read, self._pages, self._release = read, pages, release
        self.num_values = num_values

    def __len__(self) -> int:
        return len(self._pages)

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.int64]]]:
        for start in range(0, len(self._pages), _CHUNK_PAGES):
            yield self._read(self._pages[start : start + _CHUNK_PAGES])
            self._release()


def number_rows(bags: tuple[Bags, Bags], folder: Path) -> tuple[SparseRows, SparseRows]:
    """Returns unit rows of the numbers of both sides, in the same columns; rare ones weigh more.

    Args:
        bags: of both sides.
        folder: for what is too much for memory.
    """
    vocabulary, pages = count_values(
        lambda: (chunk for side in bags for chunk, _ in side), sum(side.num_values for side in bags)
    )
    idf = np.log(sum(len(side) for side in bags) / pages)

    def build(side: Bags, name: str) -> SparseRows:
        blocks = (_unit_rows(_rows(*chunk, vocabulary), idf, _MIN_NORM) for chunk in side)
        return SparseRows(blocks, len(vocabulary), side.num_values, folder / name)

    return build(bags[0], "source-numbers"), build(bags[1], "target-numbers")


def word_rows(bags: Bags, path: Path) -> tuple[SparseRows, NDArray[np.float64]]:
    """Returns (P, W) which words a page has, and (W,) their weights; common words have none.

    Args:
        bags: of one side.
        path: files of this name hold what is too much for memory.
    """
    vocabulary, pages = count_values(lambda: (chunk for chunk, _ in bags), bags.num_values)
    is_kept = pages <= max(2, _MAX_PAGE_SHARE * len(bags))
    vocabulary = vocabulary[is_kept]
    blocks = (_rows(*chunk, vocabulary) for chunk in bags)
    rows = SparseRows(blocks, len(vocabulary), bags.num_values, path)
    return rows, np.log(len(bags) / pages[is_kept])


def learn_translations(
    source: SparseRows, target: SparseRows, pairs: NDArray[np.int64]
) -> "csr_matrix":
    """Returns (W, V) how surely a word stands for another, 0 for most, learnt from paired pages.

    Dice: 2 * pages of pairs with both words / (pages with the one + pages with the other)

    Args:
        source: (P, W) words of pages.
        target: (Q, V) words of those of the other language.
        pairs: (N, 2) which of them are pairs.
    """
    sparse = require("scipy.sparse", "corpus")
    left, right = source.gather(pairs[:, 0]), target.gather(pairs[:, 1])
    totals = [np.asarray(side.sum(axis=0)).ravel() for side in (left, right)]

    # Some words at a time: all words that meet any other are too many for memory.
    words = left.T.tocsr()
    meetings = np.cumsum(words @ np.diff(right.indptr).astype(np.float64))
    parts = np.searchsorted(meetings, np.arange(0, meetings[-1:].sum(), _MAX_MEETINGS))
    edges = np.unique([0, *parts.tolist(), words.shape[0]])
    nothing = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    found = [nothing] + [
        _best_translations(words[start:stop] @ right, start, totals, len(pairs))
        for start, stop in pairwise(edges.tolist())
    ]
    rows, columns, dice = (np.concatenate(column) for column in zip(*found, strict=True))
    shape = (source.num_columns, target.num_columns)
    return sparse.csr_matrix((dice, (rows, columns)), shape=shape)


def _best_translations(
    both: "csr_matrix", start: int, totals: Sequence[NDArray[Any]], num_pairs: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Returns rows, columns and Dice of the best translations of some words, numbered from `start`.

    Args:
        both: pages of pairs that have a word of the one side and one of the other.
        start: the number of the first word.
        totals: pages that have each word, of both sides.
        num_pairs: all pairs.
    """
    both = both.tocoo()
    places = both.row.astype(np.int64) + start
    of_source, of_target = totals[0][places], totals[1][both.col]
    dice = 2 * both.data / (of_source + of_target)
    by_chance = of_source * of_target / max(1, num_pairs)
    is_kept = (both.data >= 2) & (dice >= _MIN_DICE) & (both.data > 2 * by_chance)
    rows, columns, dice = places[is_kept], both.col[is_kept].astype(np.int64), dice[is_kept]
    order = np.lexsort((columns, -dice, rows))
    rows, columns, dice = rows[order], columns[order], dice[order]
    is_best = np.arange(len(rows)) - np.searchsorted(rows, rows) < _MAX_TRANSLATIONS
    return rows[is_best], columns[is_best], dice[is_best].astype(np.float64)


def _rows(
    joined: NDArray[np.uint64], lengths: NDArray[np.int64], vocabulary: NDArray[np.uint64]
) -> "csr_matrix":
    sparse = require("scipy.sparse", "corpus")
    shape = (len(lengths), len(vocabulary))
    if not len(vocabulary):
        return sparse.csr_matrix(shape, dtype=np.float32)
    rows = np.repeat(np.arange(len(lengths)), lengths)
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
    rows: SparseRows, weights: NDArray[np.float64], translations: "csr_matrix", path: Path
) -> SparseRows:
    """Returns unit rows of what the words of pages stand for on the other side."""
    ones = np.ones(translations.shape[1])

    def translate(block: "csr_matrix") -> "csr_matrix":
        translated: Any = _unit_rows(block, weights) @ translations
        return _unit_rows(translated.tocsr(), ones)

    blocks = rows.map_blocks(_CHUNK_PAGES, translate)
    num_entries = _MAX_TRANSLATIONS * int(rows.column_counts.sum())
    return SparseRows(blocks, translations.shape[1], num_entries, path)


def unit_word_rows(rows: SparseRows, weights: NDArray[np.float64], path: Path) -> SparseRows:
    """Returns unit rows of the words of pages, rare ones weighing more."""
    blocks = rows.map_blocks(_CHUNK_PAGES, lambda block: _unit_rows(block, weights))
    return SparseRows(blocks, rows.num_columns, int(rows.column_counts.sum()), path)
