"""Sentences without padding: one after the other, those of a length together.

Dimensions: B sentences, T tokens of all of them, H hidden; of a group, n sentences of S tokens;
A heads of width E. All of BERT but attention works token by token and needs no other layout.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from labse.files.npy import ragged_positions
from labse.network.dropout import dropout

__all__ = ["FlatSentences", "LengthGroup", "attend", "lay_flat", "lay_rows"]

# Below, torch's softmax of bfloat16 is slower than that of float32 and two casts.
_SHORT = 64


@dataclass(frozen=True, slots=True)
class LengthGroup:
    """Sentences of one length that lie together."""

    num_sentences: int
    length: int


@dataclass(frozen=True, slots=True)
class FlatSentences:
    """The tokens of a batch, shorter sentences first.

    Attributes:
        input_ids: (T,) int64.
        position_ids: (T,) int64, from 0 in each sentence.
        groups: the lengths of the sentences, in their order here.
        tokens: (T,) int64, which of the caller's tokens each one is.
        starts: (B,) int64, where the caller's sentence b starts here.
    """

    input_ids: Tensor
    position_ids: Tensor
    groups: tuple[LengthGroup, ...]
    tokens: Tensor
    starts: Tensor


def lay_flat(input_ids: NDArray[np.integer], lengths: NDArray[np.int64]) -> FlatSentences:
    """Sorts sentences by length.

    Args:
        input_ids: (T,) ids of all sentences, one after the other.
        lengths: (B,) tokens of each sentence.
    """
    order = np.argsort(lengths, kind="stable")
    ordered = lengths[order]
    tokens = ragged_positions((np.cumsum(lengths) - lengths)[order], ordered)
    starts_B = np.empty(len(lengths), np.int64)
    starts_B[order] = np.cumsum(ordered) - ordered
    return FlatSentences(
        input_ids=torch.from_numpy(input_ids[tokens].astype(np.int64)),
        position_ids=torch.from_numpy(ragged_positions(0, ordered)),
        groups=tuple(
            LengthGroup(int(count), int(length))
            for length, count in zip(*np.unique(lengths, return_counts=True), strict=True)
        ),
        tokens=torch.from_numpy(tokens),
        starts=torch.from_numpy(starts_B),
    )


def lay_rows(input_ids_BS: Tensor, attention_mask_BS: Tensor | None) -> FlatSentences:
    """Takes the padding from rows of the CPU; `tokens` count in (B * S), padding included.

    Args:
        input_ids_BS: (B, S) integer.
        attention_mask_BS: (B, S) bool, true on real tokens, which come first; None: all are.
    """
    if attention_mask_BS is None:
        attention_mask_BS = torch.ones_like(input_ids_BS, dtype=torch.bool)
    input_ids_T = input_ids_BS[attention_mask_BS].numpy()
    flat = lay_flat(input_ids_T, attention_mask_BS.sum(1).numpy())
    places_T = attention_mask_BS.flatten().nonzero()[:, 0]
    return replace(flat, tokens=places_T[flat.tokens])


def attend(
    qkv_T3H: Tensor, groups: tuple[LengthGroup, ...], *, num_heads: int, dropout_prob: float
) -> Tensor:
    """Returns softmax(Q K^T / sqrt(E)) V of each sentence, (T, H).

    Args:
        qkv_T3H: (T, 3 H), queries, keys and values of each token.
        num_heads: A.
        dropout_prob: of the weights; 0 outside of training.
    """
    width = qkv_T3H.shape[1] // 3
    contexts: list[Tensor] = []
    parts = torch.split(qkv_T3H, [group.num_sentences * group.length for group in groups])
    for group, qkv in zip(groups, parts, strict=True):
        n, S = group.num_sentences, group.length
        qkv_nS3AE = qkv.view(n, S, 3, num_heads, width // num_heads)
        query, key, value = qkv_nS3AE.permute(2, 0, 3, 1, 4).contiguous().unbind(0)  # (n, A, S, E)

        logits_nASS = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)
        weights_nASS = _softmax(logits_nASS)
        context_nASE = dropout(weights_nASS, dropout_prob, is_training=True) @ value
        contexts.append(context_nASE.transpose(1, 2).reshape(n * S, width))
    return torch.cat(contexts)


def _softmax(logits: Tensor) -> Tensor:
    if logits.itemsize == 2 and logits.shape[-1] < _SHORT:
        return logits.float().softmax(-1).to(logits.dtype)
    return logits.softmax(-1)
