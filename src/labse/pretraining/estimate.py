"""What a run of `labse pretrain` costs, stage by stage, from its configuration alone.

Dimensions: B examples of a batch, b at a time, S tokens of each, H hidden, V vocabulary.
Source: `labse.training.estimate`; `labse.network.heads` (what the head holds); Chowdhery et al.,
arXiv 2204.02311, appendix B (model FLOPs utilisation).
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.network.config import BertConfig
from labse.pretraining.config import PretrainConfig, fit_to_start, fit_to_vocabulary, plan_stages
from labse.runtime import require
from labse.training.estimate import (
    MemoryEstimate,
    RunEstimate,
    cut_weights,
    layer_activation_bytes,
    log_assumed_vocabulary,
)
from labse.vocab.tokenizer import load_tokenizer

__all__ = [
    "StageEstimate",
    "estimate_flops",
    "estimate_pretraining",
    "estimate_stages",
]

_FLOAT_BYTES = 4
_TABLE, _LAYERS = "word pieces", "layers"


@dataclass(frozen=True, slots=True)
class StageEstimate:
    """The depth of a stage, and what it costs."""

    num_layers: int
    cost: RunEstimate


def estimate_pretraining(
    config: PretrainConfig,
    *,
    vocab_folder: Path | None = None,
    grow: Path | None = None,
    devices: int = 1,
) -> tuple[StageEstimate, ...]:
    """Estimates the stages; a vocabulary and a model to grow are read for their sizes only.

    Args:
        vocab_folder: made by `labse vocab`; None takes that of `grow`, or the size as stated.
        grow: folder of the model to grow; None starts anew.
        devices: number of devices that divide a batch.

    Raises:
        UsageError: the configuration states other sizes than these have.
        LabseError: a folder is damaged.
        ResourceError: torch is not installed, which reads the model to grow.
    """
    vocab_folder = vocab_folder or grow
    if vocab_folder is not None:
        config = fit_to_vocabulary(config, load_tokenizer(vocab_folder))
        if grow is not None:
            require("torch", "train")
            from labse.pretraining.folder import read_start

            config = fit_to_start(config, read_start(grow, vocab_folder).config)
    log_assumed_vocabulary(config.model.bert)
    return estimate_stages(config, devices=devices)


def estimate_stages(config: PretrainConfig, *, devices: int = 1) -> tuple[StageEstimate, ...]:
    """Estimates each stage of a run, all of whose examples have `max_seq_length` tokens.

    Text is packed to nearly that; pairs are shorter, so that these are upper bounds.

    Args:
        config: with the sizes that count; `model.bert.vocab_size` is not looked up anywhere.
        devices: number of devices that divide a batch.
    """
    batch_size, num_tokens = config.train.global_batch_size, config.data.max_seq_length
    estimates = []
    for stage in plan_stages(config):
        bert = config.model.bert.model_copy(update={"num_hidden_layers": stage.num_layers})
        lengths = np.full(batch_size, num_tokens, np.int64)
        parameters = _count_parameters(bert)
        cost = RunEstimate(
            parameters=parameters,
            memory=_estimate_memory(config, bert, parameters, devices),
            step_tokens=batch_size * num_tokens,
            step_flops=estimate_flops(bert, lengths, batch_size * _masked_tokens(config)),
            train_steps=stage.last_step - stage.first_step,
        )
        estimates.append(StageEstimate(stage.num_layers, cost))
    return tuple(estimates)


def _masked_tokens(config: PretrainConfig) -> int:
    """Returns how many of a text of `max_seq_length` are masked: see `mask_tokens`."""
    share = round(config.masking.masked_share * (config.data.max_seq_length - 2))
    return min(config.masking.max_masked, max(1, share))


def _count_parameters(bert: BertConfig) -> dict[str, int]:
    hidden, inner = bert.hidden_size, bert.intermediate_size
    norm = 2 * hidden
    attention = 4 * (hidden * hidden + hidden) + norm
    feed_forward = 2 * hidden * inner + inner + hidden + norm
    return {
        _TABLE: bert.vocab_size * hidden,
        "positions and norm": (bert.max_position_embeddings + bert.type_vocab_size) * hidden + norm,
        _LAYERS: bert.num_hidden_layers * (attention + feed_forward),
        "head": hidden * hidden + hidden + norm + bert.vocab_size,
    }


def _estimate_memory(
    config: PretrainConfig, bert: BertConfig, parameters: dict[str, int], devices: int
) -> MemoryEstimate:
    train = config.train
    num_cut = devices if train.shard == "full" else 1
    cut = cut_weights(sum(parameters.values()), bert, parameters[_LAYERS], devices=num_cut)
    num_weights = cut.held + cut.gathered
    size = min(train.micro_batch_size, math.ceil(train.global_batch_size / devices))
    num_tokens = size * config.data.max_seq_length
    layer = layer_activation_bytes(
        bert, size, config.data.max_seq_length, precision=train.precision
    )
    # Before the layers: the sum, the norm and its dropout. In the head, of masked tokens: what is
    # taken from the last layer, dense, gelu and norm, their product's input and its gradient.
    around = 4 * num_tokens + 6 * size * _masked_tokens(config)
    return MemoryEstimate(
        weights=num_weights * _FLOAT_BYTES,
        # Those of the table come from the head and from the input, before they are added.
        gradients=(num_weights + 2 * parameters[_TABLE]) * _FLOAT_BYTES,
        optimizer=2 * cut.held * _FLOAT_BYTES,  # The two moments of AdamW, and of LAMB.
        activations=int(bert.num_hidden_layers * layer) + around * bert.hidden_size * _FLOAT_BYTES,
        logits=_logits_bytes(config, bert, size),
    )


def _logits_bytes(config: PretrainConfig, bert: BertConfig, size: int) -> int:
    """Returns a chunk of float32; in bfloat16 also its product and the table's copy and product."""
    row_bytes = bert.vocab_size * _FLOAT_BYTES
    chunk = max(1, config.train.max_logits_bytes // row_bytes)
    logits = min(chunk, size * _masked_tokens(config)) * row_bytes
    if config.train.precision == "float32":
        return logits
    return logits + logits // 2 + bert.vocab_size * bert.hidden_size * _FLOAT_BYTES


def estimate_flops(config: BertConfig, lengths: NDArray[np.int64], num_masked: int) -> float:
    """Returns the floating-point operations of the products of one step, forward and backward.

    Six for each weight of a matrix and token (two forward, four backward), 12 * hidden_size for
    each pair of tokens and layer in attention; the head counts at masked tokens alone. Padding,
    norms and the optimizer do not count, so that waste lowers the share; what a CPU leaves out of
    the last layer counts, as in all figures of this kind.

    Args:
        lengths: (B,) tokens of each example.
        num_masked: masked tokens of all.
    """
    hidden, inner = config.hidden_size, config.intermediate_size
    per_token = 6 * config.num_hidden_layers * (4 * hidden**2 + 2 * hidden * inner)
    per_square = 12 * config.num_hidden_layers * hidden
    per_masked = 6 * hidden * (hidden + config.vocab_size)
    squares = float(np.square(lengths.astype(np.float64)).sum())
    return per_token * float(lengths.sum()) + per_square * squares + per_masked * num_masked
