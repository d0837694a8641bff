"""Bitext mining: which sentences of two corpora are translations of each other.

Takes: two embedded corpora (N, D) and (M, D), or sentences and an encoder.
Gives: pairs with margin scores, best first; equal scores by source, then target index.
Source: Artetxe & Schwenk 2019 (arXiv 1811.01136), section 3.2; the names of the ways of retrieval
are the paper's.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from labse.encoder.protocol import Encoder, encode_sentences
from labse.errors import LabseError
from labse.mining.margin import Margin, margin_scores
from labse.search.knn import MutualNeighbours, Neighbours, mutual_neighbours

__all__ = [
    "MinedIndices",
    "MinedPair",
    "MinedSentencePair",
    "Retrieval",
    "UnifiedLines",
    "check_options",
    "mine_bitext",
    "mine_sentences",
    "neighbourhood_means",
    "select_pairs",
    "unify_lines",
    "warn_of_small_corpora",
]

_LOGGER = logging.getLogger(__name__)
_LARGEST = float(np.finfo(np.float32).max)

Retrieval: TypeAlias = Literal["forward", "backward", "intersect", "max"]


@dataclass(frozen=True, slots=True)
class MinedPair:
    """A source row and a target row found to be translations."""

    source_index: int
    target_index: int
    margin_score: float


@dataclass(frozen=True, slots=True)
class MinedSentencePair:
    """Two lines found to be translations, with the numbers (from 0) of their first occurrence."""

    margin_score: float
    source: str
    target: str
    source_index: int
    target_index: int


@dataclass(frozen=True, slots=True)
class UnifiedLines:
    """The distinct lines that are not blank, each with the index of its first occurrence."""

    sentences: list[str]
    indices: list[int]
    num_blank: int
    num_repeated: int


@dataclass(frozen=True, slots=True)
class MinedIndices:
    """Pairs as columns of (P,) row numbers and margin scores."""

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    scores: NDArray[np.float32]

    def swapped(self) -> "MinedIndices":
        """Exchanges the sides."""
        return MinedIndices(self.target, self.source, self.scores)

    def take(self, index: NDArray[np.int64]) -> "MinedIndices":
        """Returns some of the pairs."""
        return MinedIndices(self.source[index], self.target[index], self.scores[index])

    def best_first(self) -> "MinedIndices":
        """Sorts by score, then source, then target."""
        return self.take(np.lexsort((self.target, self.source, -self.scores)))


def mine_bitext(
    source_embeddings: NDArray[np.floating],
    target_embeddings: NDArray[np.floating],
    *,
    k: int = 4,
    margin: Margin = "ratio",
    min_score: float | None = None,
    retrieval: Retrieval = "intersect",
) -> list[MinedPair]:
    """Mines pairs from two embedded corpora; all k neighbours of a row compete by margin.

    Args:
        source_embeddings: (N, D), float16 or float32, memory-mapped or not; not changed.
        target_embeddings: (M, D), likewise.
        k: neighbours on each side (4 in the paper); a smaller corpus gives all its rows.
        margin: see `margin_scores`; a pair without a ratio is never mined.
        min_score: keeps pairs with at least this margin score, in every retrieval; None keeps all.
        retrieval: "forward" takes the best target of each source, "backward" the best source of
            each target, "intersect" the pairs that are both, "max" the best of either while both
            sentences are still free.

    Raises:
        ValueError: a wrong option or shape. LabseError: a row of NaN, infinity or only zeros.
    """
    check_options(k, margin, min_score, retrieval)
    warn_of_small_corpora(len(source_embeddings), len(target_embeddings), k)
    found = mutual_neighbours(source_embeddings, target_embeddings, k)
    mined = select_pairs(found, margin=margin, min_score=min_score, retrieval=retrieval)
    columns = (mined.source.tolist(), mined.target.tolist(), mined.scores.tolist())
    return [MinedPair(*row) for row in zip(*columns, strict=True)]


def select_pairs(
    found: MutualNeighbours, *, margin: Margin, min_score: float | None, retrieval: Retrieval
) -> MinedIndices:
    """Chooses pairs among the neighbours of both sides; options as in `mine_bitext`."""
    if not (len(found.forward.neighbours) and len(found.backward.neighbours)):
        nothing = np.zeros(0, np.int64)
        return MinedIndices(nothing, nothing, np.zeros(0, np.float32))
    source_means = neighbourhood_means(found.forward)
    target_means = neighbourhood_means(found.backward)
    forward = _best_pairs(found.forward, source_means, target_means, margin)
    backward = _best_pairs(found.backward, target_means, source_means, margin).swapped()

    candidates = _retrieve(forward, backward, retrieval)
    kept = np.isfinite(candidates.scores)
    if min_score is not None:
        # Inclusive in float32, the precision of a score; beyond its range none reaches the bound.
        kept &= candidates.scores >= np.float32(np.clip(min_score, -_LARGEST, _LARGEST))
        kept &= min_score <= _LARGEST
    mined = candidates.take(np.flatnonzero(kept)).best_first()
    return _free_pairs(mined) if retrieval == "max" else mined


def neighbourhood_means(found: Neighbours) -> NDArray[np.float64]:
    """Returns (N,) mean cosines of each row with its neighbours; 0 where there are none."""
    if not found.similarities.size:
        return np.zeros(len(found.similarities))
    means: NDArray[np.float64] = found.similarities.mean(axis=1, dtype=np.float64)
    return means


def warn_of_small_corpora(num_source: int, num_target: int, k: int) -> None:
    """Logs that k neighbours are a whole corpus, whose mean says nothing of a neighbourhood."""
    smaller = min(num_source, num_target)
    if 0 < smaller <= k:
        _LOGGER.warning(
            "k is %d, but one side has only %d sentences: all of them count as neighbours, so "
            "scores say little; lower k or take --margin absolute",
            *(k, smaller),
        )


def mine_sentences(
    encoder: Encoder,
    source_sentences: Sequence[str],
    target_sentences: Sequence[str],
    *,
    k: int = 4,
    margin: Margin = "ratio",
    min_score: float | None = None,
    retrieval: Retrieval = "intersect",
) -> list[MinedSentencePair]:
    """Mines pairs from two lists of lines; options as in `mine_bitext`.

    Blank lines are left out and repeated lines unified before the search, else the copies of a
    line would fill each other's neighbourhoods; their counts are logged.

    Raises:
        ValueError: a wrong option. LabseError: the encoder returned what is not one vector a line.
    """
    check_options(k, margin, min_score, retrieval)
    source, target = unify_lines(source_sentences), unify_lines(target_sentences)
    for name, lines, unified in (
        ("source", source_sentences, source),
        ("target", target_sentences, target),
    ):
        _LOGGER.info(
            "%s: %d lines, %d blank left out, %d repeated left out",
            *(name, len(lines), unified.num_blank, unified.num_repeated),
        )
    if not (source.sentences and target.sentences):
        return []
    source_embeddings = encode_sentences(encoder, source.sentences)
    target_embeddings = encode_sentences(encoder, target.sentences)
    if source_embeddings.shape[1] != target_embeddings.shape[1]:
        raise LabseError(
            f"the encoder returned {source_embeddings.shape[1]} dimensions for the source "
            f"and {target_embeddings.shape[1]} for the target"
        )

    pairs = mine_bitext(
        source_embeddings,
        target_embeddings,
        k=k,
        margin=margin,
        min_score=min_score,
        retrieval=retrieval,
    )
    return [
        MinedSentencePair(
            margin_score=pair.margin_score,
            source=source.sentences[pair.source_index],
            target=target.sentences[pair.target_index],
            source_index=source.indices[pair.source_index],
            target_index=target.indices[pair.target_index],
        )
        for pair in pairs
    ]


def unify_lines(lines: Sequence[str]) -> UnifiedLines:
    """Returns the distinct lines that are not blank, in order, and counts the others."""
    first: dict[str, int] = {}
    num_blank = 0
    for index, line in enumerate(lines):
        if line.strip():
            first.setdefault(line, index)
        else:
            num_blank += 1
    num_repeated = len(lines) - num_blank - len(first)
    return UnifiedLines(list(first), list(first.values()), num_blank, num_repeated)


def check_options(k: int, margin: Margin, min_score: float | None, retrieval: Retrieval) -> None:
    """Refuses a wrong option before hours of encoding or search."""
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    if min_score is not None and math.isnan(min_score):
        raise ValueError("min_score must be a number, not NaN")
    for name, value, choices in (
        ("margin", margin, get_args(Margin)),
        ("retrieval", retrieval, get_args(Retrieval)),
    ):
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def _best_pairs(
    found: Neighbours,
    means: NDArray[np.float64],
    other_means: NDArray[np.float64],
    margin: Margin,
) -> MinedIndices:
    """Pairs each row with its neighbour of the highest margin score, the lower index on a tie."""
    neighbours = found.neighbours
    scores = margin_scores(found.similarities, means[:, None], other_means[neighbours], margin)
    best = scores.max(axis=1)
    tied = np.where(scores == best[:, None], neighbours, np.iinfo(np.int64).max)
    return MinedIndices(np.arange(len(neighbours)), tied.min(axis=1), best)


def _retrieve(forward: MinedIndices, backward: MinedIndices, retrieval: Retrieval) -> MinedIndices:
    if retrieval == "forward":
        return forward
    if retrieval == "backward":
        return backward
    is_mutual = backward.source[forward.target] == forward.source
    if retrieval == "intersect":
        return forward.take(np.flatnonzero(is_mutual))
    # A mutual pair stands in both lists, with the same score: once is enough.
    rest = backward.take(np.flatnonzero(forward.target[backward.source] != backward.target))
    return MinedIndices(
        np.concatenate([forward.source, rest.source]),
        np.concatenate([forward.target, rest.target]),
        np.concatenate([forward.scores, rest.scores]),
    )


def _free_pairs(pairs: MinedIndices) -> MinedIndices:
    """Keeps, best first, each pair of which neither sentence is taken yet."""
    taken_sources: set[int] = set()
    taken_targets: set[int] = set()
    free: list[int] = []
    columns = zip(pairs.source.tolist(), pairs.target.tolist(), strict=True)
    for position, (source, target) in enumerate(columns):
        if source not in taken_sources and target not in taken_targets:
            taken_sources.add(source)
            taken_targets.add(target)
            free.append(position)
    return pairs.take(np.array(free, dtype=np.int64))
