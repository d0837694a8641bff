"""The estimates against models that are built and run."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.training_data import pairs_of, whole_batch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.data.pairs import TokenizedPairs
from labse.dual_encoder.estimate import estimate_run
from labse.dual_encoder.gradients import add_gradients
from labse.network.dual_encoder import DualEncoder
from labse.training.optimizer import build_optimizers

NUM_PAIRS, LENGTH = 24, 16


def some_pairs() -> TokenizedPairs:
    """Every sentence is as long as the longest allowed."""
    input_ids = np.random.default_rng(0).integers(5, 90, 2 * NUM_PAIRS * LENGTH)
    return pairs_of(input_ids, [LENGTH] * (2 * NUM_PAIRS))


def build_config(
    layers: int = 2,
    dropout: float = 0.0,
    projection: str = "tanh",
    pooling: str = "cls",
    **train: object,
) -> RunConfig:
    bert = {
        "vocab_size": 90,
        "hidden_size": 32,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": 80,
        "max_position_embeddings": LENGTH,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
    }
    model = {
        "bert": bert,
        "max_seq_length": LENGTH,
        "pooling": pooling,
        "projection": projection,
    }
    options = {"global_batch_size": NUM_PAIRS, "train_steps": 10} | train
    return RunConfig.model_validate({"data": {"pairs": ["x"]}, "model": model, "train": options})


def take_step(config: RunConfig) -> DualEncoder:
    torch.manual_seed(0)
    model = DualEncoder(config.model, sparse_embeddings=config.train.sparse_embeddings)
    add_gradients(model, whole_batch(some_pairs()), config.train)
    return model


@pytest.mark.parametrize("projection", ["tanh", "none"])
@pytest.mark.parametrize("layers", [0, 3])
def test_parameters_are_those_of_the_built_model(layers: int, projection: str) -> None:
    config = build_config(layers, projection=projection)
    model = DualEncoder(config.model)
    estimate = estimate_run(config)
    assert estimate.num_parameters == sum(weight.numel() for weight in model.parameters())
    assert estimate.parameters["word pieces"] == model.bert.embeddings.word.weight.numel()
    layers_of_model = sum(weight.numel() for weight in model.bert.layers.parameters())
    assert estimate.parameters["layers"] == layers_of_model


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"projection": "none"},
        {"micro_batch_size": 8},
        {"logit_block_bytes": 500},
        {"micro_batch_size": 6, "logit_block_bytes": 500},
    ],
)
def test_operations_of_a_step_are_those_that_torch_counts(options: dict[str, object]) -> None:
    # Mean pooling asks the last layer for all tokens.
    config = build_config(pooling="mean", **options)  # type: ignore[arg-type]
    # Of the other kernels torch counts some not at all and some with what they compute again.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        take_step(config)
    expected = counter.get_total_flops()
    assert estimate_run(config).step_flops == pytest.approx(expected, rel=0.005)


def kept_bytes(step: Callable[[], object]) -> int:
    """Returns the bytes that autograd keeps for the way back, each buffer once."""
    buffers: dict[int, int] = {}
    held: list[torch.Tensor] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            held.append(tensor)
            buffers[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(buffers.values())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_memory_for_activations_is_about_what_autograd_keeps(
    dropout: float, precision: str
) -> None:
    config = build_config(4, dropout, precision=precision)
    memory = estimate_run(config).memory
    found = kept_bytes(lambda: take_step(config))
    assert memory.activations + memory.logits == pytest.approx(found, rel=0.3)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sparse_embeddings": True},
        {"sparse_embeddings": True, "embedding_optimizer": "adamw", "embedding_lr": 1e-3},
        {"sparse_embeddings": True, "embedding_lr": 0},
    ],
)
def test_memory_of_gradients_and_optimizer(options: dict[str, object]) -> None:
    config = build_config(**options)  # type: ignore[arg-type]
    model = take_step(config)
    train = config.train
    optimizers = build_optimizers(
        model,
        lr=train.lr,
        embedding_lr=train.embedding_lr,
        weight_decay=0.0,
        eps=train.adam_eps,
        embedding_optimizer=train.embedding_optimizer,
    )
    for optimizer in optimizers:
        optimizer.step()
    state = sum(
        value.numel() * 4
        for optimizer in optimizers
        for values in optimizer.state.values()
        for value in values.values()
        if isinstance(value, torch.Tensor) and value.numel() > 1
    )
    memory = estimate_run(config).memory
    assert memory.optimizer == pytest.approx(state, rel=0.02)
    assert memory.weights == 4 * sum(weight.numel() for weight in model.parameters())
    if not train.sparse_embeddings:
        dense = sum(w.grad.numel() * 4 for w in model.parameters() if w.grad is not None)
        assert memory.gradients == dense


def test_more_devices_share_activations_and_not_weights() -> None:
    one, two = (estimate_run(build_config(), devices=devices) for devices in (1, 2))
    assert two.memory.weights == one.memory.weights
    assert two.memory.activations * 2 == one.memory.activations
    # Several make their logits in blocks: eight products of the two sides in place of three.
    product = 2 * NUM_PAIRS**2 * 32
    assert two.step_flops - one.step_flops == 5 * product


@pytest.mark.parametrize("is_sparse", [True, False])
def test_devices_that_cut_the_weights_hold_less_of_them(is_sparse: bool) -> None:
    whole, cut = (
        estimate_run(build_config(12, sparse_embeddings=is_sparse, shard=shard), devices=8)
        for shard in ("none", "full")
    )
    # A table with sparse gradients stays whole, with its optimizer's state of one number a row.
    table = 90 * 32 * 4 if is_sparse else 0
    rows = 90 * 4 if is_sparse else 0
    assert cut.memory.optimizer - rows == pytest.approx((whole.memory.optimizer - rows) / 8, abs=8)
    assert cut.memory.weights - table < (whole.memory.weights - table) * 0.5
    assert cut.memory.gradients < whole.memory.gradients


def test_hard_negatives_are_counted_as_sentences_of_the_batch() -> None:
    plain = build_config()
    more = plain.model_copy(update={"data": plain.data.model_copy(update={"hard_negatives": 3})})
    found, few = estimate_run(more), estimate_run(plain)
    assert found.step_tokens == 4 * few.step_tokens
    assert found.memory.activations == 4 * few.memory.activations
    assert found.step_flops > 4 * few.step_flops
