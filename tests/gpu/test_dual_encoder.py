"""On a CUDA device the dual encoder gives the vectors it gives on the CPU."""

import numpy as np
import pytest
import torch
from tests.training_data import small_model

from labse.dual_encoder.gradients import pad
from labse.network.dual_encoder import DualEncoder, embed_bags

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
INPUT_IDS = np.array([2, 7, 7, 9, 3, 2, 3, 2, 9, 11, 3], dtype=np.int32)
LENGTHS = np.array([5, 2, 4])


def build(layers: int) -> DualEncoder:
    sizes = {"hidden_size": 64, "intermediate_size": 128, "initializer_range": 0.02}
    return small_model(layers, dtype=torch.float32, is_sparse=False, bert=sizes).eval()


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
