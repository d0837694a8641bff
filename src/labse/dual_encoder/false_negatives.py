"""Candidates of a batch that are right answers, though no pair says so.

Dimensions: R queries, M candidates: one of each pair of the batch, then H hard negatives; K
sentences that a candidate is known to be or to translate, T tokens.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["FalseNegatives", "find_false_negatives", "number_sentences"]


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
        max_excess: of a cosine; None sets no bound.
    """

    sentences_MK: Tensor | None
    max_excess: float | None = None

    def mask(self, cosines_RM: Tensor, positives_R: Tensor) -> Tensor:
        """Returns (R, M) booleans, true for what to leave out, never for the positive.

        Args:
            cosines_RM: without margin or scale.
            positives_R: the pair of each query, whose candidate is the positive.
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


def number_sentences(input_ids: NDArray[np.int32], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns a number for each sentence, equal for equal pieces.

    So sentences are equal that the tokenizer's normalisation makes equal, and those that differ
    only behind max_seq_length: the encoder cannot tell them apart.

    Args:
        input_ids: (T,) ids of all sentences, one after the other.
        lengths: tokens of each sentence.
    """
    numbers: dict[bytes, int] = {}
    rows = np.split(input_ids, np.cumsum(lengths)[:-1])
    return np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in rows])


def find_false_negatives(
    input_ids: NDArray[np.int32],
    lengths: NDArray[np.int64],
    *,
    max_excess: float | None,
    device: torch.device,
    known: NDArray[np.int64] | None = None,
) -> FalseNegatives | None:
    """Looks for sentences of a batch that stand in two of its pairs.

    Args:
        input_ids: (T,) ids of all sources, then of all targets, one after the other.
        lengths: tokens of each sentence.
        max_excess: see `FalseNegatives`.
        device: of the embeddings.
        known: (H, K) which of these sentences each hard negative translates, -1 for none; None
            where the batch has none.

    Returns:
        What to leave out, or None where there is nothing to look for.
    """
    numbers_2M = number_sentences(input_ids, lengths)
    pairs_M2 = numbers_2M.reshape(2, -1).T
    # A pair of two equal sentences shares nothing with another pair by that.
    distinct = pairs_M2[:, 0] != pairs_M2[:, 1]
    of_pairs = np.concatenate([pairs_M2[:, 0], pairs_M2[distinct, 1]])
    has_repeats = len(np.unique(of_pairs)) < len(of_pairs)
    is_known = known is not None and bool((known >= 0).any())
    if not (has_repeats or is_known) and max_excess is None:
        return None
    rows = pairs_M2
    if known is not None:
        of_negatives = np.where(known >= 0, numbers_2M.reshape(-1)[known], -1)
        width = max(2, known.shape[1])
        rows = np.full((len(pairs_M2) + len(known), width), -1)
        rows[: len(pairs_M2), :2] = pairs_M2
        rows[len(pairs_M2) :, : known.shape[1]] = of_negatives
    sentences_MK = torch.from_numpy(np.ascontiguousarray(rows)).to(device)
    return FalseNegatives(sentences_MK if has_repeats or is_known else None, max_excess)
