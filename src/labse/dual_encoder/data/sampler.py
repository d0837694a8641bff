"""The batches of a run, drawn from tokenised pairs.

Dimensions: P pairs, W batches of a window, B pairs of a batch. Pairs are drawn as the numbers of
their sides (`sides_of`), for a pair may be turned round, or made of sides of two stored ones.
"""

import logging

import numpy as np
from numpy.typing import NDArray

from labse.corpus.languages import canonical_tag
from labse.dual_encoder.config import DataConfig
from labse.dual_encoder.data.groups import group_pairs
from labse.dual_encoder.data.pairs import TokenizedPairs, sides_of
from labse.dual_encoder.data.passes import Passes
from labse.dual_encoder.data.pivots import PivotIndex
from labse.errors import LabseError

__all__ = ["PairSampler"]

_LOGGER = logging.getLogger(__name__)
_TRIES = 8  # To fill a window with distinct sentences, before all pairs are looked at.
_POOL_BATCHES = 4  # A batch of one language pair is one of these, each of like lengths.
# A group of fewer pairs than so many windows draw of it is drawn in passes. Where repeats are
# skipped, runs of far more pairs keep the batches that they had before there were passes.
_PASS_WINDOWS = {"skip": 5, "mask": 64}
_PART_PAIRS = 1 << 22  # Passes begin anew after so many pairs, for a run that goes on to redo.


class PairSampler:
    """Draws batches of pairs: languages smoothed, lengths alike, no sentence twice.

    Batches are drawn a window at a time and a window is a function of (seed, number of the window),
    so batch `step` is the same however the run got there: there is no cursor to store. It is the
    batch of all devices together, so their number does not count either.

    In a window, languages are drawn with probability share^smoothing_exponent, then the corpus
    with probability (share within the language)^corpus_exponent, then the pair uniformly. Small
    groups are drawn in passes: each pair once before any comes twice, over the windows too. A pair
    with a sentence already in the window, on either side, is left out, for its copy would be a
    false negative; with repeats="mask" it stays, and the loss has to leave its copies out, but no
    pair stands twice in a window. A window is a quarter of the data at most. The pairs are sorted
    by length and cut into batches.

    With batches="one-language-pair" a language pair is drawn for each batch, then its pairs. One
    with fewer pairs than a batch, as far as they share no sentence, is never drawn (a warning
    names it); with repeats="mask" its batches hold all of its pairs, some more than once.

    With batches="by-corpus" the pairs of a window, twice as many batches, are sorted by corpus and
    then by length: negatives are sentences of the same kind, and harder.

    Args:
        pairs: the training data.
        config: the proportions.
        batch_size: B, for all devices together.
        seed: the seed of the draws.
        window_batches: W, at most.

    Raises:
        LabseError: there are fewer distinct pairs than a batch holds, and repeats are skipped.
    """

    def __init__(
        self,
        pairs: TokenizedPairs,
        config: DataConfig,
        *,
        batch_size: int,
        seed: int,
        window_batches: int = 16,
    ) -> None:
        self.batch_size = batch_size
        self._pairs = pairs
        self._sentences = pairs.pairs.reshape(-1)  # By side.
        self._config = config
        self._seed = seed
        self._groups = group_pairs(pairs, config, seed=seed)
        self._pivots: PivotIndex | None = None
        if config.pivot_share:
            pivot_lang = canonical_tag(config.pivot_lang)
            self._pivots = PivotIndex(pairs, self._groups.order, pivot_lang=pivot_lang)

        self._lang_probs = self._groups.probs.sum(axis=1)
        self._window_batches = window_batches
        if config.batches == "one-language-pair":
            self._window_batches = 1
            self._lang_probs = self._probs_of_large_enough()
        else:
            if config.batches == "by-corpus":
                self._window_batches *= 2  # For small corpora to fill a batch of their own.
            self._window_batches = self._fitting_window(self._window_batches)
        # Corpora that are drawn by their size are one: passes are over a language pair.
        self._united = len(pairs.corpora) if config.corpus_exponent == 1 else 1
        starts = self._groups.starts[:: self._united]
        is_small = self._find_small(starts, window_batches)
        self._passes = Passes(self._groups.order, starts, is_small, seed=seed)
        self._part_windows = max(64, _PART_PAIRS // (self._window_batches * batch_size))
        self._window_number = -1
        self._window: NDArray[np.int64] = np.empty((0, 0, 2), dtype=np.int64)

    def sides(self, step: int) -> NDArray[np.int64]:
        """Returns the (B, 2) sides of pairs that update `step`, from 0, trains on."""
        window_number, position = divmod(step, self._window_batches)
        if window_number != self._window_number:
            self._window = self._load_window(window_number)
            self._window_number = window_number
        sides: NDArray[np.int64] = self._window[position]
        return sides

    # ---- Windows ----

    def _load_window(self, number: int) -> NDArray[np.int64]:
        """Returns a window; passes depend on those before it in its part of the run."""
        if not self._passes.is_small.any():
            return self._draw_window(number)
        part, after_first = divmod(number, self._part_windows)
        first = self._window_number + 1
        if not number - after_first < first <= number:
            first = number - after_first
            self._passes.restart(part)
        for earlier in range(first, number):
            self._draw_window(earlier)
        return self._draw_window(number)

    def _draw_window(self, number: int) -> NDArray[np.int64]:
        generator = np.random.default_rng([self._seed, number])
        if self._config.batches == "one-language-pair":
            sides_WB2 = self._draw_of_one_lang_pair(generator)
        else:
            drawn = self._draw_distinct(generator, self._window_batches * self.batch_size)
            sides_WB2 = self._cut(drawn, generator)
        used = sides_WB2[..., 0].reshape(-1) // 2
        self._passes.settle(used, self._pass_groups_of(used))
        if self._config.direction == "random":
            is_turned = generator.random(sides_WB2.shape[:2]) < 0.5
            sides_WB2 = np.where(is_turned[..., None], sides_WB2[..., ::-1], sides_WB2)
        return sides_WB2

    def _draw_distinct(
        self, generator: np.random.Generator, wanted: int, lang: int | None = None
    ) -> NDArray[np.int64]:
        """Returns (wanted, 2) sides; fewer where a language pair has no more distinct ones."""
        drawn = np.empty((0, 2), dtype=np.int64)
        for _ in range(_TRIES):
            drawn = self._without_repeats(
                np.concatenate([drawn, self._draw(generator, wanted, lang)])
            )
            if len(drawn) >= wanted:
                return drawn[:wanted]

        # Few pairs or very uneven languages: what passes have left, the next passes, all pairs.
        order = self._groups.order if lang is None else self._groups.of_lang(lang)
        groups = self._pass_groups(lang)
        for of_next_too in (False, True):
            rest = generator.permutation(self._passes.offer_rest(groups, of_next_too=of_next_too))
            drawn = self._without_repeats(np.concatenate([drawn, sides_of(rest)]))
            if len(drawn) >= wanted:
                return drawn[:wanted]
        others = sides_of(generator.permutation(order).astype(np.int64))
        drawn = self._without_repeats(np.concatenate([drawn, others]))
        if len(drawn) >= wanted or self._config.repeats == "mask":
            return drawn[:wanted]
        # In this order there are enough, as the constructor has checked.
        drawn = generator.permutation(self._without_repeats(sides_of(np.sort(order))))
        return drawn[:wanted]

    def _draw(
        self, generator: np.random.Generator, size: int, lang: int | None
    ) -> NDArray[np.int64]:
        indices, groups = self._groups.draw(generator, size, lang)
        indices = self._passes.replace(indices, groups // self._united)
        sides = sides_of(indices)
        if self._pivots is not None:
            is_asked = generator.random(len(indices)) < self._config.pivot_share
            partners = self._pivots.find_partners(indices, generator)
            is_pivoted = is_asked & (partners >= 0)
            sides[is_pivoted] = self._pivots.other_sides(indices[is_pivoted], partners[is_pivoted])
        return sides

    def _cut(self, sides: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
        """Returns (W, B, 2): batches of like lengths, and corpora if asked, in random order."""
        if len(sides) < self.batch_size:  # All pairs there are, and as many again as it takes.
            sides = np.resize(sides, (self.batch_size, 2))
        offsets = self._pairs.offsets
        sentences = self._sentences[sides]
        lengths = (offsets[sentences + 1] - offsets[sentences]).max(axis=1)
        order = np.argsort(lengths, kind="stable")
        if self._config.batches == "by-corpus":
            corpora = self._pairs.pair_corpora[sides[:, 0] // 2]
            order = order[np.argsort(corpora[order], kind="stable")]
        batches = sides[order].reshape(-1, self.batch_size, 2)
        shuffled: NDArray[np.int64] = batches[generator.permutation(len(batches))]
        return shuffled

    def _draw_of_one_lang_pair(self, generator: np.random.Generator) -> NDArray[np.int64]:
        lang = int(generator.choice(len(self._lang_probs), p=self._lang_probs))
        # A pool that goes past the end of a pass would leave pairs of the pass out.
        num_left = self._passes.num_left(self._pass_groups(lang))
        pool_batches = min(_POOL_BATCHES, max(1, num_left // self.batch_size))
        pool = self._draw_distinct(generator, pool_batches * self.batch_size, lang)
        num_whole = max(len(pool) // self.batch_size * self.batch_size, self.batch_size)
        return self._cut(pool[:num_whole], generator)[:1]

    def _pass_groups(self, lang: int | None) -> NDArray[np.int64]:
        """Returns the groups of passes, of all language pairs or of one."""
        num_langs, num_corpora = self._groups.probs.shape
        per_lang = num_corpora // self._united
        first, num = (0, num_langs * per_lang) if lang is None else (lang * per_lang, per_lang)
        return np.arange(first, first + num)

    def _pass_groups_of(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        langs = self._pairs.pair_langs[indices].astype(np.int64)
        groups = langs * len(self._pairs.corpora) + self._pairs.pair_corpora[indices]
        of_passes: NDArray[np.int64] = groups // self._united
        return of_passes

    def _without_repeats(self, sides: NDArray[np.int64]) -> NDArray[np.int64]:
        """Keeps the pairs whose sentences appear there for the first time, in order.

        Where repeats are masked, a pair appears for the first time, whatever its sentences. With
        pivots the sentence that a pair comes from counts as one of its sentences, for all of its
        translations are translations of each other.
        """
        if self._config.repeats == "mask":
            first = np.unique(sides[:, 0] // 2, return_index=True)[1]
            once: NDArray[np.int64] = sides[np.sort(first)]
            return once
        sentences = self._sentences[sides]
        if self._pivots is not None:
            sources = self._pivots.pivot_sentences(sides[:, 0] // 2)
            sentences = np.concatenate([sentences, sources[:, None]], axis=1)
        _, first, inverse = np.unique(sentences, return_index=True, return_inverse=True)
        width = sentences.shape[1]
        first_rows = (first // width)[inverse].reshape(-1, width)
        is_new = (first_rows == np.arange(len(sides))[:, None]).all(axis=1)
        kept: NDArray[np.int64] = sides[is_new & (sentences[:, 0] != sentences[:, 1])]
        return kept

    # ---- Whether there is enough ----

    def _fitting_window(self, window_batches: int) -> int:
        needed = 4 * self.batch_size * window_batches
        num_distinct = self._count_distinct(np.sort(self._groups.order), needed)
        if num_distinct < self.batch_size and self._config.repeats == "skip":
            raise LabseError(self._too_few(num_distinct, ""))
        return max(1, min(window_batches, num_distinct // (4 * self.batch_size)))

    def _find_small(self, starts: NDArray[np.int64], full_window: int) -> NDArray[np.bool_]:
        """Returns which groups are drawn in passes: all, where data makes windows smaller."""
        sizes = np.diff(starts)
        if self._window_batches < full_window and self._config.batches != "one-language-pair":
            return sizes > 0
        probs = self._groups.probs
        if self._config.batches == "one-language-pair":
            probs = probs / np.maximum(probs.sum(axis=1, keepdims=True), np.finfo(float).tiny)
        num_drawn = min(self._window_batches, full_window) * self.batch_size
        shares = probs.reshape(-1, self._united).sum(axis=1)
        most = _PASS_WINDOWS[self._config.repeats] * num_drawn * shares
        is_small: NDArray[np.bool_] = (sizes > 0) & (sizes < most)
        return is_small

    def _count_distinct(self, order: NDArray[np.uint32], needed: int) -> int:
        """Returns how many of the first pairs share no sentence; counts until it has `needed`."""
        num_looked_at = 2 * needed
        while True:
            num_distinct = len(self._without_repeats(sides_of(order[:num_looked_at])))
            if num_distinct >= needed or num_looked_at >= len(order):
                return num_distinct
            num_looked_at *= 4

    def _probs_of_large_enough(self) -> NDArray[np.float64]:
        probs: NDArray[np.float64] = self._lang_probs / self._lang_probs.sum()
        if self._config.repeats == "mask":
            return probs
        sizes = {
            lang: self._count_distinct(np.sort(self._groups.of_lang(lang)), self.batch_size)
            for lang in np.flatnonzero(probs).tolist()
        }
        small = [lang for lang, size in sizes.items() if size < self.batch_size]
        if len(small) == len(sizes):
            raise LabseError(self._too_few(max(sizes.values()), " of one language pair"))
        if small:
            named = ", ".join(f"{self._pairs.lang_pairs[lang]} {sizes[lang]}" for lang in small[:8])
            _LOGGER.warning(
                "%d of %d language pairs are never drawn, for they have fewer than %d pairs that "
                'share no sentence: %s%s; lower global_batch_size or set data.repeats = "mask"',
                len(small),
                len(sizes),
                self.batch_size,
                named,
                ", ..." if len(small) > 8 else "",
            )
        probs[small] = 0
        probs /= probs.sum()
        return probs

    def _too_few(self, num_distinct: int, what: str) -> str:
        return (
            f"a batch of {self.batch_size} pairs{what} needs as many that share no sentence, and "
            f"there are {num_distinct}; lower global_batch_size, give more data "
            'or take repeats too (data.repeats = "mask")'
        )
