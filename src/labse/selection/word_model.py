"""IBM model 1: the probability of a sentence given its translation, word by word.

Takes: pairs as word ids. Gives: translation probabilities both ways, and log probabilities.
Source: Brown et al. 1993, "The Mathematics of Statistical Machine Translation", section 4.2 (EM);
the words of a target are made of those of the source one by one:

    P(y | x) = prod over j of (lambda / (l + 1)) sum over i of t(y_j | x_i)  +  (1 - lambda) p(y_j)
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labse.selection.words import NULL, UNKNOWN, Meetings, WordRows, meet, with_null

__all__ = ["WordModel", "WordScores", "learn_word_model", "log_probs"]

_SHARD_PAIRS = 2000
_LAMBDA = 0.9  # The rest is the unigram, so that a word never seen costs a bounded sum.
# A smaller translation probability changes no score and would fill the table.
_LEAST_PROB = 1e-3
_LEAST_SEEN = 4  # One is added to each count, so three times.


@dataclass(frozen=True, slots=True, eq=False)
class WordModel:
    """Translation probabilities of words that have met.

    Attributes:
        keys: (K,) source id * 2^16 + target id, ascending; NULL is a word of both sides.
        forward: (K,) t(target | source).
        backward: (K,) t(source | target).
        source_unigram: (V,) share of each word among those of the sources, none 0.
        target_unigram: (W,) the same of the targets.
    """

    keys: NDArray[np.uint32]
    forward: NDArray[np.float32]
    backward: NDArray[np.float32]
    source_unigram: NDArray[np.float32]
    target_unigram: NDArray[np.float32]


def learn_word_model(
    source: WordRows,
    target: WordRows,
    sizes: tuple[int, int],
    *,
    num_rounds: int = 5,
    least_prob: float = _LEAST_PROB,
) -> WordModel:
    """Learns both ways by expectation maximisation, some thousand pairs at a time.

    Args:
        source: N pairs.
        target: as many.
        sizes: of both vocabularies.
        num_rounds: of EM; the first begins with all translations alike.
        least_prob: what is below it in both directions is left out at the end.
    """
    # Find all words that meet, and the place of each meeting in their table.
    found = [np.unique(shard.keys) for shard in _iter_shards(source, target)]
    keys = np.unique(np.concatenate([np.zeros(0, np.uint32), *found]))
    entries_of = [
        np.searchsorted(keys, shard.keys).astype(np.int32) for shard in _iter_shards(source, target)
    ]
    source_ids, target_ids = (keys >> 16).astype(np.int64), (keys & 0xFFFF).astype(np.int64)
    forward, backward = np.ones(len(keys)), np.ones(len(keys))
    forward[target_ids == NULL] = backward[source_ids == NULL] = 0  # NULL is made of nothing.

    for _ in range(num_rounds):
        forward_counts, backward_counts = np.zeros(len(keys)), np.zeros(len(keys))
        for shard, entries in zip(_iter_shards(source, target), entries_of, strict=True):
            for probs, counts, places in (
                (forward, forward_counts, shard.target_places),
                (backward, backward_counts, shard.source_places),
            ):
                # Each word is shared among those that may have made it, by their probability.
                chances = probs[entries]
                sums = np.bincount(places, chances)
                shares = chances / np.maximum(sums[places], 1e-300)
                counts += np.bincount(entries, shares, len(keys))
        forward = forward_counts / _totals(forward_counts, source_ids)
        backward = backward_counts / _totals(backward_counts, target_ids)

    kept = np.maximum(forward, backward) >= least_prob
    return WordModel(
        keys[kept],
        forward[kept].astype(np.float32),
        backward[kept].astype(np.float32),
        _unigram(source, sizes[0]),
        _unigram(target, sizes[1]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class WordScores:
    """What a model says of N pairs, means over the words of a side.

    Attributes:
        forward: (N,) log P(target | source).
        backward: (N,) log P(source | target).
        gain: (N,) how much more probable words are for the other side, mean of both ways:
            log P(y | x) - log p(y) of the words that the model has seen often enough. So a text of
            another domain, whose words it does not know, is not taken for a bad translation.
    """

    forward: NDArray[np.float64]
    backward: NDArray[np.float64]
    gain: NDArray[np.float64]


def log_probs(models: list[WordModel], source: WordRows, target: WordRows) -> list[WordScores]:
    """Returns what each model says of N pairs.

    Args:
        models: of the same vocabularies.
        source: N pairs.
        target: as many.
    """
    # One search for all models: their tables are joined.
    keys = models[0].keys
    for model in models[1:]:
        keys = np.union1d(keys, model.keys)
    tables = []
    for model in models:
        places = np.searchsorted(keys, model.keys)
        for probs in (model.forward, model.backward):
            table = np.zeros(len(keys) + 1)  # The last is for words that never met.
            table[places] = probs
            tables.append(table)

    parts: list[list[NDArray[np.float64]]] = []
    for start in range(0, len(source.lengths), _SHARD_PAIRS):
        sides = _cut(source, start), _cut(target, start)
        nulled = with_null(sides[0]), with_null(sides[1])
        meetings = meet(*nulled)
        entries = np.minimum(np.searchsorted(keys, meetings.keys), len(keys) - 1)
        entries[keys[entries] != meetings.keys] = len(keys)
        columns: list[NDArray[np.float64]] = []
        for number, table in enumerate(tables):
            is_forward = number % 2 == 0
            places = meetings.target_places if is_forward else meetings.source_places
            made, makers = (nulled[1], nulled[0]) if is_forward else nulled
            model = models[number // 2]
            unigram = model.target_unigram if is_forward else model.source_unigram
            sums = _sums(places, table[entries], len(made.ids))
            columns += _per_word(made, makers, sums, unigram)
        parts.append(columns)
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    if not parts:
        joined = [np.zeros(0)] * (2 * len(tables))
    return [
        WordScores(forward, backward, (gain + other_gain) / 2)
        for forward, gain, backward, other_gain in zip(
            joined[::4], joined[1::4], joined[2::4], joined[3::4], strict=True
        )
    ]


def _per_word(
    made: WordRows, makers: WordRows, sums: NDArray[np.float64], unigram: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns (N,) the mean log probability of the words of a side and the mean gain; 0 without."""
    rows, size = made.rows, len(made.lengths)
    plain = unigram[made.ids].astype(np.float64)
    probs = _LAMBDA * sums / makers.lengths[rows] + (1 - _LAMBDA) * plain
    logs = np.log(np.maximum(probs, 1e-12))
    is_word = made.ids != NULL
    means = _sums(rows, np.where(is_word, logs, 0.0), size) / np.maximum(made.lengths - 1, 1)

    is_known = is_word & (made.ids != UNKNOWN) & (plain >= _LEAST_SEEN * unigram.min())
    gains = _sums(rows, np.where(is_known, logs - np.log(plain), 0.0), size)
    return means, gains / np.maximum(_sums(rows, is_known.astype(np.float64), size), 1)


def _iter_shards(source: WordRows, target: WordRows) -> Iterator[Meetings]:
    for start in range(0, len(source.lengths), _SHARD_PAIRS):
        yield meet(with_null(_cut(source, start)), with_null(_cut(target, start)))


def _cut(side: WordRows, start: int) -> WordRows:
    lengths = side.lengths[start : start + _SHARD_PAIRS]
    first = int(side.lengths[:start].sum())
    return WordRows(side.ids[first : first + int(lengths.sum())], lengths)


def _totals(counts: NDArray[np.float64], ids: NDArray[np.int64]) -> NDArray[np.float64]:
    totals: NDArray[np.float64] = np.maximum(np.bincount(ids, counts)[ids], 1e-300)
    return totals


def _sums(places: NDArray[np.int64], values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    sums: NDArray[np.float64] = np.bincount(places, values, size).astype(np.float64)
    return sums


def _unigram(side: WordRows, size: int) -> NDArray[np.float32]:
    """Returns (V,) shares, one added to each count."""
    counts = np.bincount(side.ids, minlength=size) + 1.0
    shares: NDArray[np.float32] = (counts / counts.sum()).astype(np.float32)
    return shares
