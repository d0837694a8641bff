import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training_data import tiny_bert

from labse.pretraining.batches import BatchBuilder, ExampleOrder
from labse.pretraining.config import MaskingConfig
from labse.pretraining.examples import ExampleCollector
from labse.pretraining.gradients import (
    TrainingData,
    ValidationSet,
    add_gradients,
    autocast,
    draw_batch,
    iter_batches,
    validate,
)
from labse.pretraining.model import MaskedLm

from .conftest import build_small_config, build_small_data


@pytest.mark.parametrize("micro_batch_size", [1, 3, 5, 8])
def test_any_micro_batch_gives_the_same_gradient(micro_batch_size: int) -> None:
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    gradients = []
    for size in (8, micro_batch_size):
        config = build_small_config(still, micro_batch_size=size)
        torch.manual_seed(0)
        model = MaskedLm(config.model.bert).double()
        data = build_small_data(config)
        add_gradients(config, data.builder, model, draw_batch(config, data, step=3))
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    whole, cut = gradients
    for name, gradient in whole.items():
        # float64: sums in another order.
        torch.testing.assert_close(cut[name], gradient, rtol=1e-9, atol=1e-12)


def test_a_batch_in_which_nothing_can_be_hidden_has_no_loss_and_no_gradient() -> None:
    config = build_small_config(global_batch_size=4, micro_batch_size=2)
    collector = ExampleCollector()
    collector.add("mlm", "eng", [2, 1, 1, 3])  # [UNK] twice.
    builder = BatchBuilder(collector.build(), config.masking, np.arange(5, dtype=np.int32), 4, 60)
    order = ExampleOrder([np.arange(1)], np.ones(1), batch_size=4, seed=0)
    model = MaskedLm(config.model.bert)
    data = TrainingData(order, builder, ValidationSet(builder, [], 0))
    update = add_gradients(config, builder, model, draw_batch(config, data, step=0))
    assert (update.loss, update.accuracy, update.num_tokens) == (0, 0, 16)
    for parameter in model.parameters():
        assert parameter.grad is None or not parameter.grad.any()


def test_products_are_in_the_configured_precision() -> None:
    model = MaskedLm(build_small_config().model.bert)
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        with autocast(build_small_config(precision=precision), model):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_batches_drawn_ahead_are_those_of_their_steps_and_an_error_comes_out() -> None:
    config = build_small_config()
    data = build_small_data(config)
    found = list(iter_batches(config, data, range(5, 9)))
    assert len(found) == 4
    for step, batch in zip(range(5, 9), found, strict=True):
        expected = draw_batch(config, data, step)
        for name in ("input_ids", "positions", "labels"):
            ours, theirs = getattr(batch.own.masked, name), getattr(expected.own.masked, name)
            np.testing.assert_array_equal(ours, theirs)
    assert list(iter_batches(config, data, range(5, 5))) == []

    order = ExampleOrder([np.array([10**6])], np.ones(1), batch_size=4, seed=0)
    broken = TrainingData(order, data.builder, data.held_out)
    with pytest.raises(IndexError):
        list(iter_batches(config, broken, range(1)))


def held_out() -> ValidationSet:
    collector = ExampleCollector()
    for first in range(5, 25):
        collector.add("mlm", "deu", [2, first, first + 1, first + 2, 3])
    for first in range(5, 15):
        collector.add("tlm", "eng-deu", [2, first, 3, first + 1, 3], 3)
    collector.add("mlm", "fra", [2, 9, 3])
    builder = BatchBuilder(collector.build(), MaskingConfig(), np.arange(5, dtype=np.int32), 4, 30)
    return ValidationSet(builder, (np.arange(20), np.arange(20, 30), np.empty(0, np.int64)), 0)


def model() -> MaskedLm:
    torch.manual_seed(0)
    return MaskedLm(tiny_bert(vocab_size=30, num_hidden_layers=1))


def test_a_model_that_knows_nothing_has_the_perplexity_of_the_vocabulary() -> None:
    flat = model()
    flat.head.norm.weight.data.zero_()  # All logits are 0.
    scores = validate(flat, held_out(), micro_batch_size=7)
    assert scores["mlm_perplexity"] == pytest.approx(30)
    assert set(scores) == {
        f"{name}_{measure}"
        for name in ("mlm", "mlm_deu", "tlm", "tlm_eng-deu")
        for measure in ("accuracy", "perplexity")
    }


@pytest.mark.parametrize("size", [1, 3, 100])
def test_scores_do_not_depend_on_the_micro_batch_and_repeat(size: int, tmp_path: Path) -> None:
    trained = model().train()
    expected = validate(trained, held_out(), micro_batch_size=4)
    found = validate(trained, held_out(), micro_batch_size=size)
    assert trained.training
    for name, value in expected.items():
        assert math.isclose(found[name], value, rel_tol=1e-5), name
