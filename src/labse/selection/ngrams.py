"""A bigram language model of one side, and the difference of two of them.

Takes: word ids. Gives: log probabilities a word.
Source: Moore and Lewis 2010, "Intelligent Selection of Language Model Training Data": cross-entropy
difference of a model of what is wanted and one of all; MacKay and Peto 1995, Dirichlet smoothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labse.selection.words import NULL, WordRows, with_null

__all__ = ["BigramModel", "bigram_log_probs", "learn_bigrams"]

_BUCKET_BITS = 20  # Of hashed bigrams: 60,000 different ones of 20,000 sentences share few.
_STRENGTH = 20.0  # Words of the unigram that are added to each history.
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: Knuth, TAOCP 6.4.


@dataclass(frozen=True, slots=True, eq=False)
class BigramModel:
    """Counts of words after words.

    Attributes:
        unigram: (V,) share of each word, none 0.
        histories: (V,) how often a word follows each.
        bigrams: (2^20,) counts of hashed pairs of a word and the next.
    """

    unigram: NDArray[np.float32]
    histories: NDArray[np.uint32]
    bigrams: NDArray[np.uint32]


def learn_bigrams(side: WordRows, size: int) -> BigramModel:
    """Counts the words of texts, each with the one before it; NULL begins a text.

    Args:
        side: texts.
        size: of the vocabulary.
    """
    histories, words = _histories(side)
    counts = np.bincount(words, minlength=size) + 1.0
    return BigramModel(
        (counts / counts.sum()).astype(np.float32),
        np.bincount(histories, minlength=size).astype(np.uint32),
        np.bincount(_hash(histories, words), minlength=1 << _BUCKET_BITS).astype(np.uint32),
    )


def bigram_log_probs(model: BigramModel, side: WordRows) -> NDArray[np.float64]:
    """Returns (N,) the mean log probability of the words of each text; 0 of an empty one."""
    histories, words = _histories(side)
    counts = model.bigrams[_hash(histories, words)]
    probs = (counts + _STRENGTH * model.unigram[words]) / (model.histories[histories] + _STRENGTH)
    sums = np.bincount(side.rows, np.log(np.minimum(probs, 1.0)), len(side.lengths))
    means: NDArray[np.float64] = sums / np.maximum(side.lengths, 1)
    return means


def _histories(side: WordRows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns of each word the one before it, and the word."""
    nulled = with_null(side)
    is_word = nulled.ids != NULL
    return nulled.ids[:-1][is_word[1:]], nulled.ids[is_word]


def _hash(histories: NDArray[np.int64], words: NDArray[np.int64]) -> NDArray[np.int64]:
    keys = (histories.astype(np.uint64) << np.uint64(16)) + words.astype(np.uint64)
    return ((keys * _FACTOR) >> np.uint64(64 - _BUCKET_BITS)).astype(np.int64)
