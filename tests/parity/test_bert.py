"""`Bert` against transformers' `BertModel`, from random tiny configurations."""

from pathlib import Path

import pytest
import torch

from labse.network.bert import Bert
from labse.network.config import BertConfig
from labse.network.names import from_hf_state_dict, to_hf_state_dict

transformers = pytest.importorskip("transformers", reason="transformers is the oracle")

# (layers, heads, hidden, intermediate)
SIZES = [(0, 2, 8, 12), (1, 1, 16, 32), (3, 4, 32, 48), (2, 8, 24, 20)]
# float64 leaves rounding alone. In float32, 2^-24 relative a product, over up to three layers.
TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5}


def build_both(
    sizes: tuple[int, int, int, int], dtype: torch.dtype, hidden_act: str = "gelu"
) -> tuple[Bert, transformers.BertModel]:
    layers, heads, hidden, intermediate = sizes
    config = BertConfig(
        vocab_size=60,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=intermediate,
        max_position_embeddings=20,
        initializer_range=0.2,
        hidden_act=hidden_act,
    )
    torch.manual_seed(sum(sizes))
    theirs = config.model_dump()
    if hidden_act == "gelu_tanh":
        theirs["hidden_act"] = "gelu_new"
    oracle = transformers.BertModel(transformers.BertConfig(**theirs)).to(dtype).eval()
    for parameter in oracle.parameters():  # Biases and layer norms too, which start at 0 and 1.
        parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
    model = Bert(config, add_pooler=True).to(dtype).eval()
    model.load_state_dict(from_hf_state_dict(oracle.state_dict()))
    return model, oracle


def batch(*, padded: bool, typed: bool) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    inputs = {
        "input_ids": torch.randint(1, 60, (5, 11), generator=generator),
        "attention_mask": torch.ones(5, 11, dtype=torch.long),
    }
    if padded:
        for row, length in enumerate((1, 4, 11, 7, 10)):
            inputs["input_ids"][row, length:] = 0
            inputs["attention_mask"][row, length:] = 0
    if typed:
        inputs["token_type_ids"] = torch.randint(0, 2, (5, 11), generator=generator)
    return inputs


def state_gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad
        for name, p in model.named_parameters()
    }


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(
    ("padded", "typed", "hidden_act"),
    [(False, False, "gelu"), (True, False, "gelu_tanh"), (True, True, "gelu")],
)
def test_states_vectors_and_all_gradients_equal_those_of_bert_model(
    sizes: tuple[int, int, int, int],
    dtype: torch.dtype,
    padded: bool,
    typed: bool,
    hidden_act: str,
) -> None:
    model, oracle = build_both(sizes, dtype, hidden_act)
    inputs = batch(padded=padded, typed=typed)
    ours, theirs = model(**inputs), oracle(**inputs)
    tolerance = {"atol": TOLERANCES[dtype], "rtol": TOLERANCES[dtype]}
    real = inputs["attention_mask"].bool()
    torch.testing.assert_close(
        ours.last_hidden_state[real], theirs.last_hidden_state[real], **tolerance
    )
    torch.testing.assert_close(ours.pooled_output, theirs.pooler_output, **tolerance)

    for states, vectors in (
        (ours.last_hidden_state, ours.pooled_output),
        (theirs.last_hidden_state, theirs.pooler_output),
    ):
        (states[real].sin().mean() + vectors.square().mean()).backward()
    expected = from_hf_state_dict(state_gradients(oracle))
    for name, gradient in state_gradients(model).items():
        torch.testing.assert_close(
            gradient, expected[name], **tolerance, msg=lambda m, n=name: n + m
        )


@pytest.mark.parametrize("sizes", SIZES)
def test_the_state_dict_goes_both_ways_bitwise(sizes: tuple[int, int, int, int]) -> None:
    model, oracle = build_both(sizes, torch.float32)
    theirs, back = oracle.state_dict(), to_hf_state_dict(model.state_dict())
    assert back.keys() == theirs.keys()
    assert all(torch.equal(back[name], theirs[name]) for name in theirs)


def test_a_saved_bert_model_loads(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    _, oracle = build_both(SIZES[2], torch.float32)
    oracle.save_pretrained(tmp_path)
    state = from_hf_state_dict(safetensors.load_file(tmp_path / "model.safetensors"))
    config = BertConfig.model_validate(
        {k: v for k, v in oracle.config.to_dict().items() if k in BertConfig.model_fields}
    )
    model = Bert(config, add_pooler=True).eval()
    model.load_state_dict(state)
    inputs = batch(padded=True, typed=False)
    torch.testing.assert_close(model(**inputs).pooled_output, oracle(**inputs).pooler_output)


def test_our_weights_saved_by_safetensors_load_into_bert_model(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    model, oracle = build_both(SIZES[2], torch.float32)
    path = tmp_path / "model.safetensors"
    safetensors.save_file(to_hf_state_dict(model.state_dict()), path, metadata={"format": "pt"})
    oracle.config.save_pretrained(tmp_path)
    loaded = transformers.BertModel.from_pretrained(tmp_path).eval()
    inputs = batch(padded=True, typed=True)
    torch.testing.assert_close(model(**inputs).pooled_output, loaded(**inputs).pooler_output)


def test_the_masked_language_model_of_transformers_keeps_its_encoder_under_the_prefix() -> None:
    model, oracle = build_both(SIZES[1], torch.float32)
    whole = transformers.BertForMaskedLM(oracle.config).eval()
    state = {name: t for name, t in whole.state_dict().items() if not name.startswith("cls.")}
    encoder = Bert(model.config).eval()
    encoder.load_state_dict(from_hf_state_dict(state))
    inputs = batch(padded=False, typed=False)
    torch.testing.assert_close(
        encoder(**inputs).last_hidden_state, whole.bert(**inputs).last_hidden_state
    )


def test_training_mode_drops_as_often_as_bert_model_does() -> None:
    model, oracle = build_both(SIZES[0], torch.float32)
    inputs = {
        "input_ids": torch.randint(1, 60, (500, 20), generator=torch.Generator().manual_seed(1))
    }
    rates = []
    for network in (model, oracle):
        torch.manual_seed(0)
        rates.append((network.train()(**inputs).last_hidden_state == 0).float().mean().item())
    # 80,000 draws at 0.1: four standard errors are 0.0043.
    assert rates == pytest.approx([0.1, 0.1], abs=0.0043)
