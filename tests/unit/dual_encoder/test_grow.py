import pytest
import torch
from tests.training_data import small_model

from labse.dual_encoder.grow import grow_from_bag
from labse.network.config import DualEncoderConfig
from labse.network.dual_encoder import DualEncoder

IDS = torch.tensor([[2, 7, 9, 3], [2, 11, 3, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])


def build(layers: int = 0, projection: str = "linear") -> DualEncoder:
    model = small_model(layers, dtype=torch.float32, is_sparse=False, projection=projection).eval()
    for parameter in (*model.bert.embeddings.norm.parameters(), model.dense.bias):
        parameter.data.normal_()
    return model


def with_layers(bag: DualEncoder, layers: int) -> DualEncoderConfig:
    bert = bag.config.bert.model_copy(update={"num_hidden_layers": layers})
    return bag.config.model_copy(update={"bert": bert})


@pytest.mark.parametrize("projection", ["linear", "tanh"])
def test_new_layers_change_no_vector(projection: str) -> None:
    bag = build(projection=projection)
    grown = grow_from_bag(bag, with_layers(bag, 3)).eval()
    assert len(grown.bert.layers) == 3
    assert torch.allclose(grown(IDS, MASK), bag(IDS, MASK), atol=1e-6)


def test_new_layers_learn() -> None:
    bag = build()
    grown = grow_from_bag(bag, with_layers(bag, 1)).eval()
    (grown(IDS, MASK)[0] * torch.arange(8)).sum().backward()
    assert grown.bert.layers[0].attention.output.weight.grad.any()
    assert grown.bert.layers[0].feed_forward.output.weight.grad.any()
    assert grown.bert.embeddings.position.weight.grad.any()


def test_the_bag_is_left_as_it_was() -> None:
    bag = build()
    before = {name: tensor.clone() for name, tensor in bag.state_dict().items()}
    grow_from_bag(bag, with_layers(bag, 2))
    assert all(torch.equal(tensor, before[name]) for name, tensor in bag.state_dict().items())


def test_a_model_with_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="without layers"):
        grow_from_bag(build(layers=1), build(layers=2).config)
