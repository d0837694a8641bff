import numpy as np
import pytest
import torch
from tests.training_data import small_model
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from labse.model_folder.torch_model import to_dual_encoder, to_model_folder


@pytest.mark.parametrize("projection", ["tanh", "linear", "none"])
@pytest.mark.parametrize("layers", [0, 2])
def test_there_and_back_is_the_same_model(projection: str, layers: int) -> None:
    options = {"pooling": "cls", "projection": projection}
    model = small_model(layers, dtype=torch.float32, is_sparse=False, **options).eval()
    folder = to_model_folder(model, Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]")))
    assert all(array.dtype == np.float32 for array in folder.weights.values())
    generator = torch.get_rng_state()
    again = to_dual_encoder(folder).eval()
    assert torch.equal(torch.get_rng_state(), generator)  # Nothing was drawn: it takes seconds.
    ids = torch.tensor([[2, 7, 3]])
    assert torch.equal(again(ids, torch.ones_like(ids)), model(ids, torch.ones_like(ids)))
