"""What a run of `labse train` costs, from its configuration alone.

Dimensions: B pairs of a batch, D embedding, V vocabulary. Source: `training.cost`.
"""

import math

from labse.dual_encoder.config import DualEncoderConfig, RunConfig
from labse.dual_encoder.weights import expected_shapes
from labse.training.cost import (
    MemoryEstimate,
    RunEstimate,
    forward_flops,
    layer_activation_bytes,
)

__all__ = ["estimate_run"]

_FLOAT_BYTES = 4
_INDEX_BYTES = 8
_TABLE = "word pieces"


def estimate_run(config: RunConfig, *, devices: int = 1) -> RunEstimate:
    """Estimates a run whose sentences are all as long as `max_seq_length` allows.

    Args:
        config: with the sizes that count; `model.bert.vocab_size` is not looked up anywhere.
        devices: that share a batch, each with all weights.
    """
    parameters = _count_parameters(config.model)
    num_sentences = 2 * config.train.global_batch_size
    step_tokens = num_sentences * config.model.max_seq_length
    return RunEstimate(
        parameters=parameters,
        memory=_estimate_memory(config, parameters, devices),
        step_tokens=step_tokens,
        step_flops=_step_flops(config, devices),
        train_steps=config.train.train_steps,
    )


def _count_parameters(model: DualEncoderConfig) -> dict[str, int]:
    parts = {_TABLE: 0, "positions and norm": 0, "layers": 0, "dense": 0}
    for name, shape in expected_shapes(model).items():
        part = "positions and norm"
        if name.startswith("embeddings.word"):
            part = _TABLE
        elif name.startswith("encoder."):
            part = "layers"
        elif name.startswith("dense."):
            part = "dense"
        parts[part] += math.prod(shape)
    return parts


def _pairs_at_a_time(config: RunConfig, devices: int) -> int:
    share = math.ceil(config.train.global_batch_size / devices)
    return min(config.train.micro_batch_size or share, share)


def _estimate_memory(config: RunConfig, parameters: dict[str, int], devices: int) -> MemoryEstimate:
    model, train = config.model, config.train
    num_dense = sum(parameters.values())
    gradients = optimizer = 0
    table = parameters[_TABLE]
    if train.sparse_embeddings:
        num_dense -= table
        # A row and its number, before and after equal rows are added up.
        num_rows = 2 * math.ceil(train.global_batch_size / devices) * model.max_seq_length
        row_bytes = model.bert.hidden_size * _FLOAT_BYTES + _INDEX_BYTES
        gradients = (num_rows + min(num_rows, model.bert.vocab_size)) * row_bytes
        moments = 2 * table if train.embedding_optimizer == "adamw" else 0
        optimizer = (moments + model.bert.vocab_size) * _FLOAT_BYTES
    gradients += num_dense * _FLOAT_BYTES
    optimizer += 2 * num_dense * _FLOAT_BYTES  # The two moments of AdamW.

    num_sentences, num_tokens = 2 * _pairs_at_a_time(config, devices), model.max_seq_length
    per_layer = layer_activation_bytes(
        model.bert, num_sentences, num_tokens, precision=train.precision
    )
    # The sum, the norm and its dropout before the layers, and the weighted states of the pooling.
    around = 4 * model.bert.hidden_size * _FLOAT_BYTES * num_sentences * num_tokens
    return MemoryEstimate(
        weights=sum(parameters.values()) * _FLOAT_BYTES,
        gradients=gradients,
        optimizer=optimizer,
        activations=int(model.bert.num_hidden_layers * per_layer) + around,
        logits=_logits_bytes(config, devices),
    )


def _is_blockwise(config: RunConfig) -> bool:
    logits_bytes = config.train.global_batch_size**2 * _FLOAT_BYTES
    return logits_bytes > config.train.logit_block_bytes


def _logits_bytes(config: RunConfig, devices: int) -> int:
    """Returns five matrices: cosines, logits, two softmaxes, a gradient; or three blocks."""
    if _is_blockwise(config):
        return 3 * config.train.logit_block_bytes
    return 5 * config.train.global_batch_size**2 * _FLOAT_BYTES // devices


def _step_flops(config: RunConfig, devices: int) -> float:
    model, train = config.model, config.train
    num_sentences = 2 * train.global_batch_size
    forward = forward_flops(model.bert, num_sentences, model.max_seq_length)
    if model.projection != "none":
        forward += 2.0 * num_sentences * model.bert.hidden_size * model.output_size
    is_cached = _pairs_at_a_time(config, devices) * devices < train.global_batch_size
    encoder = forward * (4 if is_cached else 3)

    product = 2.0 * train.global_batch_size**2 * model.output_size
    # Forward, and a gradient for each side; in blocks each direction by itself, and forward again.
    return encoder + product * (8 if _is_blockwise(config) else 3)
