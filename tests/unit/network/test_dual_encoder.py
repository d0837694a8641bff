import numpy as np
import pytest
import torch
from torch.nn import functional as F

from labse.dual_encoder.gradients import pad
from labse.network.config import BertConfig, DualEncoderConfig
from labse.network.dual_encoder import DualEncoder

BERT = BertConfig(
    vocab_size=50,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=16,
)
IDS = torch.tensor([[2, 7, 9, 3], [2, 11, 3, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])


def build(**options: object) -> DualEncoder:
    torch.manual_seed(0)
    config = DualEncoderConfig.model_validate({"bert": BERT, "max_seq_length": 16} | options)
    return DualEncoder(config).eval()


def test_cls_pooling_is_tanh_of_the_dense_layer_over_the_first_state() -> None:
    model = build()
    hidden = model.bert(IDS, MASK).last_hidden_state
    expected = F.normalize(torch.tanh(model.dense(hidden[:, 0])), dim=-1)
    assert torch.allclose(model(IDS, MASK), expected)


def test_mean_pooling_counts_real_tokens_only() -> None:
    model = build(pooling="mean", projection="linear")
    model.dense.bias.data.normal_()  # With it a sum is not as good as a mean.
    hidden = model.bert(IDS, MASK).last_hidden_state
    means = torch.stack([hidden[0].mean(0), hidden[1, :3].mean(0)])
    assert torch.allclose(model(IDS, MASK), F.normalize(model.dense(means), dim=-1), atol=1e-6)


def test_a_square_linear_projection_starts_as_the_identity() -> None:
    plain = build(pooling="mean", projection="none")
    projected = build(pooling="mean", projection="linear")
    projected.bert.load_state_dict(plain.bert.state_dict())
    assert torch.allclose(projected(IDS, MASK), plain(IDS, MASK), atol=1e-6)


@pytest.mark.parametrize("projection", ["tanh", "linear"])
def test_embedding_size_is_the_width_of_the_vectors(projection: str) -> None:
    vectors = build(projection=projection, embedding_size=5)(IDS, MASK)
    assert vectors.shape == (2, 5)
    assert torch.allclose(vectors.norm(dim=-1), torch.ones(2))


def test_without_layers_positions_stay_at_zero() -> None:
    model = build(bert=BERT.model_copy(update={"num_hidden_layers": 0}), pooling="mean")
    assert not model.bert.embeddings.position.weight.any()
    assert not model.bert.embeddings.position.weight.requires_grad


def test_vectors_are_float32_under_bfloat16_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert build()(IDS, MASK).dtype == torch.float32


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("num_hidden_layers", [0, 1, 2])
def test_without_padding_vectors_and_gradients_are_the_same(
    pooling: str, num_hidden_layers: int
) -> None:
    bert = BERT.model_copy(update={"num_hidden_layers": num_hidden_layers})
    ours, theirs = (build(bert=bert, pooling=pooling).double() for _ in range(2))
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 17, 12)
    ids = generator.integers(5, 50, lengths.sum()).astype(np.int32)
    found = ours.embed_flat(ids, lengths)
    expected = theirs(*pad(ids, lengths))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)

    weights = torch.randn(found.shape, dtype=torch.float64)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    for (name, own), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if other.grad is not None:
            torch.testing.assert_close(own.grad, other.grad, rtol=1e-9, atol=1e-9, msg=name)
