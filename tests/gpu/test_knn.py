"""On a CUDA device the search finds the neighbours that it finds on the CPU."""

import numpy as np
import pytest
import torch

from labse.search.knn import mutual_neighbours

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("block_rows", [512, 8192])
def test_neighbours_equal_those_of_numpy(block_rows: int) -> None:
    generator = np.random.default_rng(0)
    source, target = generator.standard_normal((2, 5000, 256), dtype=np.float32)
    gpu = mutual_neighbours(source, target, 4, engine="torch", device="cuda", block_rows=block_rows)
    cpu = mutual_neighbours(source, target, 4, engine="numpy")
    for ours, other in ((gpu.forward, cpu.forward), (gpu.backward, cpu.backward)):
        assert (ours.neighbours == other.neighbours).all()
        assert (ours.similarities == other.similarities).all()
