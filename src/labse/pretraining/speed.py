"""How much arithmetic a step is, for the share of a device's peak that is reached.

Source: Chowdhery et al., arXiv 2204.02311, appendix B (model FLOPs utilisation).
"""

import numpy as np
from numpy.typing import NDArray

from labse.network.config import BertConfig

__all__ = ["estimate_flops"]


def estimate_flops(config: BertConfig, lengths: NDArray[np.int64], num_masked: int) -> float:
    """Returns the floating-point operations of the products of one step, forward and backward.

    Six for each weight of a matrix and token (two forward, four backward), 12 * hidden_size for
    each pair of tokens and layer in attention; the head counts at masked tokens alone. Padding,
    norms and the optimizer do not count, so that waste lowers the share; what a CPU leaves out of
    the last layer counts, as in all figures of this kind.

    Args:
        config: sizes.
        lengths: (B,) tokens of each example.
        num_masked: masked tokens of all.
    """
    hidden, inner = config.hidden_size, config.intermediate_size
    per_token = 6 * config.num_hidden_layers * (4 * hidden**2 + 2 * hidden * inner)
    per_square = 12 * config.num_hidden_layers * hidden
    per_masked = 6 * hidden * (hidden + config.vocab_size)
    squares = float(np.square(lengths.astype(np.float64)).sum())
    return per_token * float(lengths.sum()) + per_square * squares + per_masked * num_masked
