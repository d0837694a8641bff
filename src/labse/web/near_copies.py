"""Near copies of pairs: which are one pair, and which of them stays.

Takes: keys and scores of pairs. Gives: for each the number of the one that stays in its place.
Source: the key is that of bifixer as an idea: case, punctuation, digits and spaces do not count.
"""

import hashlib
import unicodedata

import numpy as np
from numpy.typing import NDArray

__all__ = ["choose_best", "near_key"]


def near_key(source: str, target: str, langs: str) -> bytes:
    """Returns what near copies of a pair share: the hash of its letters, of both sides."""
    sides = [_letters(text) or text for text in (source, target)]
    return hashlib.blake2b("\n".join((langs, *sides)).encode(), digest_size=16).digest()


def _letters(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(char for char in folded if unicodedata.category(char)[0] in "LM")


def choose_best(keys: NDArray[np.uint64], scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Returns (N,) the number of the best row with the same key; the first of equal ones.

    Args:
        keys: (N, 2) halves of the keys.
        scores: (N,) the higher the better.
    """
    order = np.lexsort((np.arange(len(keys)), -scores, keys[:, 1], keys[:, 0]))
    ordered = keys[order]
    is_first = np.ones(len(keys), bool)
    is_first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    best = np.empty(len(keys), np.int64)
    best[order] = order[is_first][np.cumsum(is_first) - 1]
    return best
