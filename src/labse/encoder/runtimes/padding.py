"""Sentences of any lengths as one rectangle, for runtimes that need one.

Dimensions: B sentences, S tokens of the longest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PaddedSentences", "pad_sentences"]


@dataclass(frozen=True, slots=True)
class PaddedSentences:
    """A rectangle.

    Attributes:
        input_ids: (B, S) int64, filled up on the right.
        is_real: (B, S) bool, false on the filling.
    """

    input_ids: NDArray[np.int64]
    is_real: NDArray[np.bool_]


def pad_sentences(
    input_ids: Sequence[Sequence[int] | NDArray[np.int32]], pad_token_id: int
) -> PaddedSentences:
    """Lays at least one sentence out as rows, filled up with `pad_token_id`."""
    lengths = np.fromiter((len(ids) for ids in input_ids), np.int64, len(input_ids))
    is_real_BS = np.arange(lengths.max()) < lengths[:, None]
    padded_BS = np.full(is_real_BS.shape, pad_token_id, np.int64)
    padded_BS[is_real_BS] = np.concatenate([np.asarray(ids) for ids in input_ids])
    return PaddedSentences(padded_BS, is_real_BS)
