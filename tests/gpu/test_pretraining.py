"""On a CUDA device a step of pre-training has the loss and the gradients that it has on the CPU."""

import numpy as np
import pytest
import torch

from labse.pretraining.batches import BatchBuilder, ExampleOrder
from labse.pretraining.config import PretrainConfig
from labse.pretraining.examples import ExampleCollector
from labse.pretraining.gradients import (
    TrainingData,
    ValidationSet,
    add_gradients,
    draw_batch,
    validate,
)
from labse.pretraining.model import MaskedLm

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def build_config(precision: str = "float32") -> PretrainConfig:
    bert = {
        "vocab_size": 300,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 128,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "max_position_embeddings": 32,
        "initializer_range": 0.1,
    }
    values = {
        "data": {"text": ["x.eng"], "pairs": ["x.tsv"], "max_seq_length": 32},
        "model": {"bert": bert},
        "train": {
            "stage_steps": [1],
            "global_batch_size": 16,
            "micro_batch_size": 5,
            "max_logits_bytes": 4 * 300 * 7,
            "precision": precision,
        },
    }
    return PretrainConfig.model_validate(values)


def build_data(config: PretrainConfig) -> TrainingData:
    """Texts and pairs of many lengths, whose targets start anew and have a type of their own."""
    collector, generator = ExampleCollector(), np.random.default_rng(0)
    for size in generator.integers(3, 14, 40):
        pieces = generator.integers(5, 300, 2 * size).tolist()
        collector.add("mlm", "eng", [2, *pieces, 3])
        collector.add("tlm", "eng-deu", [2, *pieces[:size], 3, *pieces[size:], 3], int(size) + 2)
    builder = BatchBuilder(
        collector.build(),
        config.masking,
        np.arange(5, dtype=np.int32),
        mask_id=4,
        vocab_size=300,
        positions="reset",
        segments="on",
    )
    order = ExampleOrder([np.arange(70)], np.ones(1), batch_size=16, seed=0)
    return TrainingData(order, builder, ValidationSet(builder, [np.arange(70, 80)] * 2, 0))


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.05)])
def test_a_step_agrees_with_the_cpu(precision: str, tolerance: float) -> None:
    config = build_config(precision)
    data = build_data(config)
    torch.manual_seed(0)
    ours = MaskedLm(config.model.bert, max_logits_bytes=config.train.max_logits_bytes)
    theirs = MaskedLm(config.model.bert).cuda()
    theirs.load_state_dict(ours.state_dict())
    batch = draw_batch(config, data, step=0)
    expected, found = (
        add_gradients(build_config(), data.builder, ours, batch),
        add_gradients(config, data.builder, theirs, batch),
    )
    assert found.loss == pytest.approx(expected.loss, rel=tolerance)
    for (name, own), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert own.grad is not None
        assert other.grad is not None
        difference = (own.grad - other.grad.cpu()).norm()
        # No loss depends on the bias of keys: there are rounding errors alone.
        assert name.endswith("qkv.bias") or difference < tolerance * own.grad.norm(), name


def test_scores_agree_with_the_cpu() -> None:
    config = build_config()
    data = build_data(config)
    torch.manual_seed(0)
    model = MaskedLm(config.model.bert)
    expected = validate(model, data.held_out, micro_batch_size=4)
    found = validate(model.cuda(), data.held_out, micro_batch_size=4)
    assert found == pytest.approx(expected, rel=1e-4)
