import numpy as np
import pytest
import torch
from tests.training_data import assert_equal_gradients, tiny_bert

from labse.network.bert import Bert
from labse.network.config import BertConfig
from labse.network.flat import FlatSentences, lay_flat


def tiny_config(**changes: object) -> BertConfig:
    sizes = {"hidden_size": 16, "num_attention_heads": 4, "max_position_embeddings": 12}
    return tiny_bert(**(sizes | changes))


def build_bert(*, seed: int = 0, **changes: object) -> Bert:
    model = Bert(tiny_config(**changes), add_pooler=True).eval()
    model.reset_parameters(torch.Generator().manual_seed(seed))
    return model


def random_ids(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(1, 50, shape, generator=torch.Generator().manual_seed(seed))


def test_the_output_has_one_state_a_token_and_one_vector_a_sentence() -> None:
    output = build_bert()(random_ids(3, 7), torch.ones(3, 7))
    assert output.last_hidden_state.shape == (3, 7, 16)
    assert output.pooled_output.shape == (3, 16)


def test_without_a_pooler_there_is_no_pooled_output() -> None:
    assert Bert(tiny_config())(random_ids(1, 2)).pooled_output is None


def test_the_pooled_output_is_tanh_of_a_dense_layer_on_the_first_state() -> None:
    model = build_bert()
    output = model(random_ids(2, 5))
    first = output.last_hidden_state[:, 0]
    expected = torch.tanh(first @ model.pooler.weight.T + model.pooler.bias)
    torch.testing.assert_close(output.pooled_output, expected)


def test_a_sentence_has_the_same_states_alone_and_in_a_padded_batch() -> None:
    model = build_bert()
    ids, length = random_ids(4, 9), 5
    ids[1, length:] = 0
    mask = torch.ones(4, 9, dtype=torch.bool)
    mask[1, length:] = False
    alone = model(ids[1:2, :length]).last_hidden_state[0]
    batched = model(ids, mask).last_hidden_state[1, :length]
    torch.testing.assert_close(alone, batched, atol=1e-6, rtol=1e-5)


def test_what_stands_in_the_padding_changes_nothing() -> None:
    model = build_bert()
    mask = torch.tensor([[1, 1, 1, 0, 0]])
    one, other = torch.tensor([[3, 4, 5, 0, 0]]), torch.tensor([[3, 4, 5, 9, 8]])
    states = [model(ids, mask).last_hidden_state[:, :3] for ids in (one, other)]
    assert torch.equal(states[0], states[1])


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
def test_the_mask_may_be_bool_integer_or_float(dtype: torch.dtype) -> None:
    model, ids = build_bert(), random_ids(2, 4)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    expected = model(ids, mask.bool()).last_hidden_state
    assert torch.equal(model(ids, mask.to(dtype)).last_hidden_state, expected)


def test_no_mask_means_no_padding() -> None:
    model, ids = build_bert(), random_ids(2, 6)
    torch.testing.assert_close(
        model(ids).last_hidden_state, model(ids, torch.ones(2, 6)).last_hidden_state
    )


def test_no_token_types_means_type_zero() -> None:
    model, ids = build_bert(), random_ids(2, 6)
    zeros = model(ids, token_type_ids=torch.zeros_like(ids)).last_hidden_state
    ones = model(ids, token_type_ids=torch.ones_like(ids)).last_hidden_state
    torch.testing.assert_close(model(ids).last_hidden_state, zeros)
    assert not torch.allclose(ones, zeros)


def test_with_no_layers_the_states_are_the_embeddings() -> None:
    model, ids = build_bert(num_hidden_layers=0), random_ids(2, 6)
    torch.testing.assert_close(model(ids).last_hidden_state, model.embeddings(ids, None))


def test_too_long_a_sentence_is_refused_with_both_lengths() -> None:
    with pytest.raises(ValueError, match=r"13 tokens.*max_position_embeddings is 12"):
        build_bert()(random_ids(1, 13))


def test_the_initialisation_is_the_documented_one() -> None:
    config = tiny_config(vocab_size=2000, hidden_size=64, initializer_range=0.05, pad_token_id=3)
    state = Bert(config, add_pooler=True).state_dict()
    for name, tensor in state.items():
        if "norm" in name and name.endswith("weight"):
            assert (tensor == 1).all(), name
        elif name.endswith("bias"):
            assert (tensor == 0).all(), name
        elif tensor.numel() > 1000:
            assert abs(tensor.mean()) < 0.005, name
            assert abs(tensor.std() / 0.05 - 1) < 0.05, name
    assert (state["embeddings.word.weight"][3] == 0).all()


def test_the_same_generator_draws_the_same_weights() -> None:
    first, second, other = (build_bert(seed=seed).state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["embeddings.word.weight"], other["embeddings.word.weight"])


def test_parameter_names_are_the_documented_ones() -> None:
    names = set(Bert(tiny_config(num_hidden_layers=1), add_pooler=True).state_dict())
    modules = {name.rpartition(".")[0] for name in names}
    assert modules == {
        "embeddings.word",
        "embeddings.position",
        "embeddings.token_type",
        "embeddings.norm",
        "layers.0.attention.qkv",
        "layers.0.attention.output",
        "layers.0.attention_norm",
        "layers.0.feed_forward.intermediate",
        "layers.0.feed_forward.output",
        "layers.0.feed_forward_norm",
        "pooler",
    }


def test_sparse_embeddings_give_the_same_gradient_as_a_sparse_tensor() -> None:
    ids, mask = random_ids(3, 6), torch.ones(3, 6)
    ids[0, 4:], mask[0, 4:] = 0, 0
    dense = Bert(tiny_config()).eval()
    sparse = Bert(tiny_config(), sparse_embeddings=True).eval()
    sparse.load_state_dict(dense.state_dict())
    for model in (dense, sparse):
        model(ids, mask).last_hidden_state[:, 0].square().sum().backward()
    gradient = sparse.embeddings.word.weight.grad
    assert gradient.layout is torch.sparse_coo
    torch.testing.assert_close(gradient.to_dense(), dense.embeddings.word.weight.grad)


def test_the_padding_row_gets_no_gradient() -> None:
    model = build_bert()
    model(torch.tensor([[0, 4, 0]])).last_hidden_state.sum().backward()
    assert (model.embeddings.word.weight.grad[0] == 0).all()


def test_bfloat16_autocast_stays_close_to_float32_and_reaches_every_gradient() -> None:
    model, ids = build_bert(), random_ids(4, 8)
    mask = torch.ones(4, 8)
    mask[0, 5:] = 0
    expected = model(ids, mask).last_hidden_state
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(ids, mask)
    # bfloat16 has 8 bits of mantissa: 2^-8 relative, over two layers.
    torch.testing.assert_close(output.last_hidden_state.float(), expected, atol=0.05, rtol=0.05)
    output.pooled_output.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_dropout_acts_in_training_only() -> None:
    model, ids = build_bert(), random_ids(2, 6)
    assert torch.equal(model(ids).last_hidden_state, model(ids).last_hidden_state)
    model.train()
    assert not torch.equal(model(ids).last_hidden_state, model(ids).last_hidden_state)


def test_embedding_dropout_has_the_configured_rate_and_keeps_the_mean() -> None:
    model = build_bert(num_hidden_layers=0, hidden_dropout_prob=0.3, max_position_embeddings=512)
    ids = random_ids(40, 500)
    kept = model(ids).last_hidden_state
    torch.manual_seed(0)
    dropped = model.train()(ids).last_hidden_state
    # 320,000 draws: three standard errors are 0.0024.
    assert abs((dropped == 0).float().mean() - 0.3) < 0.0025
    # A probability is a multiple of 2^-15, and the scale is that of the probability used.
    torch.testing.assert_close(dropped[dropped != 0], kept[dropped != 0] / 0.7, rtol=5e-5, atol=0)


def test_attention_dropout_drops_attention_probabilities() -> None:
    model = build_bert(
        num_hidden_layers=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.4
    )
    attention, hidden = model.layers[0].attention, torch.randn(4000, 1, 16)
    with torch.no_grad():
        attention.output.weight.copy_(torch.eye(16))
        kept = attention(hidden, None)
        torch.manual_seed(0)
        dropped = attention.train()(hidden, None)
    # One token attends to itself alone: each head is dropped whole or scaled by 1 / 0.6.
    heads = (dropped == 0).view(4000, 4, 4)
    assert torch.equal(heads.any(-1), heads.all(-1))
    assert abs(heads.all(-1).float().mean() - 0.4) < 0.012
    torch.testing.assert_close(dropped[dropped != 0], kept[dropped != 0] / 0.6)


def test_a_model_on_the_meta_device_takes_weights_without_drawing_them() -> None:
    source = build_bert()
    with torch.device("meta"):
        model = Bert(tiny_config(), add_pooler=True).eval()
    model.load_state_dict(source.state_dict(), assign=True)
    ids = random_ids(2, 3)
    assert torch.equal(model(ids).last_hidden_state, source(ids).last_hidden_state)


def lay_some(lengths: list[int]) -> tuple[FlatSentences, torch.Tensor, torch.Tensor]:
    """Returns sentences flat, and the same as padded rows with their mask."""
    ids = random_ids(sum(lengths)).numpy().astype(np.int32)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    rows = torch.zeros(mask.shape, dtype=torch.int64)
    rows[mask] = torch.from_numpy(ids).long()
    return lay_flat(ids, np.array(lengths)), rows, mask


@pytest.mark.parametrize("num_hidden_layers", [0, 1, 3])
@pytest.mark.parametrize("wanted", ["all", "first", "some"])
def test_without_padding_states_and_gradients_are_the_same(
    wanted: str, num_hidden_layers: int
) -> None:
    lengths = [5, 2, 12, 5, 1, 2]
    flat, rows, mask = lay_some(lengths)
    ours, theirs = (build_bert(num_hidden_layers=num_hidden_layers).double() for _ in range(2))
    # State t of the flat layout is that of the caller's token `tokens[t]`.
    expected = theirs(rows, mask).last_hidden_state[mask][flat.tokens]
    positions = {"all": None, "first": flat.starts, "some": torch.tensor([3, 3, 0, 26])}[wanted]
    found = ours.encode_flat(flat, positions)
    expected = expected if positions is None else expected[positions]
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)

    weights = torch.randn(found.shape, dtype=torch.float64)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    assert_equal_gradients(ours, theirs, 1e-9)


def test_without_padding_types_and_positions_may_be_stated() -> None:
    model = build_bert().double()
    flat, rows, mask = lay_some([4, 7, 4])
    types, places = (torch.randint(0, high, rows.shape) for high in (2, 12))
    expected = model(rows, mask, types, places).last_hidden_state[mask][flat.tokens]
    found = model.encode_flat(
        flat,
        token_type_ids=types[mask][flat.tokens],
        position_ids=places[mask][flat.tokens],
    )
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_without_padding_too_long_a_sentence_is_refused_too() -> None:
    with pytest.raises(ValueError, match=r"13 tokens.*max_position_embeddings is 12"):
        build_bert().encode_flat(lay_some([2, 13])[0])


def test_without_padding_dropout_follows_the_global_generator() -> None:
    model, flat = build_bert().train(), lay_some([4, 7, 4])[0]
    torch.manual_seed(0)
    first, second = model.encode_flat(flat), model.encode_flat(flat)
    torch.manual_seed(0)
    assert torch.equal(model.encode_flat(flat), first)
    assert not torch.equal(first, second)
