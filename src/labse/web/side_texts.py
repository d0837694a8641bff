"""How alike the texts of pages of two languages are, by vectors, numbers and words.

Takes: what `PageArrays` holds of both sides. Gives: of each page the nearest of the other side, and
    the parts of the likeness of any two.
Source: numbers as a signal: Fernando et al. 2022; words: Uszkoreit et al. 2010. Pages are compared
    tile by tile, so memory does not grow with N times M.

Dimensions: N and M pages of the two languages, D of a vector, C candidates.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from labse.files.npy import write_array
from labse.files.stage import open_stage
from labse.search.approximate import approximate_neighbours
from labse.web.page_arrays import BagName, PageArrays
from labse.web.sparse_rows import SparseRows
from labse.web.words import (
    Bags,
    learn_translations,
    number_rows,
    translate_rows,
    unit_word_rows,
    word_rows,
)

__all__ = ["NUMBER_WEIGHT", "WORD_WEIGHT", "SideTexts", "TextPages"]

NUMBER_WEIGHT, WORD_WEIGHT = 0.7, 1.5
"""What the cosines of numbers and of words are worth beside that of vectors."""

_TILE = 512  # Pages of a side that are compared at a time: 1 MB for each measure.
_MAX_CELLS = 1 << 34  # Pairs of pages that are all compared: 130,000 pages of each language.
_MEASURED = 2048  # Candidates that are measured at a time.
_MAX_WORD_PAIRS = 20_000_000  # That are counted, the surest pages first: 1,100 news, 200 manuals.
_MAX_PRODUCTS = 2_000_000_000  # Of numbers or words that both have; the commonest say least.
_Floats: TypeAlias = NDArray[np.floating]


@dataclass(frozen=True, slots=True, eq=False)
class TextPages:
    """The pages of one language: their texts, and which of them, (N,), ascending."""

    arrays: PageArrays
    pages: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pages)

    def bags(self, name: BagName) -> Bags:
        """Returns their numbers or words."""
        arrays = self.arrays
        num_values = int(arrays.bag_sizes(name, self.pages).sum())
        return Bags(lambda pages: arrays.bags(name, pages), self.pages, num_values, arrays.release)


class SideTexts:
    """The texts of both sides, whose pages are compared tile by tile."""

    def __init__(self, source: TextPages, target: TextPages, folder: Path) -> None:
        """Prepares vectors, numbers and words; what is too much for memory goes to `folder`."""
        self._sides, self._folder = (source, target), folder
        self._by_index: NDArray[np.int64] | None = None
        self._means = [_mean_vector(side) for side in self._sides]
        numbers = number_rows((source.bags("numbers"), target.bags("numbers")), folder)
        self._sparse = [(NUMBER_WEIGHT, *_limit_products(*numbers, folder / "few-numbers"))]
        self._words = [
            word_rows(side.bags("words"), folder / f"{name}-words")
            for side, name in zip(self._sides, ("source", "target"), strict=True)
        ]

    def learn(self, pairs: NDArray[np.int64]) -> None:
        """Learns from (P, 2) places of sure pairs, the surest first, which words are alike."""
        (rows, weights), (other_rows, other_weights) = self._words
        sizes = rows.row_sizes[pairs[:, 0]] * other_rows.row_sizes[pairs[:, 1]]
        pairs = pairs[np.cumsum(sizes) <= _MAX_WORD_PAIRS]
        translations = learn_translations(rows, other_rows, pairs)
        translated = translate_rows(rows, weights, translations, self._folder / "translated")
        units = unit_word_rows(other_rows, other_weights, self._folder / "units")
        limited = _limit_products(translated, units, self._folder / "few-words")
        self._sparse = [*self._sparse[:1], (WORD_WEIGHT, *limited)]

    def find_nearest(self, k: int) -> NDArray[np.int64]:
        """Returns (C,) n * M + m of all m that are among the k nearest of n, or the other way."""
        sizes = len(self._sides[0]), len(self._sides[1])
        if sizes[0] * sizes[1] > _MAX_CELLS:
            return self._find_approximately(k)
        best = [_Best(sizes[0], min(k, sizes[1])), _Best(sizes[1], min(k, sizes[0]))]
        for rows in _tiles(sizes[0]):
            vectors = self._vectors(0, np.arange(rows.start, rows.stop))
            sparse = [(weight, left.block(rows), right) for weight, left, right in self._sparse]
            for columns in _tiles(sizes[1]):
                text = vectors @ self._vectors(1, np.arange(columns.start, columns.stop)).T
                for weight, left, right in sparse:
                    text += weight * (left @ right.block(columns).T).toarray()
                best[0].add(rows, columns, text)
                best[1].add(columns, rows, text.T)
                self._release()
        return _join_keys(best[0].places, best[1].places)

    def _find_approximately(self, k: int) -> NDArray[np.int64]:
        """Returns candidates by an index of the vectors alone, twice as many."""
        if self._by_index is None:
            source, target = (self._folder / f"{name}-centred.npy" for name in ("source", "target"))
            for number, (side, path) in enumerate(zip(self._sides, (source, target), strict=True)):
                width = self._means[number].shape
                with write_array(path, np.float32, width) as append:
                    for part in _tiles(len(side)):
                        append(self._vectors(number, np.arange(part.start, part.stop)))
                        self._release()
            with open_stage(None, {}) as stage:
                forward, backward = (
                    approximate_neighbours(side, other, 2 * k, stage, name=name).found.neighbours
                    for name, side, other in (
                        ("forward", source, target),
                        ("backward", target, source),
                    )
                )
                self._by_index = _join_keys(forward, backward)
        return self._by_index

    def measure(self, candidates: NDArray[np.int64]) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Yields (some, 3) the cosines of vectors, numbers and words of candidates, n * M + m.

        That of words is 0 where none were learnt.
        """
        for start in range(0, len(candidates), _MEASURED):
            n, m = np.divmod(candidates[start : start + _MEASURED], len(self._sides[1]))
            parts = np.zeros((len(n), 3), np.float32)
            parts[:, 0] = np.einsum("cd,cd->c", self._vectors(0, n), self._vectors(1, m))
            for column, (_, left, right) in enumerate(self._sparse, start=1):
                products = left.gather(n).multiply(right.gather(m))
                parts[:, column] = np.asarray(products.sum(axis=1)).ravel()
            yield slice(start, start + len(n)), parts
            self._release()

    def _vectors(self, side: int, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns unit vectors less what all pages of the language have in common."""
        texts = self._sides[side]
        return _unit(texts.arrays.vectors(texts.pages[places]) - self._means[side])

    def _release(self) -> None:
        for _, left, right in self._sparse:
            left.release()
            right.release()
        for side in self._sides:
            side.arrays.release()


class _Best:
    """The k best of the other side for each page of one side, while tiles pass by."""

    def __init__(self, size: int, k: int) -> None:
        self._values = np.full((size, k), -np.inf, np.float32)
        self.places = np.zeros((size, k), np.int32)

    def add(self, rows: slice, columns: slice, text: _Floats) -> None:
        values, places = self._values[rows], self.places[rows]
        k = values.shape[1]
        # Few of a later tile are among the best: the others are not sorted.
        chosen = np.flatnonzero(text.max(axis=1) > values.min(axis=1))
        joined = np.concatenate([values[chosen], text[chosen]], axis=1)
        order = np.argpartition(joined, joined.shape[1] - k, axis=1)[:, -k:]
        numbers = np.arange(columns.start, columns.stop, dtype=np.int32)
        numbers = np.concatenate(
            [places[chosen], np.broadcast_to(numbers, (len(chosen), len(numbers)))], axis=1
        )
        values[chosen] = np.take_along_axis(joined, order, axis=1)
        places[chosen] = np.take_along_axis(numbers, order, axis=1)


def _join_keys(
    forward: NDArray[np.integer[Any]], backward: NDArray[np.integer[Any]]
) -> NDArray[np.int64]:
    """Returns n * M + m, ascending, of (N, k) and (M, k) places of the nearest of both sides."""
    num_source, num_target = len(forward), len(backward)
    keys = np.empty(forward.size + backward.size, np.int64)
    ahead, turned = keys[: forward.size], keys[forward.size :]
    np.add(np.arange(num_source)[:, None] * num_target, forward, out=ahead.reshape(forward.shape))
    np.multiply(backward, num_target, out=turned.reshape(backward.shape), dtype=np.int64)
    turned.reshape(backward.shape)[:] += np.arange(num_target)[:, None]
    keys.sort()
    distinct: NDArray[np.int64] = keys[np.append(True, keys[1:] != keys[:-1])[: len(keys)]]
    return distinct


def _tiles(size: int) -> Iterator[slice]:
    for start in range(0, size, _TILE):
        yield slice(start, min(start + _TILE, size))


def _mean_vector(side: TextPages) -> NDArray[np.float32]:
    """Returns (D,) the mean of the vectors of a side; few pages have none of their own."""
    total = np.float64(0.0)
    for part in _tiles(len(side)):
        total = total + side.arrays.vectors(side.pages[part]).sum(axis=0, dtype=np.float64)
        side.arrays.release()
    mean: NDArray[np.float32] = np.asarray(total / (len(side) + 5), np.float32)
    return mean


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(norms, 1e-6)
    return unit


def _limit_products(
    source: SparseRows, target: SparseRows, path: Path
) -> tuple[SparseRows, SparseRows]:
    """Leaves out of one side the commonest columns, if all of them are too many products."""
    products = source.column_counts * target.column_counts
    order = np.argsort(products, kind="stable")
    is_kept = np.zeros(len(products), bool)
    is_kept[order] = np.cumsum(products[order]) <= _MAX_PRODUCTS
    if is_kept.all():
        return source, target
    return source.choose_columns(is_kept, path), target
