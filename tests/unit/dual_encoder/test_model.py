import pytest
import torch
from torch.nn import functional as F

from labse.bert.config import BertConfig
from labse.dual_encoder.config import DualEncoderConfig
from labse.dual_encoder.model import DualEncoder

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
