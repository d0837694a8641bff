import numpy as np
import pytest
import torch
from tests.training_data import assert_equal_gradients, small_model, tiny_bert
from torch.nn import functional as F

from labse.dual_encoder.gradients import pad
from labse.network.config import DualEncoderConfig
from labse.network.dual_encoder import DualEncoder, embed_bags, is_bag

BERT = tiny_bert()
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
    assert_equal_gradients(ours, theirs, 1e-9)


# ---- The fast path of a bag ----

SENTENCES = [[2, 7, 7, 9, 3], [2, 3], [2, 9, 11, 3], [2, 40, 7, 12, 13, 14, 3]]
INPUT_IDS = np.concatenate(SENTENCES).astype(np.int32)
LENGTHS = np.array([len(sentence) for sentence in SENTENCES])


def build_bag(*, layers: int = 0, dropout: float = 0.0, **options: object) -> DualEncoder:
    return small_model(layers, dropout=dropout, **options)


@pytest.mark.parametrize("projection", ["linear", "tanh", "none"])
def test_values_and_gradients_equal_those_of_the_plain_forward_pass(projection: str) -> None:
    weights = torch.randn(4, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    results = []
    for embed in ("bags", "padded"):
        model = build_bag(projection=projection)
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
    assert is_bag(build_bag())
    assert not is_bag(build_bag(**options))


def test_a_model_with_positions_is_no_bag() -> None:
    model = build_bag()
    model.bert.embeddings.position.weight.data[3] = 1.0
    assert not is_bag(model)
