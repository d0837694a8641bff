import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from labse.model_folder.torch_model import to_dual_encoder, to_model_folder
from labse.network.config import BertConfig, DualEncoderConfig
from labse.network.dual_encoder import DualEncoder


@pytest.mark.parametrize("projection", ["tanh", "linear", "none"])
@pytest.mark.parametrize("layers", [0, 2])
def test_there_and_back_is_the_same_model(projection: str, layers: int) -> None:
    bert = BertConfig(
        vocab_size=30,
        hidden_size=8,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=8,
    )
    options = {"bert": bert, "projection": projection, "max_seq_length": 8}
    model = DualEncoder(DualEncoderConfig.model_validate(options)).eval()
    folder = to_model_folder(model, Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]")))
    assert all(array.dtype == np.float32 for array in folder.weights.values())
    again = to_dual_encoder(folder).eval()
    ids = torch.tensor([[2, 7, 3]])
    assert torch.equal(again(ids, torch.ones_like(ids)), model(ids, torch.ones_like(ids)))
