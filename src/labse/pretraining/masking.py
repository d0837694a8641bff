"""Masking: which tokens of a batch are hidden, and by what.

Dimensions: B examples, T tokens of all of them, one after the other, M masked tokens.
Source: Devlin et al., arXiv 1810.04805, appendix A.1, and create_pretraining_data.py (rounding, at
least one); LaBSE's numbers are those of its paper, section 4.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labse.files.npy import ragged_positions
from labse.pretraining.config import MaskingConfig

__all__ = ["MaskedTokens", "mask_tokens"]


@dataclass(frozen=True, slots=True)
class MaskedTokens:
    """The tokens that a model reads, and those that it has to restore.

    Attributes:
        input_ids: (T,) int32, some of them hidden.
        positions: (M,) int64 places of the masked tokens in `input_ids`, ascending.
        labels: (M,) int32 the tokens that stood there.
    """

    input_ids: NDArray[np.int32]
    positions: NDArray[np.int64]
    labels: NDArray[np.int32]


def mask_tokens(
    input_ids: NDArray[np.int32],
    lengths: NDArray[np.int64],
    source_lengths: NDArray[np.int64],
    *,
    special_ids: NDArray[np.int32],
    mask_id: int,
    vocab_size: int,
    config: MaskingConfig,
    generator: np.random.Generator,
) -> MaskedTokens:
    """Masks a batch at once.

    A side (all of a text, or either half of a pair) of n tokens that are not special gives
    max(1, round(masked_share * n)) of them, drawn without the other side. An example of more than
    `max_masked` keeps that many of its own, drawn uniformly.

    Args:
        input_ids: (T,) tokens; not changed.
        lengths: (B,) tokens of each example.
        source_lengths: (B,) tokens of the first side of a pair; 0 for text.
        special_ids: pieces that are never masked and never put in place of another, ascending.
    """
    # Number the sides: example e has sides 2e and 2e + 1, text has the first alone.
    rows_T = np.repeat(np.arange(len(lengths)), lengths)
    places_T = ragged_positions(0, lengths)
    is_target_T = (source_lengths[rows_T] > 0) & (places_T >= source_lengths[rows_T])
    sides_T = 2 * rows_T + is_target_T

    # Choose tokens of each side, then at most `max_masked` of each example.
    candidates = np.flatnonzero(~np.isin(input_ids, special_ids))
    num_tokens = np.bincount(sides_T[candidates], minlength=2 * len(lengths))
    wanted = np.maximum(1, np.rint(config.masked_share * num_tokens).astype(np.int64))
    chosen = _draw(candidates, sides_T[candidates], wanted, generator)
    capped = np.full(len(lengths), config.max_masked)
    positions = np.sort(_draw(chosen, rows_T[chosen], capped, generator))

    # Put [MASK], another piece or the token itself in their place.
    hidden = input_ids.copy()
    fates = generator.random(len(positions))
    is_random = fates >= 1 - config.random_token_share
    is_mask = (fates < config.mask_token_share) & ~is_random
    drawn = generator.integers(vocab_size - len(special_ids), size=len(positions))
    for special in special_ids:  # Ascending: each moves the numbers from it on up by one.
        drawn += drawn >= special
    hidden[positions[is_mask]] = mask_id
    hidden[positions[is_random]] = drawn[is_random]
    return MaskedTokens(hidden, positions, input_ids[positions])


def _draw(
    items: NDArray[np.int64],
    groups: NDArray[np.int64],
    limits: NDArray[np.int64],
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Keeps `limits[g]` items of each group g, drawn uniformly; all, where there are no more."""
    # One key of group and chance sorts twenty times as fast as two.
    num_chance_bits = min(53, 64 - len(limits).bit_length())
    chances = (generator.random(len(items)) * 2**num_chance_bits).astype(np.uint64)
    order = np.argsort((groups.astype(np.uint64) << np.uint64(num_chance_bits)) | chances)
    sorted_groups = groups[order]
    sizes = np.bincount(groups, minlength=len(limits))
    ranks = np.arange(len(items)) - (np.cumsum(sizes) - sizes)[sorted_groups]
    kept: NDArray[np.int64] = items[order[ranks < limits[sorted_groups]]]
    return kept
