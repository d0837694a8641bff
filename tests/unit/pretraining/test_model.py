"""`MaskedLm` against transformers' `BertForMaskedLM`."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training_data import assert_equal_gradients, tiny_bert

from labse.network.config import BertConfig
from labse.pretraining.batches import BatchBuilder, MicroBatch
from labse.pretraining.config import MaskingConfig, fit_to_start
from labse.pretraining.examples import ExampleCollector
from labse.pretraining.folder import BertFolder, write_bert_folder
from labse.pretraining.model import MaskedLm, build_model, stack_layers

from .conftest import BERT, build_config

CONFIG = tiny_bert(vocab_size=40, hidden_size=16, intermediate_size=24, initializer_range=0.3)


def micro_batch() -> MicroBatch:
    collector = ExampleCollector()
    collector.add("tlm", "eng-deu", [2, 20, 21, 3, 22, 23, 24, 3], 4)
    collector.add("mlm", "deu", [2, 10, 11, 12, 13, 3])
    builder = BatchBuilder(
        collector.build(), MaskingConfig(), np.arange(5, dtype=np.int32), 4, 40, "reset", "on"
    )
    batch = builder.build(np.array([0, 1]), np.random.default_rng(0))
    (micro,) = builder.iter_micro_batches(batch, 2)
    return micro


def test_the_loss_is_that_of_transformers_on_the_written_folder(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is the oracle")
    torch.manual_seed(0)
    model = MaskedLm(CONFIG).eval()
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
    write_bert_folder(tmp_path / "bert", BertFolder(CONFIG, model.state_dict()), files={})
    oracle = transformers.BertForMaskedLM.from_pretrained(tmp_path / "bert").eval()

    batch = micro_batch()
    labels = torch.full_like(batch.input_ids, -100).flatten()
    labels[batch.positions] = batch.labels
    theirs = oracle(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        token_type_ids=batch.token_type_ids,
        position_ids=batch.position_ids,
        labels=labels.view(batch.input_ids.shape),
    )
    # float32, two layers: 2^-24 relative a product.
    torch.testing.assert_close(
        model(batch).loss_sum / len(batch.labels), theirs.loss, rtol=1e-5, atol=0
    )


def test_positions_and_segments_reach_the_encoder() -> None:
    torch.manual_seed(0)
    model, batch = MaskedLm(CONFIG).eval(), micro_batch()
    plain = MicroBatch(
        batch.input_ids, batch.attention_mask, None, None, batch.positions, batch.labels
    )
    assert model(batch).loss_sum != model(plain).loss_sum


@pytest.mark.parametrize("num_hidden_layers", [0, 1, 3])
def test_loss_and_gradients_are_those_of_padded_rows_and_all_states(num_hidden_layers: int) -> None:
    config = CONFIG.model_copy(update={"num_hidden_layers": num_hidden_layers})
    torch.manual_seed(0)
    ours, theirs = MaskedLm(config).double().eval(), MaskedLm(config).double().eval()
    theirs.load_state_dict(ours.state_dict())
    batch = micro_batch()
    assert batch.attention_mask is not None

    found = ours(batch).loss_sum
    found.backward()
    states = theirs.bert(
        batch.input_ids, batch.attention_mask, batch.token_type_ids, batch.position_ids
    ).last_hidden_state
    masked = states.flatten(0, 1)[batch.positions]
    expected = theirs.head(masked, theirs.bert.embeddings.word.weight, batch.labels).loss_sum
    expected.backward()
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)
    assert_equal_gradients(ours, theirs, 1e-9)


SHALLOW = tiny_bert(num_hidden_layers=3)


def test_layer_i_plus_l_equals_layer_i_and_the_rest_is_kept() -> None:
    torch.manual_seed(0)
    model = MaskedLm(SHALLOW, max_logits_bytes=77)
    grown = stack_layers(model)
    assert (len(grown.bert.layers), grown.config.num_hidden_layers) == (6, 6)
    assert grown.head.max_logits_bytes == 77
    for number, layer in enumerate(grown.bert.layers):
        below = model.bert.layers[number % 3].state_dict()
        for name, tensor in layer.state_dict().items():
            assert torch.equal(tensor, below[name])
    others = {n: t for n, t in grown.state_dict().items() if not n.startswith("bert.layers.")}
    assert others
    for name, tensor in others.items():
        assert torch.equal(tensor, model.state_dict()[name])


def test_growing_shares_no_weight_and_draws_no_number() -> None:
    model = MaskedLm(SHALLOW)
    before = torch.get_rng_state()
    grown = stack_layers(model)
    assert torch.equal(torch.get_rng_state(), before)
    addresses = [parameter.data_ptr() for parameter in grown.parameters()]
    assert len(set(addresses)) == len(addresses)
    assert not {parameter.data_ptr() for parameter in model.parameters()} & set(addresses)


def test_the_first_stage_is_the_model_stacked_twice() -> None:
    bert = BertConfig.model_validate(BERT | {"vocab_size": 45, "num_hidden_layers": 1})
    start = MaskedLm(bert).state_dict()
    config = fit_to_start(build_config(train={"stage_steps": [1]}), bert)
    grown = build_model(config, 2, start)
    for name, tensor in grown.state_dict().items():
        assert torch.equal(tensor, start[name.replace("layers.1", "layers.0")]), name
