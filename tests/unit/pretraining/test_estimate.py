"""The estimates against models that are built and take a step."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from labse.network.config import BertConfig
from labse.pretraining.batches import BatchBuilder, ExampleOrder, MicroBatch
from labse.pretraining.config import PretrainConfig
from labse.pretraining.estimate import StageEstimate, estimate_flops, estimate_stages
from labse.pretraining.examples import ExampleCollector
from labse.pretraining.gradients import TrainingData, ValidationSet, add_gradients, draw_batch
from labse.pretraining.model import MaskedLm
from labse.training.estimate import Machine

LENGTH, VOCAB_SIZE = 18, 90


def build_config(*, dropout: float = 0.0, cap: int = 80, **train: object) -> PretrainConfig:
    bert = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 80,
        "max_position_embeddings": 24,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
    }
    values = {
        "data": {"text": ["x.eng"], "max_seq_length": LENGTH},
        "masking": {"max_masked": cap},
        "model": {"bert": bert},
        "train": {"stage_steps": [3, 5], "global_batch_size": 12, "micro_batch_size": 4} | train,
    }
    return PretrainConfig.model_validate(values)


def full_data(config: PretrainConfig) -> TrainingData:
    """Every example is as long as the longest allowed."""
    collector, generator = ExampleCollector(), np.random.default_rng(0)
    for _ in range(20):
        collector.add("mlm", "eng", [2, *generator.integers(5, VOCAB_SIZE, LENGTH - 2), 3])
    special = np.arange(5, dtype=np.int32)
    builder = BatchBuilder(collector.build(), config.masking, special, 4, VOCAB_SIZE)
    size = config.train.global_batch_size
    order = ExampleOrder([np.arange(20)], np.ones(1), batch_size=size, seed=0)
    return TrainingData(order, builder, ValidationSet(builder, [], 0))


def build_model(config: PretrainConfig, stage: StageEstimate) -> MaskedLm:
    sizes = {"num_hidden_layers": stage.num_layers}
    torch.manual_seed(0)
    return MaskedLm(
        config.model.bert.model_copy(update=sizes), max_logits_bytes=config.train.max_logits_bytes
    )


def test_each_stage_has_the_parameters_of_its_model_and_its_steps() -> None:
    config = build_config()
    stages = estimate_stages(config)
    assert [(s.num_layers, s.cost.train_steps) for s in stages] == [(2, 3), (4, 5)]
    for stage in stages:
        model, parameters = build_model(config, stage), stage.cost.parameters
        assert stage.cost.num_parameters == sum(weight.numel() for weight in model.parameters())
        assert parameters["layers"] == sum(w.numel() for w in model.bert.layers.parameters())
        assert parameters["head"] == sum(w.numel() for w in model.head.parameters())
        assert stage.cost.memory.weights == 4 * stage.cost.num_parameters


@pytest.mark.parametrize("cap", [2, 80])
def test_a_step_of_the_longest_examples_does_what_is_told(cap: int) -> None:
    config = build_config(cap=cap)
    stage = estimate_stages(config)[1]
    data = full_data(config)
    batch = draw_batch(config, data, step=0)
    update = add_gradients(config, data.builder, build_model(config, stage), batch)
    assert stage.cost.step_tokens == update.num_tokens == 12 * LENGTH
    assert stage.cost.step_flops == update.flops


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_memory_for_activations_is_about_what_autograd_keeps(precision: str) -> None:
    config = build_config(dropout=0.1, precision=precision)
    stage = estimate_stages(config)[1]
    model = build_model(config, stage)
    buffers: dict[int, int] = {}
    held: list[torch.Tensor] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        is_of_the_table = VOCAB_SIZE in tensor.shape  # Those are gradients, made in advance.
        if not isinstance(tensor, torch.nn.Parameter) and not is_of_the_table:
            held.append(tensor)
            buffers[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    data = full_data(config)
    batch = data.builder.build(np.arange(4), np.random.default_rng(0))
    (micro,) = data.builder.iter_micro_batches(batch, 4)
    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"),
    ):
        model(micro)
    assert sum(buffers.values()) == pytest.approx(stage.cost.memory.activations, rel=0.2)


def test_gradients_and_moments_are_those_of_all_weights() -> None:
    config = build_config()
    stage = estimate_stages(config)[0]
    model = build_model(config, stage)
    data = full_data(config)
    add_gradients(config, data.builder, model, draw_batch(config, data, step=0))
    optimizer = torch.optim.AdamW(model.parameters())
    optimizer.step()
    gradients = sum(4 * w.grad.numel() for w in model.parameters() if w.grad is not None)
    moments = sum(
        4 * value.numel()
        for state in optimizer.state.values()
        for value in state.values()
        if value.numel() > 1
    )
    tables = 2 * 4 * stage.cost.parameters["word pieces"]
    assert stage.cost.memory.gradients == gradients + tables
    assert stage.cost.memory.optimizer == moments


def test_logits_are_bounded_by_the_option() -> None:
    free, bound = (
        estimate_stages(build_config(max_logits_bytes=n))[0].cost.memory.logits
        for n in (1 << 20, 4 * VOCAB_SIZE * 5)
    )
    # Four examples at a time, of each of which round(0.2 * 16) tokens are masked.
    assert (free, bound) == (4 * VOCAB_SIZE * 12, 4 * VOCAB_SIZE * 5)


def test_devices_share_the_batch_and_cut_weights_where_asked() -> None:
    one, three, cut = (
        estimate_stages(build_config(micro_batch_size=12, shard=shard), devices=devices)[1].cost
        for devices, shard in ((1, "none"), (3, "none"), (3, "full"))
    )
    assert three.memory.weights == one.memory.weights
    assert three.memory.activations * 3 == one.memory.activations
    assert three.step_flops == one.step_flops
    assert cut.memory.optimizer == pytest.approx(one.memory.optimizer / 3, rel=1e-3)
    assert cut.memory.weights < one.memory.weights * 1.4
    assert Machine(3, {"x": 1}).seconds(three)["x"] * 3 == Machine(1, {"x": 1}).seconds(one)["x"]


def test_the_estimate_equals_what_torch_counts() -> None:
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=16,
        hidden_dropout_prob=0, attention_probs_dropout_prob=0,
    )  # fmt: skip
    model = MaskedLm(config)
    # All are masked: for other tokens a CPU leaves out what follows attention in the last layer.
    batch = MicroBatch(
        torch.randint(5, 50, (3, 10)), None, None, None, torch.arange(30), torch.arange(30)
    )
    # The math kernel is made of products that the counter knows.
    with (
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        model(batch).loss_sum.backward()
    in_place = 2 * 30 * 16 * 50  # The table's gradient, by addmm_, which the counter does not know.
    assert counter.get_total_flops() + in_place == estimate_flops(config, np.full(3, 10), 30)
