"""Mining and scoring of two lists in memory, for lists that fit in a request.

Takes: sentences and their vectors. Gives: pairs as `labse mine` writes them, scores as `labse
score` does: blank lines, and those without a known piece, are left out; equal ones taken once.
Source: Artetxe and Schwenk 2019, as in `labse.mining.bitext`.
Dimensions: N source lines, M target lines, D embedding.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from labse.cleaning.pair_scores import flag_pair
from labse.encoder.streaming import UniqueTexts
from labse.mining.bitext import MiningOptions, neighbourhood_means, select_pairs
from labse.mining.margin import Margin, margin_scores
from labse.mining.start_score import start_score
from labse.search.knn import mutual_neighbours

__all__ = ["Lines", "MinedLine", "mine_lines", "score_lines"]


@dataclass(frozen=True, slots=True)
class Lines:
    """N lines, of which U differ and say something.

    Attributes:
        sentences: (N,) as they were given.
        embeddings: (N, D) unit rows; those of lines that say nothing are not looked at.
        says_something: (N,) bool.
    """

    sentences: Sequence[str]
    embeddings: NDArray[np.float32]
    says_something: NDArray[np.bool_]

    def distinct(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns (U,) the rows that are first of their text, and (N,) which each is; -1 none."""
        rows = np.flatnonzero(self.says_something)
        unique = UniqueTexts.of(self.sentences[row] for row in rows.tolist())
        numbers = np.full(len(self.sentences), -1, np.int64)
        numbers[rows] = unique.numbers
        firsts = rows[unique.first_rows()] if len(rows) else rows
        return firsts, numbers


@dataclass(frozen=True, slots=True)
class MinedLine:
    """A pair: its score, texts, line numbers from 1, and what is odd about it."""

    margin_score: float
    source: str
    target: str
    source_line: int
    target_line: int
    flags: tuple[str, ...]


def mine_lines(source: Lines, target: Lines, options: MiningOptions) -> dict[str, object]:
    """Returns the pairs, best first, a score to start from, and how many lines were searched."""
    source_rows, target_rows = source.distinct()[0], target.distinct()[0]
    pairs: list[dict[str, object]] = []
    if len(source_rows) and len(target_rows):
        found = mutual_neighbours(
            source.embeddings[source_rows], target.embeddings[target_rows], options.k
        )
        mined = select_pairs(found, options)
        columns = source_rows[mined.source], target_rows[mined.target], mined.scores
        for row, other, score in zip(*(column.tolist() for column in columns), strict=True):
            texts = source.sentences[row], target.sentences[other]
            pairs.append(asdict(MinedLine(score, *texts, row + 1, other + 1, flag_pair(*texts))))
    has_start = options.margin == "ratio" and options.k > 1
    return {
        "pairs": pairs,
        "start_score": start_score(len(source_rows), len(target_rows), options.k)
        if has_start
        else None,
        "num_source": len(source_rows),
        "num_target": len(target_rows),
    }


def score_lines(
    source: Lines, target: Lines, margin: Margin | None, k: int
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Returns (N,) cosines and, with a margin, (N,) margin scores; 0 where a side says nothing."""
    is_pair = source.says_something & target.says_something
    cosines = np.einsum("nd,nd->n", source.embeddings, target.embeddings) * is_pair
    if margin is None:
        return cosines, None
    scores = np.zeros(len(cosines), np.float32)
    (source_rows, numbers), (target_rows, others) = source.distinct(), target.distinct()
    if is_pair.any():
        found = mutual_neighbours(source.embeddings[source_rows], target.embeddings[target_rows], k)
        means = neighbourhood_means(found.forward)[numbers[is_pair]]
        other_means = neighbourhood_means(found.backward)[others[is_pair]]
        scores[is_pair] = margin_scores(cosines[is_pair], means, other_means, margin)
    scores[~np.isfinite(scores)] = 0
    return cosines, scores
