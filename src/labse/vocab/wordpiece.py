"""The default learner: WordPiece from the top down, as Google's vocabularies are learnt.

Takes: weighted words. Gives: the pieces, special tokens first, the same each time.
Source: tensorflow.org/text/guide/subwords_tokenizer, "Applying WordPiece" and "Optional: the
algorithm"; the defaults of its learner: 4 iterations, words of at most 50 characters.

1. Weigh all substrings of all words; after the first iteration only those that begin where a piece
   of the word begins now.
2. From the longest to the shortest: one whose weight is at least T is kept, and its weight is taken
   off all its prefixes, so that a prefix is kept for what it explains itself.
3. Cut the words anew with what is kept, the longest piece first, and go to 1.

Departures: T is searched in each iteration, where the weights are at hand, in place of all
iterations for each T. The places that the last T leaves are filled with the heaviest of the rest,
so that the size is exact. The limit of 50 is on pieces, not on words: the guide's learner drops the
phrases of unspaced scripts that are longer.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labse.runtime import OnProgress
from labse.vocab.alphabet import ALPHABET_SIZE, ROUNDING, choose_alphabet
from labse.vocab.substrings import (
    SubstringTree,
    WordPlaces,
    build_tree,
    place_words,
    sum_by,
)

__all__ = ["learn_wordpiece"]

_LOGGER = logging.getLogger(__name__)
_NUM_ITERATIONS = 4
_MAX_PIECE_CHARS = 50
_MAX_PLACES = 50_000_000
_SEARCH_STEPS = 40  # Halvings of the logarithm of T.


def learn_wordpiece(
    word_counts: Mapping[str, float],
    *,
    vocab_size: int,
    min_count: float = 2,
    alphabet_size: int = ALPHABET_SIZE,
    num_iterations: int = _NUM_ITERATIONS,
    max_places: int = _MAX_PLACES,
    on_progress: OnProgress | None = None,
) -> list[str]:
    """Learns the pieces of a vocabulary from the longest substring down.

    Gives the special tokens, the alphabet, its `##` forms and the learnt pieces, the heaviest
    first. The list has exactly `vocab_size` pieces, fewer where the words give no more. The same
    words give the same list, in whatever order they come. What is not told below is as in
    `learn_bpe`.

    Args:
        num_iterations: how often the words are cut and the substrings weighed.
        max_places: the most characters of all words together, which bounds the memory: beyond it
            the lightest words are left out.
        on_progress: called with the iterations done and their number.

    Raises:
        LabseError: there is no word, or no character of weight `min_count`.
        UsageError: `vocab_size` cannot hold the special tokens and the alphabet.
        ValueError: a word is none of `count_words`, as "a b" or "end.".
    """
    if num_iterations < 1:
        raise ValueError(f"num_iterations is {num_iterations}; give 1 or more")
    alphabet = choose_alphabet(
        word_counts, vocab_size=vocab_size, min_count=min_count, alphabet_size=alphabet_size
    )
    num_learnt = vocab_size - len(alphabet.pieces)
    words, weights = _bound_words(alphabet.words, max_places)
    if not num_learnt or not words:
        return alphabet.pieces

    places = place_words(words, weights)
    least = min_count * (1 - ROUNDING)
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    can_be_pieces = (lengths > 1) & (lengths <= _MAX_PIECE_CHARS)
    search_from = max(least, _least_threshold(weights[can_be_pieces], num_learnt))
    tree = build_tree(places, min_weight=search_from, max_length=_MAX_PIECE_CHARS)

    begins = np.ones(len(places.characters), np.bool_)
    for iteration in range(num_iterations):
        if on_progress is not None:
            on_progress(iteration, num_iterations)
        node_weights = tree.weigh(np.where(begins, places.weights, 0.0))
        choice = _choose(tree, node_weights, num_learnt, least=least, search_from=search_from)
        if iteration == num_iterations - 1:
            break
        begins = _cut_words(places, tree.longest(choice.kept, len(begins)))
    if on_progress is not None:
        on_progress(num_iterations, num_iterations)
    return [*alphabet.pieces, *_order(tree, choice)]


@dataclass(frozen=True, slots=True)
class _Choice:
    """What is kept of each level (N,), and the weights (N,) left when prefixes are discounted."""

    kept: list[NDArray[np.bool_]]
    left: list[NDArray[np.float64]]

    @property
    def num_kept(self) -> int:
        """Kept substrings of two characters or more; single ones are the alphabet's."""
        return sum(int(mask.sum()) for mask in self.kept[1:])


def _bound_words(
    words: Mapping[str, float], max_places: int
) -> tuple[list[str], NDArray[np.float64]]:
    """Returns the words, sorted, whose characters together fit, the heaviest first."""
    names = list(words)
    weights = np.fromiter(words.values(), np.float64, len(names))
    lengths = np.fromiter(map(len, names), np.int64, len(names))
    if lengths.sum() <= max_places:
        return names, weights
    order = np.argsort(-weights, kind="stable")
    chosen = np.sort(order[np.cumsum(lengths[order]) <= max_places])
    _LOGGER.info(
        "learning from the heaviest %s of %s words, to bound the memory",
        f"{len(chosen):,}",
        f"{len(names):,}",
    )
    return [names[number] for number in chosen.tolist()], weights[chosen]


def _least_threshold(word_weights: NDArray[np.float64], num_learnt: int) -> float:
    """Returns a weight that T cannot be below: each word of weight T or more is itself kept."""
    if len(word_weights) <= num_learnt:
        return 0.0
    place = len(word_weights) - num_learnt - 1
    return float(np.partition(word_weights, place)[place]) * (1 - ROUNDING)


def _choose(
    tree: SubstringTree,
    weights: Sequence[NDArray[np.float64]],
    num_learnt: int,
    *,
    least: float,
    search_from: float,
) -> _Choice:
    """Finds the least T that keeps at most `num_learnt` and fills up what it leaves."""
    best = _discount(tree, weights, search_from)
    if best.num_kept > num_learnt:
        low, high = search_from, max(float(w.max(initial=0.0)) for w in weights) * 2
        low = max(low, high * 1e-15)
        best = _discount(tree, weights, high)
        for _ in range(_SEARCH_STEPS):
            middle = float(np.sqrt(low * high))
            choice = _discount(tree, weights, middle)
            if choice.num_kept > num_learnt:
                low = middle
            else:
                high = middle
                best = max(best, choice, key=lambda choice: choice.num_kept)
    return _fill(best, num_learnt, least)


def _discount(
    tree: SubstringTree, weights: Sequence[NDArray[np.float64]], threshold: float
) -> _Choice:
    """Keeps, from the longest down, what weighs `threshold` and takes it off its prefixes."""
    kept: list[NDArray[np.bool_]] = []
    left: list[NDArray[np.float64]] = []
    taken = np.zeros(len(weights[-1]))
    for number in reversed(range(len(weights))):
        rest = weights[number] - taken
        mask = rest >= threshold
        kept.append(mask)
        left.append(rest)
        if number:
            passed_on = taken + np.where(mask, rest, 0.0)
            taken = sum_by(tree.levels[number].parents, passed_on, len(weights[number - 1]))
    return _Choice(kept[::-1], left[::-1])


def _fill(choice: _Choice, num_learnt: int, least: float) -> _Choice:
    """Keeps the heaviest of the rest, up to `num_learnt`; equal ones in the order of the tree."""
    missing = num_learnt - choice.num_kept
    if not missing or len(choice.kept) < 2:
        return choice
    kept = np.concatenate(choice.kept[1:])
    left = np.concatenate(choice.left[1:])
    others = np.flatnonzero(~kept & (left >= least))
    kept[others[np.argsort(-left[others], kind="stable")[:missing]]] = True
    ends = np.cumsum([len(mask) for mask in choice.kept[1:]])
    return _Choice([choice.kept[0], *np.split(kept, ends[:-1])], choice.left)


def _cut_words(places: WordPlaces, longest: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Returns (P,) whether a piece begins there when the longest piece is taken first."""
    begins = np.zeros(len(longest), np.bool_)
    here = places.word_starts
    while len(here):
        begins[here] = True
        step = longest[here]
        here = (here + step)[step < places.left[here]]
    return begins


def _order(tree: SubstringTree, choice: _Choice) -> list[str]:
    """Returns the kept pieces of two characters or more, the heaviest first, then by text."""
    pieces: list[tuple[float, str]] = []
    for number, texts in enumerate(tree.texts(choice.kept)):
        if number:
            left = choice.left[number][choice.kept[number]].tolist()
            pieces.extend(zip((-weight for weight in left), texts, strict=True))
    return [piece for _, piece in sorted(pieces)]
