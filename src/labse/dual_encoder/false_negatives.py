"""Candidates of a batch that are right answers, though no pair says so.

Dimensions: B pairs, R queries, M candidates: one of each pair of the batch, then H hard negatives;
K sentences that a candidate is known to be or to translate.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from labse.dual_encoder.data.batch import Batch

__all__ = ["FalseNegatives", "find_false_negatives"]


@dataclass(frozen=True, slots=True)
class FalseNegatives:
    """Says which candidates are no negatives of a query, in either direction.

    Those are candidates whose pair shares a sentence with the query's own pair, on any side: by
    way of that sentence they are translations of the query too. With `max_excess`, also those
    whose cosine with the query is above the positive's by more than that.

    Attributes:
        sentences_MK: numbers of the sentences of each candidate, equal numbers for equal sentences:
            both of its pair first, for a hard negative those that it translates; -1 is none. None
            says that no sentence stands in two pairs.
        max_excess: how far a negative's cosine may be above the positive's; None sets no bound.
    """

    sentences_MK: Tensor | None
    max_excess: float | None = None

    def mask(self, cosines_RM: Tensor, positives_R: Tensor) -> Tensor:
        """Returns (R, M) booleans, true for what to leave out, never for the positive.

        Args:
            cosines_RM: without margin or scale.
            positives_R: the pair of each query, whose candidate is its positive.
        """
        mask_RM = torch.zeros(cosines_RM.shape, dtype=torch.bool, device=cosines_RM.device)
        if self.sentences_MK is not None:
            own_R2 = self.sentences_MK[positives_R, :2]
            for own_R in own_R2.unbind(1):
                for others_M in self.sentences_MK.unbind(1):
                    mask_RM |= own_R[:, None] == others_M[None, :]
        if self.max_excess is not None:
            positive_R1 = cosines_RM.gather(1, positives_R[:, None])
            mask_RM |= cosines_RM > positive_R1 + self.max_excess
        return mask_RM.scatter_(1, positives_R[:, None], False)

    def among_pairs(self, num_pairs: int) -> "FalseNegatives | None":
        """Returns what is known by shared sentences alone, among the pairs of the batch."""
        return None if self.sentences_MK is None else FalseNegatives(self.sentences_MK[:num_pairs])


def find_false_negatives(
    batch: Batch, *, max_excess: float | None, device: torch.device
) -> tuple[FalseNegatives | None, FalseNegatives | None]:
    """Looks for candidates of a batch that are right answers, in each direction.

    Sentences are equal that the tokenizer's normalisation makes equal, and those that differ only
    behind max_seq_length: the encoder cannot tell them apart.

    Args:
        batch: the sentences and hard negatives, of all processes.
        max_excess: see `FalseNegatives`.
        device: that of the embeddings.

    Returns:
        What to leave out, source to target and target to source; None where there is nothing.
    """
    numbers_2B = np.unique(batch.keys, return_inverse=True)[1]
    pairs_B2 = numbers_2B.reshape(2, -1).T
    # A pair of two equal sentences shares nothing with another pair by that.
    is_distinct = pairs_B2[:, 0] != pairs_B2[:, 1]
    once_a_pair = np.concatenate([pairs_B2[:, 0], pairs_B2[is_distinct, 1]])
    has_repeats = len(np.unique(once_a_pair)) < len(once_a_pair)

    def of_direction(known_HK: NDArray[np.int64] | None) -> FalseNegatives | None:
        has_known = known_HK is not None and bool((known_HK >= 0).any())
        if not (has_repeats or has_known):
            return None if max_excess is None else FalseNegatives(None, max_excess)
        rows_MK = pairs_B2
        if known_HK is not None:
            rows_MK = np.full((len(pairs_B2) + len(known_HK), max(2, known_HK.shape[1])), -1)
            rows_MK[: len(pairs_B2), :2] = pairs_B2
            translated_HK = np.where(known_HK >= 0, numbers_2B[known_HK], -1)
            rows_MK[len(pairs_B2) :, : known_HK.shape[1]] = translated_HK
        sentences_MK = torch.from_numpy(np.ascontiguousarray(rows_MK)).to(device)
        return FalseNegatives(sentences_MK, max_excess)

    if batch.negatives is None:
        both = of_direction(None)
        return both, both
    for_sources, for_targets = np.split(batch.negatives.known, [batch.negatives.num_targets])
    return of_direction(for_sources), of_direction(for_targets)
