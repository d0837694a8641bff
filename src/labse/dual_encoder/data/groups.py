"""Which pairs may be drawn and how often: groups of one language pair and one corpus.

Dimensions: P pairs, L language pairs, C corpora, G = L * C groups.
Source: smoothing of Devlin et al., multilingual BERT; caps as in LaBSE.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labse.corpus.sampling import smoothed_shares
from labse.dual_encoder.config import DataConfig
from labse.dual_encoder.data.held_out import choose_held_out
from labse.dual_encoder.data.pairs import TokenizedPairs

__all__ = ["PairGroups", "group_pairs"]

_CHUNK = 1 << 20
_CAP_STREAM = 1 << 32  # Beyond any number of a window, so that caps have a generator of their own.


@dataclass(frozen=True, slots=True)
class PairGroups:
    """The pairs sorted by group, and the probability of each group.

    Attributes:
        order: (P',) uint32 pairs that the caps leave; group g is order[starts[g]:starts[g + 1]].
        starts: (G + 1,) int64.
        probs: (L, C); rows sum to the probability of the language pair.
    """

    order: NDArray[np.uint32]
    starts: NDArray[np.int64]
    probs: NDArray[np.float64]

    def draw(
        self, generator: np.random.Generator, size: int, lang: int | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns `size` pairs, each drawn by itself, and their groups, of all languages or one."""
        probs = self.probs.ravel()
        if lang is not None:
            probs = np.zeros_like(self.probs)
            probs[lang] = self.probs[lang] / self.probs[lang].sum()
            probs = probs.ravel()
        groups = generator.choice(len(probs), size=size, p=probs)
        starts, ends = self.starts[groups], self.starts[groups + 1]
        return self.order[generator.integers(starts, ends)].astype(np.int64), groups

    def of_lang(self, lang: int) -> NDArray[np.uint32]:
        """Returns the pairs of a language pair."""
        num_corpora = self.probs.shape[1]
        first, last = self.starts[lang * num_corpora], self.starts[(lang + 1) * num_corpora]
        return self.order[first:last]


def group_pairs(pairs: TokenizedPairs, config: DataConfig, *, seed: int) -> PairGroups:
    """Leaves out what is held out, applies the caps, sorts by group and smooths.

    Memory is about 5 bytes a pair.

    What a cap leaves of a corpus or language pair is a random part, a function of the seed.
    """
    num_langs, num_corpora = len(pairs.lang_pairs), len(pairs.corpora)
    kept = np.ones(len(pairs.pairs), dtype=bool)
    kept[choose_held_out(pairs, config.held_out)] = False
    generator = np.random.default_rng([seed, _CAP_STREAM])
    if config.max_pairs_per_corpus is not None:
        _cap(kept, pairs.pair_corpora, num_corpora, config.max_pairs_per_corpus, generator)
    if config.max_pairs_per_lang_pair is not None:
        _cap(kept, pairs.pair_langs, num_langs, config.max_pairs_per_lang_pair, generator)

    counts = np.zeros(num_langs * num_corpora, dtype=np.int64)
    for _, groups in _iter_groups(pairs, kept):
        counts += np.bincount(groups, minlength=len(counts))
    starts = np.concatenate([[0], np.cumsum(counts)])

    # A counting sort, stable, a chunk at a time: pairs may be more than fit in memory as int64.
    order = np.empty(starts[-1], dtype=np.uint32)
    filled = starts[:-1].copy()
    for indices, groups in _iter_groups(pairs, kept):
        by_group = np.argsort(groups, kind="stable")
        sorted_groups = groups[by_group]
        in_chunk = np.bincount(groups, minlength=len(counts))
        first_of_group = np.cumsum(in_chunk) - in_chunk
        places = filled[sorted_groups] + np.arange(len(groups)) - first_of_group[sorted_groups]
        order[places] = indices[by_group]
        filled += in_chunk
    probs = _group_probs(
        counts.reshape(num_langs, num_corpora), config.smoothing_exponent, config.corpus_exponent
    )
    return PairGroups(order, starts, probs)


def _cap(
    kept: NDArray[np.bool_],
    labels: NDArray[np.int16],
    num_labels: int,
    max_pairs: int,
    generator: np.random.Generator,
) -> None:
    counts = np.bincount(np.asarray(labels)[kept], minlength=num_labels)
    for label in np.flatnonzero(counts > max_pairs):
        members = np.flatnonzero(kept & (labels == label))
        kept[generator.choice(members, len(members) - max_pairs, replace=False)] = False


def _iter_groups(
    pairs: TokenizedPairs, kept: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yields the numbers of the kept pairs and their groups, some at a time."""
    for start in range(0, len(kept), _CHUNK):
        indices = start + np.flatnonzero(kept[start : start + _CHUNK])
        langs = pairs.pair_langs[indices].astype(np.int64)
        yield indices, langs * len(pairs.corpora) + pairs.pair_corpora[indices]


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
