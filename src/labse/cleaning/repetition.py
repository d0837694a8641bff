"""Repetition: how much of a text has been said before in it.

Takes: texts. Gives: a share for each. Source: Rae et al. 2021 (Gopher), appendix A.1.1, repetition
of n-grams; here of characters, so that scripts without spaces are measured too.
"""

import numpy as np
from numpy.typing import NDArray

from labse.cleaning.characters import TextBlock

__all__ = ["repetition_shares"]

_ORDER = 8  # Characters.
_HASH_BITS = 44
_MAX_TEXTS = 1 << (64 - _HASH_BITS)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: Knuth, TAOCP 6.4.


def repetition_shares(block: TextBlock) -> NDArray[np.float32]:
    """Returns (N,) the share of the 8-grams of characters that came before in the same text.

    0 for texts under 9 characters. 44 bits of a hash stand for an 8-gram: in a text of 5,000
    characters one share in a million is too high, by 1/5000.

    Raises:
        ValueError: over a million texts.
    """
    if len(block.starts) >= _MAX_TEXTS:
        raise ValueError(f"{len(block.starts)} texts; give under {_MAX_TEXTS} at once")
    num_grams = np.maximum(block.lengths - _ORDER + 1, 0)
    shares = np.zeros(len(block.starts), np.float32)
    if not num_grams.any():
        return shares

    hashes = _rolling_hashes(block.code_points)
    rows = np.repeat(np.arange(len(num_grams), dtype=np.uint64), num_grams)
    firsts = np.cumsum(num_grams) - num_grams
    places = np.arange(len(rows)) + np.repeat(block.starts - firsts, num_grams)
    keys = hashes[places] >> np.uint64(64 - _HASH_BITS)
    keys |= rows << np.uint64(_HASH_BITS)
    keys.sort()
    repeated = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(_HASH_BITS)
    num_repeated = np.bincount(repeated.astype(np.int64), minlength=len(num_grams))
    np.divide(num_repeated, num_grams, out=shares, where=num_grams > 0, casting="unsafe")
    return shares


def _rolling_hashes(code_points: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Returns a hash of the 8 characters from each place on, by doubling: 1, 2, 4, 8."""
    hashes = (code_points.astype(np.uint64) + np.uint64(1)) * _MULTIPLIER
    width = 1
    while width < _ORDER:
        hashes = (hashes[:-width] ^ (hashes[:-width] >> np.uint64(29))) * _MULTIPLIER + hashes[
            width:
        ]
        width *= 2
    return hashes * _MULTIPLIER
