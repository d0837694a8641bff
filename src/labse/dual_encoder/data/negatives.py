"""Hard negatives of a batch: drawn from those of all pairs, which are mapped from disk.

Takes: what `negatives_on_disk.py` has written. Gives: for a batch, sentences that are further
candidates of the loss. Source: Gillick et al. 2019, arXiv 1909.10506; Guo et al. 2018, arXiv
1807.11906.

Dimensions: N distinct negatives, P pairs that have some, B pairs of a batch, H negatives drawn,
K translations of a negative in a batch, T tokens.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.dual_encoder.data.sentence_keys import KeyIndex, pair_keys, sentence_keys
from labse.errors import LabseError

__all__ = ["ARRAYS", "HardNegatives", "Negatives", "ragged"]

ARRAYS = ("input_ids", "sentences", "pairs", "negatives", "offsets", "known", "known_offsets")


@dataclass(frozen=True, slots=True)
class Negatives:
    """What a batch has beside its pairs; no sentence of it is in the batch or stands twice.

    Attributes:
        input_ids: (T,) ids of all H sentences: candidates for sources, then those for targets.
        lengths: (H,) tokens of each.
        num_targets: how many are candidates for sources.
        known: (H, K) places, among the B sources and then the B targets of the batch, of known
            translations of each; -1 for none.
    """

    input_ids: NDArray[np.int32]
    lengths: NDArray[np.int64]
    num_targets: int
    known: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class HardNegatives:
    """The negatives of all pairs, mapped from disk; a pair is found by its pieces.

    Attributes:
        input_ids: ids of the distinct negatives, one after the other.
        sentences: (N + 1,) where each begins.
        pairs: (P,) sorted keys of the pairs that have negatives.
        negatives: sentence numbers; those at the target's place of pair p begin at offsets[2 * p],
            those at the source's at offsets[2 * p + 1].
        offsets: (2 * P + 1,).
        known: keys of the translations that some pair of the data tells of, negative by negative.
        known_offsets: (N + 1,).
    """

    input_ids: NDArray[np.int32]
    sentences: NDArray[np.int64]
    pairs: NDArray[np.uint64]
    negatives: NDArray[np.int32]
    offsets: NDArray[np.int64]
    known: NDArray[np.uint64]
    known_offsets: NDArray[np.int64]

    @classmethod
    def load(cls, folder: Path) -> "HardNegatives":
        """Maps what `prepare_hard_negatives` wrote.

        Raises:
            LabseError: a file is missing or not an array.
        """
        try:
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
        except (OSError, ValueError, EOFError) as error:
            raise LabseError(f"{folder}: damaged ({error}); delete it and run again") from None
        return cls(**arrays)

    def draw(
        self,
        input_ids: NDArray[np.int32],
        lengths: NDArray[np.int64],
        *,
        num_per_pair: int,
        generator: np.random.Generator,
    ) -> Negatives:
        """Draws up to `num_per_pair` negatives a side for each pair of a batch, at random.

        A pair that stands the other way round in the data has its negatives turned round too.

        Args:
            input_ids: (T,) ids of the B sources and then of the B targets of the batch.
            lengths: (2 * B,) tokens of each.
            num_per_pair: 1 at least.
            generator: of the step.
        """
        keys = sentence_keys(input_ids, lengths)
        sources, targets = np.split(keys, 2)
        index = KeyIndex(self.pairs)
        as_stored = index.find(pair_keys(sources, targets))
        turned = index.find(pair_keys(targets, sources))

        in_batch = KeyIndex.of(keys)
        drawn = []
        for side in (0, 1):  # Of the target's place, of the source's.
            entries = np.where(as_stored >= 0, 2 * as_stored + side, 2 * turned + 1 - side)
            entries = entries[(as_stored >= 0) | (turned >= 0)]
            drawn.append(self._choose(entries, in_batch, num_per_pair, generator))
        sentences = np.concatenate(drawn)
        flat, lengths = self._gather(sentences)
        return Negatives(flat, lengths, len(drawn[0]), self._find_known(sentences, in_batch))

    def _choose(
        self,
        entries: NDArray[np.int64],
        in_batch: KeyIndex,
        num_per_pair: int,
        generator: np.random.Generator,
    ) -> NDArray[np.int64]:
        rows, positions = ragged(self.offsets, entries)
        sentences = self.negatives[positions].astype(np.int64)
        # One that is in the batch is a candidate there already, and is not counted twice.
        is_new = in_batch.find(sentence_keys(*self._gather(sentences))) < 0
        rows, sentences = rows[is_new], sentences[is_new]
        order = np.lexsort((generator.random(len(rows)), rows))
        rows, sentences = rows[order], sentences[order]
        ranks = np.arange(len(rows)) - np.searchsorted(rows, rows)
        chosen = sentences[ranks < num_per_pair]
        return chosen[np.sort(np.unique(chosen, return_index=True)[1])]

    def _gather(self, sentences: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        _, positions = ragged(self.sentences, sentences)
        return self.input_ids[positions], self.sentences[sentences + 1] - self.sentences[sentences]

    def _find_known(self, sentences: NDArray[np.int64], in_batch: KeyIndex) -> NDArray[np.int64]:
        rows, positions = ragged(self.known_offsets, sentences)
        places = in_batch.find(self.known[positions])
        rows, places = rows[places >= 0], places[places >= 0]
        ranks = np.arange(len(rows)) - np.searchsorted(rows, rows)
        known = np.full((len(sentences), int(ranks.max(initial=-1)) + 1), -1)
        known[rows, ranks] = places
        return known


def ragged(
    offsets: NDArray[np.int64], entries: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the positions of some entries one after the other, and which entry each is of."""
    starts = offsets[entries]
    lengths = offsets[entries + 1] - starts
    rows = np.repeat(np.arange(len(entries)), lengths)
    return rows, np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(len(rows))
