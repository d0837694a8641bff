"""The substrings of all words that occur often enough to become pieces, as a tree.

Takes: sorted words with weights, and the least weight. Gives: a node for each such substring and,
for each place in the words, the nodes of the substrings that begin there.
Source: a level-wise search (Agrawal and Srikant, VLDB 1994): a substring weighs no more than its
prefix, so what falls below the least weight is not made longer.

P places in words, N nodes. Every step is one NumPy call over all places of a length, and exact: a
node is the pair (node of the prefix, next character), not a hash of its text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labse.vocab.tokenizer import CONTINUATION

__all__ = ["Level", "SubstringTree", "WordPlaces", "build_tree", "place_words", "sum_by"]

_CHARACTER_BITS = 21  # A code point is below 2**21.
_INNER = 1 << _CHARACTER_BITS  # Marks the first character of a substring that begins inside.


@dataclass(frozen=True, slots=True)
class WordPlaces:
    """All words, one after the other.

    Attributes:
        characters: (P,) code points.
        word_starts: (W,) the place of the first character of each word.
        left: (P,) how many characters the word has from this place on.
        weights: (P,) the weight of the word.
    """

    characters: NDArray[np.int32]
    word_starts: NDArray[np.int64]
    left: NDArray[np.int16]
    weights: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Level:
    """The substrings of one length.

    Attributes:
        parents: (N,) the node of the prefix, in the level above; 0 at the first level.
        characters: (N,) the last character; at the first level `_INNER` is added to those that
            begin inside a word.
        places: where they begin, with `nodes`, (P',) each.
        nodes: which node begins there.
    """

    parents: NDArray[np.int32]
    characters: NDArray[np.int32]
    places: NDArray[np.int32]
    nodes: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class SubstringTree:
    """Levels of substrings, by length from 1."""

    levels: list[Level]

    def weigh(self, weights: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Returns for each level (N,) sums of the (P,) weights of the places a node begins at."""
        return [
            sum_by(level.nodes, weights[level.places], len(level.parents)) for level in self.levels
        ]

    def longest(self, kept: Sequence[NDArray[np.bool_]], num_places: int) -> NDArray[np.int16]:
        """Returns for each place the length of the longest kept substring there, at least 1."""
        lengths = np.ones(num_places, np.int16)
        for length, (level, mask) in enumerate(zip(self.levels, kept, strict=True), start=1):
            lengths[level.places[mask[level.nodes]]] = length
        return lengths

    def texts(self, kept: Sequence[NDArray[np.bool_]]) -> Iterator[list[str]]:
        """Yields the kept substrings of each length as pieces, in the order of their nodes."""
        texts: list[str] = []
        for number, (level, mask) in enumerate(zip(self.levels, kept, strict=True)):
            last = map(chr, (level.characters & (_INNER - 1)).tolist())
            if number == 0:
                heads = np.where(level.characters >= _INNER, CONTINUATION, "").tolist()
            else:
                heads = [texts[parent] for parent in level.parents.tolist()]
            texts = [head + character for head, character in zip(heads, last, strict=True)]
            yield [texts[node] for node in np.flatnonzero(mask).tolist()]


def place_words(words: Sequence[str], weights: NDArray[np.float64]) -> WordPlaces:
    """Lays the words end to end."""
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    characters = np.frombuffer("".join(words).encode("utf-32-le"), np.int32)
    starts = np.cumsum(lengths) - lengths
    ends = np.repeat(starts + lengths, lengths)
    left = (ends - np.arange(len(characters))).astype(np.int16)
    return WordPlaces(characters, starts, left, np.repeat(weights, lengths))


def build_tree(places: WordPlaces, *, min_weight: float, max_length: int) -> SubstringTree:
    """Builds the tree of all substrings of at least `min_weight`.

    Args:
        min_weight: the least weight of a node, inclusive; single characters are all there.
        max_length: of a substring, in characters.
    """
    num_places = len(places.characters)
    keys = places.characters.astype(np.int64) + _INNER
    keys[places.word_starts] -= _INNER
    here = np.arange(num_places, dtype=np.int32)
    levels: list[Level] = []
    for length in range(1, max_length + 1):
        unique, nodes = _number(keys)
        weights = sum_by(nodes, places.weights[here], len(unique))
        heavy = weights >= (min_weight if length > 1 else 0.0)
        if not heavy.any():
            break
        chosen = heavy[nodes]
        here = here[chosen]
        nodes = (np.cumsum(heavy, dtype=np.int32) - 1)[nodes[chosen]]
        unique = unique[heavy]
        bits = _CHARACTER_BITS + (length == 1)
        parents = (unique >> bits).astype(np.int32)
        characters = (unique & ((1 << bits) - 1)).astype(np.int32)
        levels.append(Level(parents, characters, here, nodes))

        # Light characters end here; heavy substrings go on where their word does.
        more = places.left[here] > length
        if length == 1:
            more &= weights[heavy][nodes] >= min_weight
        here = here[more]
        keys = nodes[more].astype(np.int64) << _CHARACTER_BITS
        keys |= places.characters[here + length]
    return SubstringTree(levels)


def _number(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Returns the distinct keys, sorted, and for each key its number among them."""
    order = np.argsort(keys)
    ordered = keys[order]
    is_first = np.empty(len(keys), np.bool_)
    is_first[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    unique = ordered[is_first]
    del ordered
    numbers = np.empty(len(keys), np.int32)
    numbers[order] = np.cumsum(is_first, dtype=np.int32) - 1
    return unique, numbers


def sum_by(
    numbers: NDArray[np.int32], weights: NDArray[np.float64], size: int
) -> NDArray[np.float64]:
    """Returns (size,) the sum of the weights of each number."""
    return np.bincount(numbers, weights, minlength=size).astype(np.float64, copy=False)
