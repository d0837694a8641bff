"""Mined pairs in a new order, by more than their margin: do the words and lengths fit as well?

Takes: mined pairs, the neighbours of both sides, and an encoder. Gives: for each pair the
probability that it is a translation.
Source: greedy matching of the vectors of pieces as in BERTScore (Zhang et al. 2020, arXiv
1904.09675), section 3, without context; a margin as in Artetxe & Schwenk 2019 (arXiv 1811.01136).
Learnt by `benchmarks/rerank.py`; docs/mining.md says what it is worth.

Dimensions: P pairs, K neighbours, S pieces of a sentence, T of several, D values of a vector.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
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
        min_score: pairs with a lower one are left out.
        on_progress: called with the pairs done and their number.
    """
    columns = rerank_columns(mined, found, sides, encoder, on_progress=on_progress)
    scores = load_rerank().model.score(columns)
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= min_score]
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
    nearest. length_ratio is how far ln(source / target), in characters, is from the median of these
    corpora. All three are ratios: a bound on a length or a cosine would fit one kind of text.
    """
    source, target = sides.source, sides.target
    lengths, (coverages, usual) = (np.empty((2, len(mined.scores))) for _ in range(2))
    pieces = _PieceVectors(encoder)
    for start in range(0, len(mined.scores), _CHUNK_PAIRS):
        chunk = mined.take(np.arange(start, min(start + _CHUNK_PAIRS, len(mined.scores))))
        here = slice(start, start + len(chunk.scores))
        near_source = found.backward.neighbours[chunk.target]  # (P, K) sources
        near_target = found.forward.neighbours[chunk.source]  # (P, K) targets

        # All sentences of the chunk, each once.
        left = _read(source.lines, np.append(chunk.source, near_source), encoder)
        right = _read(target.lines, np.append(chunk.target, near_target), encoder)
        sentences = [*left.ids.values(), *right.ids.values()]
        pieces.make_ready(np.concatenate([np.zeros(0, np.int64), *sentences]))

        # Then each pair beside the neighbours of both of its sentences.
        rows = zip(chunk.source.tolist(), chunk.target.tolist(), strict=True)
        for number, (one, other) in enumerate(rows, start):
            nearest = near_target[number - start].tolist()
            others = [right.ids[line] for line in (other, *nearest)]
            of_source = pieces.cover(left.ids[one], others)
            others = [left.ids[line] for line in near_source[number - start].tolist()]
            of_target = pieces.cover(right.ids[other], others)
            coverages[number] = of_source[0]
            usual[number] = (of_source[1:].mean() + of_target.mean()) / 2
        lengths[0, here] = [left.lengths[line] for line in chunk.source.tolist()]
        lengths[1, here] = [right.lengths[line] for line in chunk.target.tolist()]
        if on_progress is not None:
            on_progress(here.stop, len(mined.scores))

    ratios = np.log(lengths[0] / lengths[1])
    best = np.argsort(-mined.scores, kind="stable")[:_USUAL_PAIRS]
    usual_ratio = np.median(ratios[best]) if len(best) else 0.0
    return {
        "margin": mined.scores,
        "coverage_margin": coverages / np.maximum(usual, _MIN_COVERAGE),
        "length_ratio": np.abs(ratios - usual_ratio),
    }


@dataclass(frozen=True, slots=True)
class _Sentences:
    """Some lines by number: the ids of their pieces, and their characters."""

    ids: dict[int, NDArray[np.int64]]
    lengths: dict[int, int]


def _read(lines: LineStore, numbers: NDArray[np.int64], encoder: SentenceEncoder) -> _Sentences:
    """Reads lines and cuts them into pieces, without the special tokens around them."""
    distinct = np.unique(numbers).tolist()
    texts = [*lines.read(distinct)]
    tokenized = encoder.tokenize_windows(texts)
    input_ids = tokenized.input_ids.astype(np.int64)
    edges = tokenized.offsets[tokenized.first_windows].tolist()
    is_text = ~np.isin(input_ids, encoder.tokenizer.encode("").ids)
    ids = {}
    for number, start, stop in zip(distinct, edges, edges[1:], strict=False):
        all_ids = input_ids[start:stop]
        text_ids = all_ids[is_text[start:stop]]
        ids[number] = text_ids if len(text_ids) else all_ids
    return _Sentences(ids, dict(zip(distinct, map(len, texts), strict=True)))


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

    def cover(
        self, sentence: NDArray[np.int64], others: Sequence[NDArray[np.int64]]
    ) -> NDArray[np.float64]:
        """Returns, for each of `others`, how well it and `sentence` cover each other."""
        counts = np.array([len(ids) for ids in others])
        starts = np.cumsum(counts) - counts
        cosines_ST = self._take(sentence) @ self._take(np.concatenate(others)).T
        of_sentence = np.maximum.reduceat(cosines_ST, starts, axis=1).mean(axis=0)
        of_others = np.add.reduceat(cosines_ST.max(axis=0), starts) / counts
        covered: NDArray[np.float64] = (of_sentence + of_others) / 2
        return covered

    def _take(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._rows[self._places[ids]]
