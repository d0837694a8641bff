"""The fast path of an encoder without layers.

Dimensions: B sentences, T tokens, U distinct pieces of the batch, H hidden, D embedding.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from labse.network.dual_encoder import DualEncoder

__all__ = ["embed_bags", "is_bag"]


def is_bag(model: DualEncoder) -> bool:
    """Says whether a sentence vector of `model` is a projected mean of vectors of its pieces.

    So it is without layers, positions (`DualEncoder` keeps them at 0 in that case) and dropout.
    """
    config = model.config
    has_positions = bool(model.bert.embeddings.position.weight.any())
    is_flat = config.bert.num_hidden_layers == 0 and config.pooling == "mean"
    return is_flat and not has_positions and config.bert.hidden_dropout_prob == 0


def embed_bags(
    model: DualEncoder, input_ids: NDArray[np.int32], lengths: NDArray[np.int64]
) -> Tensor:
    """Equals `model(...)` on a model for which `is_bag` holds, at the cost of distinct pieces.

    Without layers or positions a piece has the same vector wherever it stands, so the layer norm
    runs over the U distinct pieces of the batch in place of its T tokens (about a quarter), nothing
    is padded, and no (B, S, H) tensor exists.

    Args:
        model: the encoder.
        input_ids: (T,) ids of all sentences, one after the other.
        lengths: (B,) tokens of each sentence.

    Returns:
        (B, D) float32 unit rows.
    """
    pieces_U, inverse_T = np.unique(input_ids, return_inverse=True)
    starts_B = np.cumsum(lengths) - lengths

    embeddings = model.bert.embeddings
    device = embeddings.word.weight.device
    word_UH = embeddings.word_rows(torch.from_numpy(pieces_U).to(device))
    pooled_BH = F.embedding_bag(
        torch.from_numpy(inverse_T).to(device),
        embeddings.norm(word_UH + embeddings.token_type.weight[0]),
        torch.from_numpy(starts_B).to(device),
        mode="mean",
    )
    return model.project(pooled_BH)
