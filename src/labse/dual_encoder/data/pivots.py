"""Pairs of two languages that share a third: en-xx and en-yy give xx-yy.

Dimensions: P pairs with a side in the pivot language, B pairs asked about.
"""

import re

import numpy as np
from numpy.typing import NDArray

from labse.dual_encoder.data.pairs import TokenizedPairs
from labse.errors import LabseError

__all__ = ["PivotIndex"]

# A tag may name a script, too: eng-zho-Hant.
_LANG_PAIR = re.compile(r"([a-z]+(?:-[A-Z]\w*)?)-([a-z]+(?:-[A-Z]\w*)?)")
_TRIES = 8  # To find a partner in another language among the pairs of a sentence.


class PivotIndex:
    """Finds the other translations of a sentence in the pivot language.

    Memory is 8 bytes a pair.

    Args:
        pairs: the training data.
        candidates: (P,) pairs that may be partners.
        pivot_lang: canonical tag of the pivot language.

    Raises:
        LabseError: no pair has a side in this language.
    """

    def __init__(
        self, pairs: TokenizedPairs, candidates: NDArray[np.uint32], *, pivot_lang: str
    ) -> None:
        self._pairs = pairs
        sides = [_split(name, pivot_lang) for name in pairs.lang_pairs]
        names = sorted({other for _, other in sides})
        # By language pair: which side is in the pivot language (-1: none), and what the other is.
        self._pivot_sides = np.array([side for side, _ in sides], dtype=np.int8)
        self._others = np.array([names.index(other) for _, other in sides])
        candidates = np.sort(candidates)
        candidates = candidates[self._pivot_sides[pairs.pair_langs[candidates]] >= 0]
        if not len(candidates):
            raise LabseError(
                f"data.pivot_share: no pair has a side in {pivot_lang}; set data.pivot_lang"
            )
        keys = self.pivot_sentences(candidates.astype(np.int64))
        by_key = np.argsort(keys, kind="stable")
        self._keys, self._by_key = keys[by_key].astype(np.int32), candidates[by_key]

    def pivot_sentences(self, indices: NDArray[np.int64]) -> NDArray[np.int32]:
        """Returns (B,) sentence numbers: the pivot side of each pair, or the source if none is."""
        side = np.maximum(self._pivot_sides[self._pairs.pair_langs[indices]], 0)
        return self._pairs.pairs[indices, side]

    def find_partners(
        self, indices: NDArray[np.int64], generator: np.random.Generator
    ) -> NDArray[np.int64]:
        """Returns (B,) pairs that share the pivot sentence, or -1.

        A partner is in another language and has another text (a name may be the same in many). Of
        the pairs of the sentence eight are drawn at random; -1 if none of them will do.
        """
        langs = self._pairs.pair_langs[indices]
        sides = self._pivot_sides[langs]
        keys = self.pivot_sentences(indices)
        first = np.searchsorted(self._keys, keys, side="left")
        num_sharing = np.searchsorted(self._keys, keys, side="right") - first
        texts = self._pairs.pairs[indices, 1 - np.maximum(sides, 0)]

        partners = np.full(len(indices), -1, dtype=np.int64)
        for _ in range(_TRIES):
            drawn = first + (generator.random(len(indices)) * num_sharing).astype(np.int64)
            found = self._by_key[np.minimum(drawn, len(self._by_key) - 1)].astype(np.int64)
            found_texts = self._pairs.pairs[found, 1 - self._side(found)]
            is_other = self._others[self._pairs.pair_langs[found]] != self._others[langs]
            fits = is_other & (found_texts != texts) & (sides >= 0) & (num_sharing > 0)
            partners = np.where((partners < 0) & fits, found, partners)
        return partners

    def other_sides(
        self, indices: NDArray[np.int64], partners: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Returns (B, 2) sides (see `sides_of`): of both pairs the one that is not the pivot."""
        ends = [2 * rows + 1 - self._side(rows) for rows in (indices, partners)]
        return np.stack(ends, axis=1)

    def _side(self, indices: NDArray[np.int64]) -> NDArray[np.int8]:
        sides: NDArray[np.int8] = self._pivot_sides[self._pairs.pair_langs[indices]]
        return sides


def _split(lang_pair: str, pivot_lang: str) -> tuple[int, str]:
    """Returns which side of `eng-deu` is the pivot, -1 for none or both, and the other language."""
    match = _LANG_PAIR.fullmatch(lang_pair)
    source, target = match.groups() if match else (lang_pair, lang_pair)
    if (source == pivot_lang) == (target == pivot_lang):
        return -1, lang_pair
    return (0, target) if source == pivot_lang else (1, source)
