"""Near copies of pairs: which are one pair, and which of them stays.

Takes: keys, or texts, and scores of pairs. Gives: for each the number of the one that stays in its
    place.
Source: the key is that of bifixer as an idea: case, punctuation, digits and spaces do not count.
    Texts are compared as `labse.cleaning.near_copies` does.
"""

import hashlib
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.cleaning.near_copies import find_near_copies, split_rows
from labse.files.stage import open_stage

__all__ = ["choose_best", "choose_near", "near_key"]


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


def choose_near(
    parts: Sequence[Path],
    sizes: Sequence[int],
    is_kept: NDArray[np.bool_],
    scores: NDArray[np.float32],
    min_similarity: float,
) -> NDArray[np.int64]:
    """Returns (N,) the number of the row that stays for each; itself for all but near copies.

    From the best score to the least, a row stays unless one that stays is like it.

    Args:
        parts: files of pairs, N rows in all.
        sizes: rows of each.
        is_kept: (N,) the rows that are asked about.
        scores: (N,) the higher the better.
        min_similarity: of each side, see `labse.cleaning.near_copies.jaccard_similarity`.
    """
    with open_stage(None, {}) as stage:
        similar = find_near_copies(parts, stage, "pairs", min_similarity)[:, :2]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    shards, rows = split_rows(similar)
    numbers = starts[shards] + rows
    numbers = numbers[is_kept[numbers].all(axis=1)]

    # Each pair of rows both ways; those that each is like stand one after another.
    both = np.concatenate([numbers, numbers[:, ::-1]])
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    asked, edges = np.unique(both[:, 0], return_index=True)
    edges = np.append(edges, len(both))
    stays = np.arange(len(is_kept))
    is_done = np.zeros(len(is_kept), bool)
    for place in np.lexsort((asked, -scores[asked])).tolist():
        row, others = asked[place], both[edges[place] : edges[place + 1], 1]
        better = others[is_done[others] & (stays[others] == others)]
        if len(better):
            stays[row] = better[np.lexsort((better, -scores[better]))[0]]
        is_done[row] = True
    return stays
