"""On a CUDA device the search finds the neighbours that it finds on the CPU."""

from pathlib import Path

import numpy as np
import pytest
import torch

from labse.files.stage import open_stage
from labse.search.grid import search_grid
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


def test_mining_takes_the_gpu_by_itself_and_finds_the_same(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((2, 20_000, 64), dtype=np.float32)
    paths = tmp_path / "source.npy", tmp_path / "target.npy"
    for path, side in zip(paths, rows, strict=True):
        np.save(path, side)
    found = []
    for device in ("auto", "cpu"):
        with open_stage(tmp_path / device, {}) as stage:
            found.append(
                search_grid(*paths, 4, stage, memory_bytes=1 << 28, device=device, shard_rows=8192)
            )
    assert (found[0].forward.neighbours == found[1].forward.neighbours).all()
    assert (found[0].backward.neighbours == found[1].backward.neighbours).all()
