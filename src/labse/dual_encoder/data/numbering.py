"""What identifies a sentence or a pair by its pieces alone, wherever it is stored.

Dimensions: T tokens, B sentences, U keys.
Source: multilinear hashing modulo 2**64 (Carter & Wegman 1979). Of 10**7 sentences two share a key
with a probability of about 1e-5.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labse.files.npy import ragged_positions

__all__ = ["KeyIndex", "pair_keys", "sentence_keys", "stored_keys"]

_SEED = 20071852  # Any fixed number; keys on disk depend on it.
_FACTORS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))  # Odd, of no pattern.


def sentence_keys(input_ids: NDArray[np.int32], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Returns (B,) keys, equal for equal pieces.

    So sentences are equal that the tokenizer's normalisation makes equal, and those that differ
    only behind max_seq_length: the encoder cannot tell them apart.

    Args:
        input_ids: (T,) ids of all sentences, one after the other.
        lengths: (B,) tokens of each sentence, one at least.
    """
    if not len(lengths):
        return np.zeros(0, np.uint64)
    weights = _position_weights(int(lengths.max()))
    # An id of 0 counts too, or a sentence and its padded form would be one.
    products = (input_ids.astype(np.uint64) + np.uint64(1)) * weights[ragged_positions(0, lengths)]
    keys: NDArray[np.uint64] = np.add.reduceat(products, np.cumsum(lengths) - lengths)
    return keys


def stored_keys(
    input_ids: NDArray[np.int32], offsets: NDArray[np.int64], *, chunk_sentences: int = 1 << 18
) -> NDArray[np.uint64]:
    """Returns the keys of sentences that are mapped from disk, with little of them in memory.

    Args:
        input_ids: (T,) ids of all sentences.
        offsets: (N + 1,) where each begins.
        chunk_sentences: sentences that are read at a time.
    """
    keys = np.empty(len(offsets) - 1, np.uint64)
    for start in range(0, len(keys), chunk_sentences):
        part = np.asarray(offsets[start : start + chunk_sentences + 1])
        ids = np.asarray(input_ids[part[0] : part[-1]])
        keys[start : start + chunk_sentences] = sentence_keys(ids, np.diff(part))
    return keys


def pair_keys(sources: NDArray[np.uint64], targets: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Returns the keys of pairs from those of their sides; turned round a pair is another."""
    keys: NDArray[np.uint64] = sources * _FACTORS[0] + targets * _FACTORS[1]
    return keys


def _position_weights(count: int) -> NDArray[np.uint64]:
    """Returns an odd number for each position, the same however many are asked for."""
    generator = np.random.default_rng(_SEED)
    return generator.integers(1 << 63, size=count, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


@dataclass(frozen=True, slots=True)
class KeyIndex:
    """Finds keys among many.

    Attributes:
        keys: (U,) sorted, without repeats.
        places: (U,) what each stands for, such as a row number; None says its own position.
    """

    keys: NDArray[np.uint64]
    places: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, keys: NDArray[np.uint64]) -> "KeyIndex":
        """Indexes keys by their position; of repeated ones the first counts."""
        distinct, first = np.unique(keys, return_index=True)
        return cls(distinct, first)

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Returns the places of `keys`, -1 for those that are not there."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        positions = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        places = positions if self.places is None else self.places[positions]
        return np.where(self.keys[positions] == keys, places, -1)
