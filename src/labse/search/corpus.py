"""Questions to a corpus that stays in memory: neighbours, paraphrases, groups of like sentences.

Takes: (N, D) vectors. Gives: cosines and row numbers, in the shapes of sentence-transformers.
Source: sentence-transformers 6, `util`, whose results these equal; ties go by index.
"""

from collections.abc import Iterator
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labse.files.npy import find_bad_row

__all__ = ["Hit", "PreparedCorpus", "community_detection", "paraphrase_mining", "semantic_search"]

_BLOCK_VALUES = 1 << 25  # 128 MiB of cosines.


class Hit(TypedDict):
    """A row of the corpus and its cosine."""

    corpus_id: int
    score: float


class PreparedCorpus:
    """Vectors that are checked and scaled once, so that a question costs a product and a top-k."""

    def __init__(self, embeddings: ArrayLike) -> None:
        """Copies the vectors as unit rows.

        Args:
            embeddings: (N, D), of any length.

        Raises:
            ValueError: no matrix, or a row that is not finite or only zeros.
        """
        self.embeddings = _unit_rows(embeddings)

    def __len__(self) -> int:
        """Returns N."""
        return len(self.embeddings)

    def search(
        self, queries: ArrayLike, *, k: int = 10
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Returns (M, K) rows and cosines of the nearest, the best first; K is `k`, at most N.

        Args:
            queries: (M, D), or one vector (D,).
            k: neighbours of each.

        Raises:
            ValueError: vectors of another width, or `k` below 1.
        """
        if k < 1:
            raise ValueError(f"k is {k}; it must be at least 1")
        rows = _unit_rows(queries)
        if rows.shape[1] != self.embeddings.shape[1]:
            raise ValueError(
                f"queries of {rows.shape[1]} values, the corpus has {self.embeddings.shape[1]}"
            )
        k = min(k, len(self))
        neighbours = np.empty((len(rows), k), np.int64)
        similarities = np.empty((len(rows), k), np.float32)
        for start, cosines in self._iter_cosines(rows):
            for row, values in enumerate(cosines, start):
                neighbours[row], similarities[row] = _top(values, k)
        return neighbours, similarities

    def _iter_cosines(self, rows: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yields (start, cosines (B, N)) of blocks of rows."""
        size = max(_BLOCK_VALUES // max(len(self), 1), 1)
        for start in range(0, len(rows), size):
            yield start, rows[start : start + size] @ self.embeddings.T


def semantic_search(
    query_embeddings: ArrayLike, corpus_embeddings: ArrayLike | PreparedCorpus, *, top_k: int = 10
) -> list[list[Hit]]:
    """Returns the nearest rows of a corpus for each query, the best first.

    Args:
        query_embeddings: (M, D), or one vector (D,).
        corpus_embeddings: (N, D); a `PreparedCorpus` for many calls.
        top_k: rows for each query.
    """
    corpus = corpus_embeddings
    if not isinstance(corpus, PreparedCorpus):
        corpus = PreparedCorpus(corpus)
    neighbours, similarities = corpus.search(query_embeddings, k=top_k)
    return [
        [{"corpus_id": number, "score": score} for number, score in zip(*row, strict=True)]
        for row in zip(neighbours.tolist(), similarities.tolist(), strict=True)
    ]


def paraphrase_mining(
    embeddings: ArrayLike, *, top_k: int = 100, max_pairs: int = 500_000
) -> list[tuple[float, int, int]]:
    """Returns (cosine, i, j) of pairs of rows, i < j, the nearest first.

    Args:
        embeddings: (N, D).
        top_k: neighbours of a row that are looked at.
        max_pairs: pairs at most.
    """
    corpus = PreparedCorpus(embeddings)
    neighbours, similarities = corpus.search(corpus.embeddings, k=top_k + 1)
    rows = np.repeat(np.arange(len(corpus)), neighbours.shape[1])
    others, cosines = neighbours.ravel(), similarities.ravel()
    lower, upper = np.minimum(rows, others), np.maximum(rows, others)
    _, firsts = np.unique(lower * len(corpus) + upper, return_index=True)
    firsts = firsts[lower[firsts] != upper[firsts]]
    order = firsts[np.argsort(-cosines[firsts], kind="stable")][:max_pairs]
    return list(
        zip(cosines[order].tolist(), lower[order].tolist(), upper[order].tolist(), strict=True)
    )


def community_detection(
    embeddings: ArrayLike, *, threshold: float = 0.75, min_community_size: int = 10
) -> list[list[int]]:
    """Returns groups of rows that are near a row of the group, the largest group first.

    Args:
        embeddings: (N, D).
        threshold: the least cosine with the row in the middle.
        min_community_size: rows of a group at least.
    """
    corpus = PreparedCorpus(embeddings)
    least = min(min_community_size, len(corpus))
    groups = []
    for _, cosines in corpus._iter_cosines(corpus.embeddings):
        for values in cosines:
            near = np.flatnonzero(values >= threshold)
            if len(near) >= least:
                groups.append(near[np.argsort(-values[near], kind="stable")].tolist())

    # A row is in one group: the largest that has it.
    taken: set[int] = set()
    found = []
    for group in sorted(groups, key=len, reverse=True):
        rest = [row for row in group if row not in taken]
        if len(rest) >= least:
            found.append(rest)
            taken.update(rest)
    return sorted(found, key=len, reverse=True)


def _top(values: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    if k < len(values):
        bound = np.partition(values, -k)[-k]
        rows = np.flatnonzero(values >= bound)  # Ties too, of which the first stay.
    else:
        rows = np.arange(len(values))
    rows = rows[np.argsort(-values[rows], kind="stable")][:k]
    return rows, values[rows]


def _unit_rows(embeddings: ArrayLike) -> NDArray[np.float32]:
    rows = np.atleast_2d(np.asarray(embeddings, np.float32))
    if rows.ndim != 2:
        raise ValueError(f"expected vectors of shape (N, D), found {rows.shape}")
    if bad := find_bad_row(rows):
        raise ValueError(f"row {bad[0]} holds {bad[1]}, which has no direction")
    unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit
