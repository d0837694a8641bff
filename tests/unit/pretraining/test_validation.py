import math
from pathlib import Path

import numpy as np
import pytest
import torch

from labse.network.config import BertConfig
from labse.pretraining.batches import BatchBuilder
from labse.pretraining.config import MaskingConfig
from labse.pretraining.examples import ExampleCollector
from labse.pretraining.model import MaskedLm
from labse.pretraining.validation import ValidationSet, validate


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
    return MaskedLm(
        BertConfig(
            vocab_size=30,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=8,
            max_position_embeddings=8,
        )
    )


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
