"""The batches of a run, drawn from tokenised pairs.

Dimensions: P pairs, B pairs of a batch.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from labse.corpus.sampling import smoothed_shares
from labse.dual_encoder.pairs import TokenizedPairs
from labse.errors import LabseError

__all__ = ["PairSampler"]


class PairSampler:
    """Draws batches of pairs: languages smoothed, lengths alike, no sentence twice.

    Batches are drawn a window at a time and a window is a function of (seed, number of the window),
    so batch `step` is the same however the run got there: there is no cursor to store.

    In a window, languages are drawn with probability share^smoothing_exponent, then the corpus
    with probability (share within the language)^corpus_exponent, then the pair uniformly. A pair
    with a sentence already in the window, on either side, is left out, for its copy would be a
    false negative; with repeats="mask" it stays, and the loss has to leave its copies out. The
    pairs are sorted by length and cut into batches.

    Raises:
        LabseError: there are fewer distinct pairs than a batch holds, and repeats are skipped.
    """

    def __init__(
        self,
        pairs: TokenizedPairs,
        *,
        batch_size: int,
        smoothing_exponent: float,
        corpus_exponent: float = 1.0,
        repeats: Literal["skip", "mask"] = "skip",
        seed: int,
        window_batches: int = 16,
    ) -> None:
        self.batch_size = batch_size
        self._pairs = pairs
        self._seed = seed

        # Pairs of one language and corpus lie together: order[starts[g]:starts[g + 1]].
        groups = pairs.pair_langs.astype(np.int64) * len(pairs.corpora) + pairs.pair_corpora
        self._order = np.argsort(groups, kind="stable")
        counts = np.bincount(groups, minlength=len(pairs.lang_pairs) * len(pairs.corpora))
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        counts_by_lang = counts.reshape(len(pairs.lang_pairs), len(pairs.corpora))
        self._probs = _group_probs(counts_by_lang, smoothing_exponent, corpus_exponent).ravel()

        self._repeats = repeats
        self._window_batches = window_batches
        if repeats == "skip":
            self._window_batches = self._fitting_window(window_batches)
        self._window_number = -1
        self._window: NDArray[np.int32] = np.empty((0, 0, 2), dtype=np.int32)

    def _fitting_window(self, window_batches: int) -> int:
        num_distinct = len(_without_repeats(np.asarray(self._pairs.pairs)))
        if num_distinct < self.batch_size:
            raise LabseError(
                f"a batch of {self.batch_size} pairs needs as many that share no sentence, and "
                f"there are {num_distinct}; lower global_batch_size, give more data "
                'or take repeats too (data.repeats = "mask")'
            )
        return max(1, min(window_batches, num_distinct // (4 * self.batch_size)))

    def batch(self, step: int) -> NDArray[np.int32]:
        """Returns the (B, 2) sentence numbers of update `step`, from 0."""
        window_number, position = divmod(step, self._window_batches)
        if window_number != self._window_number:
            self._window = self._draw_window(window_number)
            self._window_number = window_number
        batch: NDArray[np.int32] = self._window[position]
        return batch

    def _draw_window(self, number: int) -> NDArray[np.int32]:
        generator = np.random.default_rng([self._seed, number])
        wanted = self._window_batches * self.batch_size
        if self._repeats == "mask":
            return self._cut(self._draw(generator, wanted), generator)
        drawn = np.empty((0, 2), dtype=np.int32)
        for _ in range(8):
            drawn = _without_repeats(np.concatenate([drawn, self._draw(generator, wanted)]))
            if len(drawn) >= wanted:
                break
        else:
            # Few pairs or very uneven languages: these are enough, as the constructor has checked.
            drawn = generator.permutation(_without_repeats(np.asarray(self._pairs.pairs)))
        return self._cut(drawn[:wanted], generator)

    def _draw(self, generator: np.random.Generator, size: int) -> NDArray[np.int32]:
        groups = generator.choice(len(self._probs), size=size, p=self._probs)
        starts, ends = self._starts[groups], self._starts[groups + 1]
        return np.asarray(self._pairs.pairs[self._order[generator.integers(starts, ends)]])

    def _cut(self, drawn: NDArray[np.int32], generator: np.random.Generator) -> NDArray[np.int32]:
        offsets = self._pairs.offsets
        lengths = (offsets[drawn + 1] - offsets[drawn]).max(axis=1)
        batches = drawn[np.argsort(lengths, kind="stable")].reshape(-1, self.batch_size, 2)
        shuffled: NDArray[np.int32] = batches[generator.permutation(len(batches))]
        return shuffled


def _group_probs(
    counts: NDArray[np.int64], smoothing_exponent: float, corpus_exponent: float
) -> NDArray[np.float64]:
    """Returns the probability of each language (row) and corpus (column) from numbers of pairs."""
    langs = smoothed_shares(_named(counts.sum(axis=1)), smoothing_exponent)
    # A language without pairs has share 0, and any corpus will do.
    rows = [
        smoothed_shares(_named(np.maximum(row, row.max() < 1)), corpus_exponent) for row in counts
    ]
    return np.array(
        [[langs[str(i)] * share for share in row.values()] for i, row in enumerate(rows)]
    )


def _named(counts: NDArray[np.int64]) -> dict[str, int]:
    return {str(index): count for index, count in enumerate(counts.tolist())}


def _without_repeats(pairs: NDArray[np.int32]) -> NDArray[np.int32]:
    """Keeps the pairs both of whose sentences appear there for the first time, in order."""
    is_first = np.zeros(pairs.size, dtype=bool)
    is_first[np.unique(pairs, return_index=True)[1]] = True
    return pairs[is_first.reshape(-1, 2).all(axis=1)]
