import torch

from labse.network.config import BertConfig
from labse.pretraining.model import MaskedLm
from labse.pretraining.stacking import stack_layers

CONFIG = BertConfig(
    vocab_size=20,
    hidden_size=8,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=8,
)


def test_layer_i_plus_l_equals_layer_i_and_the_rest_is_kept() -> None:
    torch.manual_seed(0)
    model = MaskedLm(CONFIG, max_logits_bytes=77)
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
    model = MaskedLm(CONFIG)
    before = torch.get_rng_state()
    grown = stack_layers(model)
    assert torch.equal(torch.get_rng_state(), before)
    addresses = [parameter.data_ptr() for parameter in grown.parameters()]
    assert len(set(addresses)) == len(addresses)
    assert not {parameter.data_ptr() for parameter in model.parameters()} & set(addresses)
