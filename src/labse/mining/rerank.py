"""Mined pairs in a new order, by more than their margin: do the words and lengths fit as well?

Takes: mined pairs, the neighbours of both sides, and an encoder. Gives: for each pair the
probability that it is a translation.
Source: greedy matching of the vectors of pieces as in BERTScore (Zhang et al. 2020, arXiv
1904.09675), section 3, without context; a margin as in Artetxe & Schwenk 2019 (arXiv 1811.01136).
Learnt by `benchmarks/rerank.py`; docs/mining.md says what it is worth.

Dimensions: P pairs, K neighbours, S pieces of a sentence, T of several, D values of a vector.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.encoder.sentence_encoder import SentenceEncoder
from labse.mining.bitext import MinedIndices
from labse.mining.learnt_score import LearntScore, read_learnt_score
from labse.mining.sides import EmbeddedSides, LineStore
from labse.runtime import OnProgress
from labse.search.knn import MutualNeighbours

__all__ = ["RERANK_FEATURES", "RERANK_PATH", "load_rerank", "rerank", "rerank_columns"]

RERANK_FEATURES = ("margin", "coverage_margin", "length_ratio")
"""What the score is made of; see `rerank_columns`."""

RERANK_PATH = Path(__file__).parents[1] / "models" / "mined_pair.json"
"""The weights that come with labse."""

_CHUNK_PAIRS = 1024
_KEPT_PIECES = 1 << 16  # 96 MiB of 384 values.
_USUAL_PAIRS = 1000  # The best by margin tell the usual ratio of lengths.
_MIN_COVERAGE = 0.05
_MOST_COSINES = 1 << 22  # 16 MiB: of one sentence with its neighbours.
_LEARNT_K = 4
_DECIMALS = 4

_LOGGER = logging.getLogger(__name__)


@cache
def load_rerank() -> LearntScore:
    """Loads the weights that come with labse.

    Raises:
        LabseError: they are damaged.
    """
    return read_learnt_score("rerank", RERANK_PATH, RERANK_FEATURES)


def rerank(
    mined: MinedIndices,
    found: MutualNeighbours,
    sides: EmbeddedSides,
    encoder: SentenceEncoder,
    *,
    min_score: float = 0.0,
    on_progress: OnProgress | None = None,
) -> MinedIndices:
    """Returns the pairs with `rerank_scores`, the highest first; equal ones keep their order.

    Args:
        mined: pairs, best first.
        found: the neighbours that they were chosen from.
        sides: texts and vectors.
        encoder: embeds pieces; the weights were learnt with the model that comes with labse.
        min_score: pairs with a lower one are left out; scores have four decimals.
        on_progress: called with the pairs done and their number.
    """
    if (k := found.forward.neighbours.shape[1]) != _LEARNT_K:
        _LOGGER.warning(
            "rerank_score was learnt with k = %d; with %d neighbours a bound means something else",
            *(_LEARNT_K, k),
        )
    columns = rerank_columns(mined, found, sides, encoder, on_progress=on_progress)
    scores = load_rerank().model.score(columns).round(_DECIMALS)
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= np.float32(min_score)]
    return replace(mined.take(order), rerank_scores=scores[order])


def rerank_columns(
    mined: MinedIndices,
    found: MutualNeighbours,
    sides: EmbeddedSides,
    encoder: SentenceEncoder,
    *,
    on_progress: OnProgress | None = None,
) -> dict[str, NDArray[np.floating]]:
    """Returns (P,) columns, named by `RERANK_FEATURES`.

    Coverage is the mean, over the pieces of both sides, of the greatest cosine with a piece of the
    other side; coverage_margin is its ratio to the mean coverage of both sentences by their K
    nearest. length_ratio is how far ln(source / target), in characters, is from the usual one, the
    median of the thousand best pairs. A bound on a length or a cosine would fit one kind of text.
    """
    num_pairs = len(mined.scores)
    coverages, usual, log_ratios = np.empty((3, num_pairs))
    pieces = _PieceVectors(encoder)
    for start in range(0, num_pairs, _CHUNK_PAIRS):
        rows = np.arange(start, min(start + _CHUNK_PAIRS, num_pairs))
        chunk = mined.take(rows)
        near_sources = found.backward.neighbours[chunk.target]  # (P, K) of each target
        near_targets = found.forward.neighbours[chunk.source]  # (P, K) of each source

        # All sentences of the chunk, each once.
        sources = _read(sides.source.lines, np.append(chunk.source, near_sources), encoder)
        targets = _read(sides.target.lines, np.append(chunk.target, near_targets), encoder)
        sentences = [*sources.values(), *targets.values()]
        pieces.make_ready(np.concatenate([sentence.ids for sentence in sentences]))

        # Then each pair beside the neighbours of both of its sentences.
        for row, source_line, target_line, sources_near, targets_near in zip(
            *(rows, chunk.source, chunk.target, near_sources, near_targets), strict=True
        ):
            source, target = sources[int(source_line)], targets[int(target_line)]
            (coverages[row],) = pieces.cover(source, [target])
            of_source = pieces.cover(source, [targets[line] for line in targets_near.tolist()])
            of_target = pieces.cover(target, [sources[line] for line in sources_near.tolist()])
            usual[row] = (of_source.mean() + of_target.mean()) / 2
            log_ratios[row] = np.log(source.num_characters / target.num_characters)
        if on_progress is not None:
            on_progress(int(rows[-1]) + 1, num_pairs)

    best = np.argsort(-mined.scores, kind="stable")[:_USUAL_PAIRS]
    usual_ratio = np.median(log_ratios[best]) if num_pairs else 0.0
    return {
        "margin": mined.scores,
        "coverage_margin": coverages / np.maximum(usual, _MIN_COVERAGE),
        "length_ratio": np.abs(log_ratios - usual_ratio),
    }


@dataclass(frozen=True, slots=True)
class _Sentence:
    """The distinct pieces of a sentence, the share of each, and its number of characters."""

    ids: NDArray[np.int64]
    shares: NDArray[np.float32]
    num_characters: int


def _read(
    lines: LineStore, numbers: NDArray[np.int64], encoder: SentenceEncoder
) -> dict[int, _Sentence]:
    """Reads lines and cuts them into pieces, without prompt and special tokens around them."""
    distinct = np.unique(numbers).tolist()
    texts = [*lines.read(distinct)]
    tokenized = encoder.tokenize_windows(texts, prompt="")
    is_special = np.isin(tokenized.input_ids, encoder.tokenizer.encode("").ids)
    edges = pairwise(tokenized.offsets[tokenized.first_windows].tolist())
    sentences = {}
    for number, text, (start, stop) in zip(distinct, texts, edges, strict=True):
        ids = tokenized.input_ids[start:stop]
        # A line of special tokens alone has no others.
        plain = ids[~is_special[start:stop]]
        pieces, counts = np.unique(plain if len(plain) else ids, return_counts=True)
        shares = (counts / counts.sum()).astype(np.float32)
        sentences[number] = _Sentence(pieces.astype(np.int64), shares, len(text))
    return sentences


class _PieceVectors:
    """Unit vectors of pieces, each as the encoder embeds it alone; a bounded number is kept."""

    def __init__(self, encoder: SentenceEncoder) -> None:
        """Starts with none."""
        self._encoder = encoder
        self._places = np.zeros(0, np.int64)  # (V,) of each piece in `_rows`, -1 for none.
        self._rows = np.empty((0, encoder.embedding_size), np.float32)
        self._num_kept = 0

    def make_ready(self, ids: NDArray[np.int64]) -> None:
        """Embeds those of `ids` that are not there yet; too many, and all others are forgotten."""
        needed = np.unique(ids)
        unknown = int(needed[-1]) + 1 - len(self._places)
        self._places = np.pad(self._places, (0, max(unknown, 0)), constant_values=-1)
        missing = needed[self._places[needed] < 0]
        if self._num_kept + len(missing) > len(self._rows):
            missing, self._num_kept = needed, 0
            self._places.fill(-1)
            shape = max(_KEPT_PIECES, len(needed)), self._rows.shape[1]
            self._rows = np.empty(shape, np.float32)  # Pages that are not written take no memory.
        if len(missing):
            stop = self._num_kept + len(missing)
            alone = [*missing.astype(np.int32)[:, None]]
            self._rows[self._num_kept : stop] = self._encoder.embed(alone)
            self._places[missing] = np.arange(self._num_kept, stop)
            self._num_kept = stop

    def cover(self, sentence: _Sentence, others: Sequence[_Sentence]) -> NDArray[np.floating]:
        """Returns, for each of `others`, how well it and `sentence` cover each other."""
        counts = np.array([len(other.ids) for other in others])
        if len(others) > 1 and len(sentence.ids) * counts.sum() > _MOST_COSINES:
            return np.concatenate([self.cover(sentence, [other]) for other in others])
        starts = np.cumsum(counts) - counts
        ids = np.concatenate([other.ids for other in others])
        cosines_ST = self._take(sentence.ids) @ self._take(ids).T
        of_sentence = sentence.shares @ np.maximum.reduceat(cosines_ST, starts, axis=1)
        shares = np.concatenate([other.shares for other in others])
        of_others = np.add.reduceat(cosines_ST.max(axis=0) * shares, starts)
        covered: NDArray[np.floating] = (of_sentence + of_others) / 2
        return covered

    def _take(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._rows[self._places[ids]]
