"""What a run of `labse train` costs, from its configuration alone.

Dimensions: B pairs of a batch, D embedding, V vocabulary. Source: `training.estimate`.
"""

import math
from pathlib import Path

from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.start import (
    fit_to_start,
    fit_to_vocabulary,
    read_start_config,
    read_tokenizer,
)
from labse.model_folder.weights import expected_shapes
from labse.network.config import DualEncoderConfig
from labse.training.estimate import (
    MemoryEstimate,
    RunEstimate,
    cut_weights,
    forward_flops,
    layer_activation_bytes,
    log_assumed_vocabulary,
)

__all__ = ["estimate_run", "estimate_training"]

_FLOAT_BYTES = 4
_INDEX_BYTES = 8
_TABLE, _LAYERS = "word pieces", "layers"


def estimate_training(
    config: RunConfig,
    *,
    vocab_folder: Path | None = None,
    start: Path | None = None,
    devices: int = 1,
) -> RunEstimate:
    """Estimates a run; a vocabulary or a model to start from is read for its sizes only.

    Args:
        config: the run.
        vocab_folder: made by `labse vocab`, or a model folder; None takes the size as stated.
        start: folder of the model to start from; None starts anew.
        devices: number of devices that divide a batch.

    Raises:
        UsageError: the configuration states other sizes than these have.
        LabseError: a folder is damaged.
    """
    if vocab_folder is not None:
        config = fit_to_vocabulary(config, read_tokenizer(vocab_folder))
    if start is not None:
        config = fit_to_start(config, read_start_config(start))
    log_assumed_vocabulary(config.model.bert)
    return estimate_run(config, devices=devices)


def estimate_run(config: RunConfig, *, devices: int = 1) -> RunEstimate:
    """Estimates a run whose sentences are all as long as `max_seq_length` allows.

    Each pair is taken to bring all the hard negatives that it may, on both sides. Rows of character
    n-grams are left out: the vocabulary tells how many there are.

    Args:
        config: with the sizes that count; `model.bert.vocab_size` is not looked up anywhere.
        devices: number of devices that divide a batch.
    """
    parameters = _count_parameters(config.model)
    return RunEstimate(
        parameters=parameters,
        memory=_estimate_memory(config, parameters, devices),
        step_tokens=_sentences_per_pair(config)
        * config.train.global_batch_size
        * config.model.max_seq_length,
        step_flops=_step_flops(config, devices),
        train_steps=config.train.train_steps,
    )


def _sentences_per_pair(config: RunConfig) -> int:
    return 2 * (1 + config.data.hard_negatives)


def _count_parameters(model: DualEncoderConfig) -> dict[str, int]:
    parts = {_TABLE: 0, "positions and norm": 0, _LAYERS: 0, "dense": 0}
    for name, shape in expected_shapes(model).items():
        part = "positions and norm"
        if name.startswith("embeddings.word"):
            part = _TABLE
        elif name.startswith("encoder."):
            part = _LAYERS
        elif name.startswith("dense."):
            part = "dense"
        parts[part] += math.prod(shape)
    return parts


def _sentences_at_a_time(config: RunConfig, devices: int) -> int:
    num_pairs = math.ceil(config.train.global_batch_size / devices)
    num_sentences = num_pairs * _sentences_per_pair(config)
    return min(2 * (config.train.micro_batch_size or num_sentences), num_sentences)


def _estimate_memory(config: RunConfig, parameters: dict[str, int], devices: int) -> MemoryEstimate:
    # Weights, gradients and moments: those that are dense, cut over the devices or whole.
    model, train = config.model, config.train
    total, table = sum(parameters.values()), parameters[_TABLE]
    num_dense = total - table if train.sparse_embeddings else total
    num_cut = devices if train.shard == "full" else 1
    cut = cut_weights(num_dense, model.bert, parameters[_LAYERS], devices=num_cut)
    gradients = (cut.held + cut.gathered) * _FLOAT_BYTES
    optimizer = 2 * cut.held * _FLOAT_BYTES  # The two moments of AdamW.

    # Of a sparse table, the rows of a batch with their numbers, before and after equal ones are
    # added up.
    if train.sparse_embeddings and train.embedding_lr:
        num_pairs = math.ceil(train.global_batch_size / devices)
        num_rows = num_pairs * _sentences_per_pair(config) * model.max_seq_length
        row_bytes = model.bert.hidden_size * _FLOAT_BYTES + _INDEX_BYTES
        gradients += (num_rows + min(num_rows, model.bert.vocab_size)) * row_bytes
        moments = 2 * table if train.embedding_optimizer == "adamw" else 0
        optimizer += (moments + model.bert.vocab_size) * _FLOAT_BYTES

    # Activations of as many sentences as are held at a time.
    num_sentences, num_tokens = _sentences_at_a_time(config, devices), model.max_seq_length
    per_layer = layer_activation_bytes(
        model.bert, num_sentences, num_tokens, precision=train.precision
    )
    # The sum, the norm and its dropout before the layers, and the weighted states of the pooling.
    around = 4 * model.bert.hidden_size * _FLOAT_BYTES * num_sentences * num_tokens
    return MemoryEstimate(
        weights=(total - num_dense + cut.held + cut.gathered) * _FLOAT_BYTES,
        gradients=gradients,
        optimizer=optimizer,
        activations=int(model.bert.num_hidden_layers * per_layer) + around,
        logits=_logits_bytes(config, devices),
    )


def _matrix_bytes(config: RunConfig, devices: int) -> int:
    """Returns the bytes of the logits of one device, in one direction."""
    batch_size = config.train.global_batch_size
    num_candidates = batch_size * (1 + config.data.hard_negatives)
    return math.ceil(batch_size / devices) * num_candidates * _FLOAT_BYTES


def _is_blockwise(config: RunConfig, devices: int) -> bool:
    """Says whether logits are made block by block, which of several devices each does."""
    return devices > 1 or _matrix_bytes(config, devices) > config.train.logit_block_bytes


def _logits_bytes(config: RunConfig, devices: int) -> int:
    """Returns the bytes of cosines, logits, two softmaxes and a gradient; in blocks, of three."""
    matrix = _matrix_bytes(config, devices)
    if _is_blockwise(config, devices):
        return 3 * min(matrix, config.train.logit_block_bytes)
    return 5 * matrix


def _step_flops(config: RunConfig, devices: int) -> float:
    model, train = config.model, config.train
    num_sentences = _sentences_per_pair(config) * train.global_batch_size
    forward = forward_flops(model.bert, num_sentences, model.max_seq_length)
    if model.projection != "none":
        forward += 2.0 * num_sentences * model.bert.hidden_size * model.output_size
    is_cached = _sentences_at_a_time(config, devices) * devices < num_sentences
    encoder = forward * (4 if is_cached else 3)

    product = 2.0 * train.global_batch_size**2 * model.output_size
    num_negatives = config.data.hard_negatives
    # Forward, and a gradient for each side; in blocks each direction by itself, and forward again.
    if _is_blockwise(config, devices):
        return encoder + product * 8 * (1 + num_negatives)
    return encoder + product * (3 + 6 * num_negatives)
