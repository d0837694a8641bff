"""The fast path of a bag equals the plain forward pass, in value and gradient."""

import numpy as np
import pytest
import torch

from labse.dual_encoder.gradients import pad
from labse.network.config import BertConfig, DualEncoderConfig
from labse.network.dual_encoder import DualEncoder, embed_bags, is_bag

SENTENCES = [[2, 7, 7, 9, 3], [2, 3], [2, 9, 11, 3], [2, 40, 7, 12, 13, 14, 3]]
INPUT_IDS = np.concatenate(SENTENCES).astype(np.int32)
LENGTHS = np.array([len(sentence) for sentence in SENTENCES])


def build(*, layers: int = 0, dropout: float = 0.0, **options: object) -> DualEncoder:
    torch.manual_seed(0)
    bert = BertConfig(
        vocab_size=50,
        hidden_size=8,
        num_hidden_layers=layers,
        num_attention_heads=2,
        hidden_dropout_prob=dropout,
        max_position_embeddings=16,
    )
    options = {"pooling": "mean", "projection": "linear", "max_seq_length": 16} | options
    config = DualEncoderConfig.model_validate({"bert": bert} | options)
    return DualEncoder(config, sparse_embeddings=True).double()


@pytest.mark.parametrize("projection", ["linear", "tanh", "none"])
def test_values_and_gradients_equal_those_of_the_plain_forward_pass(projection: str) -> None:
    weights = torch.randn(4, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    results = []
    for embed in ("bags", "padded"):
        model = build(projection=projection)
        model.bert.embeddings.token_type.weight.data.normal_()
        vectors = (
            embed_bags(model, INPUT_IDS, LENGTHS)
            if embed == "bags"
            else model(*pad(INPUT_IDS, LENGTHS))
        )
        (vectors * weights).sum().backward()
        grads = {n: p.grad.to_dense() for n, p in model.named_parameters() if p.grad is not None}
        results.append((vectors.detach(), grads))

    (bags, bag_grads), (padded, padded_grads) = results
    assert torch.allclose(bags, padded, atol=1e-12)
    assert bag_grads.keys() == padded_grads.keys()
    for name, grad in bag_grads.items():
        assert torch.allclose(grad, padded_grads[name], atol=1e-12), name


@pytest.mark.parametrize(
    "options",
    [{"layers": 1}, {"dropout": 0.1}, {"pooling": "cls"}],
    ids=["layers", "dropout", "cls"],
)
def test_other_models_are_no_bags(options: dict[str, object]) -> None:
    assert is_bag(build())
    assert not is_bag(build(**options))


def test_a_model_with_positions_is_no_bag() -> None:
    model = build()
    model.bert.embeddings.position.weight.data[3] = 1.0
    assert not is_bag(model)
