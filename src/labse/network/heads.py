"""The head of masked language modelling: what piece stands at a masked place.

Dimensions: M masked tokens, H hidden, V vocabulary, m tokens of a chunk. Suffixes name the
dimensions of a tensor in their order.
Source: Devlin et al., arXiv 1810.04805; google-research/bert, run_pretraining.py,
`get_masked_lm_output`.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labse.network.config import BertConfig

__all__ = ["MlmHead", "MlmLoss", "tied_cross_entropy"]


@dataclass(frozen=True, slots=True)
class MlmLoss:
    """What the head says of M masked tokens.

    Attributes:
        loss_sum: () float32 or float64, sum of their cross-entropies; divide by the masked tokens
            of the whole batch.
        num_correct: () int64, at how many the true piece has the highest logit.
    """

    loss_sum: Tensor
    num_correct: Tensor


class MlmHead(nn.Module):
    """Dense, gelu and norm; then the word table as decoder, with a bias of its own.

    Args:
        max_logits_bytes: of the logits that exist at once.
    """

    def __init__(self, config: BertConfig, *, max_logits_bytes: int = 256 << 20) -> None:
        super().__init__()
        self.max_logits_bytes = max_logits_bytes
        self.approximate = config.gelu_form
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        nn.init.normal_(self.dense.weight, std=config.initializer_range)
        nn.init.zeros_(self.dense.bias)

    def forward(self, hidden_MH: Tensor, table_VH: Tensor, labels_M: Tensor) -> MlmLoss:
        """Compares the logits of each hidden state with its label.

        Args:
            hidden_MH: (M, H) last hidden states of the masked tokens alone.
            table_VH: (V, H) the encoder's word table.
            labels_M: (M) the true pieces.
        """
        return tied_cross_entropy(
            self.transform(hidden_MH),
            table_VH,
            self.bias,
            labels_M,
            max_logits_bytes=self.max_logits_bytes,
        )

    def transform(self, hidden_MH: Tensor) -> Tensor:
        """Returns what the decoder multiplies with the table, (M, H)."""
        dense_MH = F.gelu(self.dense(hidden_MH), approximate=self.approximate)
        normed_MH: Tensor = self.norm(dense_MH)
        return normed_MH


def tied_cross_entropy(
    hidden_MH: Tensor,
    table_VH: Tensor,
    bias_V: Tensor,
    labels_M: Tensor,
    *,
    max_logits_bytes: int,
) -> MlmLoss:
    """Returns sum_i -log softmax(hidden_i table^T + bias)[label_i] without all logits at once.

    A chunk's logits become their own gradient where they lie, and the forward pass adds up the
    gradients of hidden, table and bias; backward only scales them. So nothing is computed twice,
    and beside a gradient of the table's size there is one chunk of logits. Under autocast the
    products are in its type, the softmax in float32.

    Args:
        hidden_MH: (M, H).
        table_VH: (V, H).
        bias_V: (V).
        labels_M: (M) integer.
        max_logits_bytes: of a chunk, a row of logits at least.
    """
    loss_sum, num_correct = _TiedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden_MH, table_VH, bias_V, labels_M, max_logits_bytes
    )
    return MlmLoss(loss_sum, num_correct)


class _TiedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        hidden_MH: Tensor,
        table_VH: Tensor,
        bias_V: Tensor,
        labels_M: Tensor,
        max_logits_bytes: int,
    ) -> tuple[Tensor, Tensor]:
        device = hidden_MH.device.type
        is_autocast = torch.is_autocast_enabled(device)
        product_type = torch.get_autocast_dtype(device) if is_autocast else table_VH.dtype
        wide = torch.promote_types(table_VH.dtype, torch.float32)
        with torch.autocast(device, enabled=False):
            sums = _sum_chunks(
                hidden_MH.to(product_type),
                table_VH.to(product_type),
                bias_V.to(wide),
                labels_M,
                chunk=max(1, max_logits_bytes // (len(table_VH) * wide.itemsize)),
                needs_gradient=any(ctx.needs_input_grad),
            )
        ctx.types = (hidden_MH.dtype, table_VH.dtype, bias_V.dtype)
        ctx.save_for_backward(*sums.gradients)
        ctx.mark_non_differentiable(sums.num_correct)
        return sums.loss_sum, sums.num_correct

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        scale = gradients[0]
        saved: tuple[Tensor, ...] = ctx.saved_tensors
        # In place: a second tensor of the table's size would double the memory of the head.
        scaled = [s.mul_(scale).to(t) for s, t in zip(saved, ctx.types, strict=True)]
        return scaled[0], scaled[1], scaled[2], None, None


@dataclass(frozen=True, slots=True)
class _Sums:
    loss_sum: Tensor
    num_correct: Tensor
    gradients: tuple[Tensor, ...]  # Of hidden, table and bias; empty where none is needed.


def _sum_chunks(
    hidden_MH: Tensor,
    table_VH: Tensor,
    bias_V: Tensor,
    labels_M: Tensor,
    *,
    chunk: int,
    needs_gradient: bool,
) -> _Sums:
    wide = bias_V.dtype
    loss_sum = bias_V.new_zeros(())
    num_correct = labels_M.new_zeros(())
    hidden_grad_MH = torch.empty_like(hidden_MH, dtype=wide)
    table_grad_VH = torch.zeros_like(table_VH, dtype=wide) if needs_gradient else table_VH
    bias_grad_V = torch.zeros_like(bias_V)
    for start in range(0, len(labels_M), chunk):
        # The logits of a chunk.
        rows = slice(start, start + chunk)
        hidden_mH, labels_m1 = hidden_MH[rows], labels_M[rows, None]
        logits_mV = (hidden_mH @ table_VH.T).to(wide).add_(bias_V)
        true_m1 = logits_mV.gather(1, labels_m1)
        largest_m1 = logits_mV.amax(1, keepdim=True)
        num_correct += (true_m1 == largest_m1).sum()

        # softmax = exp(logit - largest) / sum; its logarithm at the label is the loss.
        weights_mV = logits_mV.sub_(largest_m1).exp_()
        sums_m1 = weights_mV.sum(1, keepdim=True)
        loss_sum += (sums_m1.log() + largest_m1 - true_m1).sum()
        if not needs_gradient:
            continue

        # Their gradient is the softmax less 1 at the label; it takes the place of the logits.
        grad_mV = weights_mV.div_(sums_m1)
        grad_mV.scatter_add_(1, labels_m1, -torch.ones_like(true_m1))
        bias_grad_V += grad_mV.sum(0)
        narrow_mV = grad_mV.to(table_VH.dtype)
        hidden_grad_MH[rows] = narrow_mV @ table_VH
        if wide == table_VH.dtype:
            table_grad_VH.addmm_(narrow_mV.T, hidden_mH)
        else:
            table_grad_VH += narrow_mV.T @ hidden_mH
    gradients = (hidden_grad_MH, table_grad_VH, bias_grad_V) if needs_gradient else ()
    return _Sums(loss_sum, num_correct, gradients)
