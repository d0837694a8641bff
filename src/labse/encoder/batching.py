"""Batches of about as many tokens each, sorted by length so that little is padded."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["token_budget_batches"]


def token_budget_batches(
    lengths: Sequence[int] | NDArray[np.integer], max_tokens: int
) -> list[NDArray[np.int64]]:
    """Groups sentences of like length, the longest first.

    A batch padded to its longest sentence holds at most `max_tokens` tokens; a sentence longer
    than that makes a batch of its own. The longest come first, so memory peaks at the start.

    Args:
        lengths: (N,) tokens of each sentence.
        max_tokens: the budget of a batch, padding included.

    Returns:
        Batches of indices into `lengths`; together each index exactly once.

    Raises:
        ValueError: `max_tokens` is not positive.
    """
    if max_tokens < 1:
        raise ValueError(f"max_tokens is {max_tokens}; it must be at least 1")
    lengths = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(-lengths, kind="stable")  # Stable: the same batches on every machine.

    batches = []
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        size = max(max_tokens // longest, 1)
        batches.append(order[start : start + size])
        start += size
    return batches
