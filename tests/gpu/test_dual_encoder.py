"""On a CUDA device the dual encoder gives the vectors it gives on the CPU."""

import numpy as np
import pytest
import torch

from labse.dual_encoder.gradients import pad
from labse.network.config import BertConfig, DualEncoderConfig
from labse.network.dual_encoder import DualEncoder, embed_bags

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
INPUT_IDS = np.array([2, 7, 7, 9, 3, 2, 3, 2, 9, 11, 3], dtype=np.int32)
LENGTHS = np.array([5, 2, 4])


def build(layers: int) -> DualEncoder:
    torch.manual_seed(0)
    bert = BertConfig(
        vocab_size=50,
        hidden_size=64,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=128,
        hidden_dropout_prob=0.0,
        max_position_embeddings=16,
    )
    options = {"bert": bert, "pooling": "mean", "projection": "linear", "max_seq_length": 16}
    return DualEncoder(DualEncoderConfig.model_validate(options)).eval()


@pytest.mark.parametrize(("precision", "tolerance"), [(None, 1e-5), (torch.bfloat16, 2e-2)])
def test_layers_agree_with_the_cpu(precision: torch.dtype | None, tolerance: float) -> None:
    model = build(layers=2)
    input_ids, mask = pad(INPUT_IDS, LENGTHS)
    expected = model(input_ids, mask)
    with torch.autocast("cuda", dtype=precision, enabled=precision is not None):
        vectors = model.cuda()(input_ids.cuda(), mask.cuda())
    # bfloat16 has 8 bits of precision; two layers of unit vectors stay within 2 in 100.
    assert torch.allclose(vectors.cpu(), expected, atol=tolerance)


def test_a_bag_agrees_with_the_cpu() -> None:
    model = build(layers=0)
    expected = embed_bags(model, INPUT_IDS, LENGTHS)
    assert torch.allclose(embed_bags(model.cuda(), INPUT_IDS, LENGTHS).cpu(), expected, atol=1e-5)
