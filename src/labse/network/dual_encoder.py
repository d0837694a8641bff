"""The dual encoder: one BERT shared by both sides, pooled to a unit vector.

Dimensions: B sentences, S tokens of the longest, T tokens of all, U distinct pieces of a batch,
H hidden, D embedding.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from labse.network.bert import Bert
from labse.network.config import DualEncoderConfig
from labse.network.flat import lay_flat

__all__ = ["DualEncoder", "embed_bags", "is_bag"]


class DualEncoder(nn.Module):
    """Maps a batch of sentences of any language to unit vectors.

    LaBSE's own: pooling `cls` and projection `tanh`, that is tanh(Dense(h_[CLS])) and L2 norm
    (tensorflow/models, official/nlp/modeling/models/dual_encoder.py). The dense layer starts as
    BERT's pooler does, normal(0, initializer_range); a square `linear` one starts as the identity.

    Args:
        sparse_embeddings: word-piece rows get sparse gradients, so that a step costs what the
            batch touches and not what the vocabulary holds.
    """

    def __init__(self, config: DualEncoderConfig, *, sparse_embeddings: bool = False) -> None:
        super().__init__()
        self.config = config
        self.bert = Bert(config.bert, sparse_embeddings=sparse_embeddings)
        if config.bert.num_hidden_layers == 0:
            # A bag has no order: positions wait at 0 for the first layer grown on top.
            nn.init.zeros_(self.bert.embeddings.position.weight)
            self.bert.embeddings.position.requires_grad_(False)
        self.dense: nn.Linear | None = None
        if config.projection != "none":
            self.dense = nn.Linear(config.bert.hidden_size, config.output_size)
            if (
                config.projection == "linear"
                and self.dense.weight.shape[0] == config.bert.hidden_size
            ):
                nn.init.eye_(self.dense.weight)
            else:
                nn.init.normal_(self.dense.weight, std=config.bert.initializer_range)
            nn.init.zeros_(self.dense.bias)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Returns (B, D) float32 unit rows for (B, S) ids and a (B, S) mask of real tokens."""
        hidden_BSH = self.bert(input_ids, attention_mask).last_hidden_state

        if self.config.pooling == "cls":
            pooled_BH = hidden_BSH[:, 0]
        else:
            weights_BS1 = attention_mask.unsqueeze(-1).to(hidden_BSH.dtype)
            pooled_BH = (hidden_BSH * weights_BS1).sum(1) / weights_BS1.sum(1)

        return self.project(pooled_BH)

    def embed_flat(self, input_ids: NDArray[np.int32], lengths: NDArray[np.int64]) -> Tensor:
        """Equals `forward` without padding, faster on a CPU.

        Args:
            input_ids: (T,) ids of all sentences, one after the other.
            lengths: (B,) tokens of each sentence.
        """
        sentences = lay_flat(input_ids, lengths)
        if self.config.pooling == "cls":
            return self.project(self.bert.encode_flat(sentences, sentences.starts))

        hidden_TH = self.bert.encode_flat(sentences)
        groups = sentences.groups
        states = torch.split(hidden_TH, [group.num_sentences * group.length for group in groups])
        pooled_BH = torch.cat(
            [
                state.view(group.num_sentences, group.length, -1).mean(1)
                for group, state in zip(groups, states, strict=True)
            ]
        )
        return self.project(pooled_BH.index_select(0, sentences.starts.argsort().argsort()))

    def project(self, pooled_BH: Tensor) -> Tensor:
        """Maps pooled states (B, H) to (B, D) float32 unit rows."""
        if self.dense is not None:
            pooled_BH = self.dense(pooled_BH)
        if self.config.projection == "tanh":
            pooled_BH = pooled_BH.tanh()
        wide = torch.promote_types(pooled_BH.dtype, torch.float32)
        return F.normalize(pooled_BH.to(wide), dim=-1)


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
