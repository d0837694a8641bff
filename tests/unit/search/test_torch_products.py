from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from labse.errors import ResourceError
from labse.search.knn import mutual_neighbours, nearest_neighbours
from labse.search.numpy_engine import NumpyEngine

torch_products = pytest.importorskip("labse.search.torch_engine")


def rows_of(num_rows: int, size: int, seed: int, spread: float = 1.0) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    base = np.random.default_rng(99).standard_normal(size)
    return (base + spread * generator.standard_normal((num_rows, size))).astype(np.float32)


def brute_force(queries: NDArray, corpus: NDArray, k: int) -> NDArray:
    left, right = (rows.astype(np.float64) for rows in (queries, corpus))
    norms = np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=1)
    cosines = (np.einsum("nd,md->nm", left, right) / norms).astype(np.float32)
    return np.argsort(-cosines, axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize("spread", [0.01, 0.3, 100.0])
@pytest.mark.parametrize("block_rows", [96, 2048])
def test_neighbours_are_those_of_float64_brute_force(spread: float, block_rows: int) -> None:
    # With 0.01 most pairs are nearer to each other than bfloat16 can tell.
    source, target = rows_of(500, 96, 0, spread), rows_of(700, 96, 1, spread)
    found = mutual_neighbours(source, target, 4, engine="torch", block_rows=block_rows)
    assert (found.forward.neighbours == brute_force(source, target, 4)).all()
    assert (found.backward.neighbours == brute_force(target, source, 4)).all()


def test_both_engines_give_the_same_bytes() -> None:
    source, target = rows_of(300, 64, 0, 0.2), rows_of(400, 64, 1, 0.2)
    target[50:90] = source[:40]  # Pairs of cosine 1, and copies below.
    target[200:260] = target[7]
    torch, numpy = (
        mutual_neighbours(source, target, 5, engine=engine) for engine in ("torch", "numpy")
    )
    for ours, other in ((torch.forward, numpy.forward), (torch.backward, numpy.backward)):
        assert (ours.neighbours == other.neighbours).all()
        assert (ours.similarities == other.similarities).all()


def test_negative_cosines_are_ordered_too() -> None:
    query = np.ones((1, 8), np.float32)
    corpus = -rows_of(200, 8, 3, 0.1)
    found = nearest_neighbours(np.abs(query), -np.abs(corpus), 3, engine="torch")
    assert (found.neighbours == brute_force(query, -np.abs(corpus), 3)).all()
    assert (found.similarities < 0).all()


def test_the_stated_error_holds() -> None:
    left, right = rows_of(130, 768, 0), rows_of(90, 768, 1)
    units = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (left, right)]
    engine = torch_products.TorchEngine()
    products = engine.multiply(*(engine.load(rows) for rows in units))
    cosines = units[0].astype(np.float64) @ units[1].astype(np.float64).T
    values = products.values[:130, :90].float().numpy()
    assert (np.abs(values - cosines) <= products.error + np.abs(values) * products.rounding).all()
    # The bound is not idle: it is near what is seen, and far above the one of float32.
    assert products.error < 0.01
    numpy = NumpyEngine()
    assert numpy.multiply(*(numpy.load(rows) for rows in units)).error < products.error / 10


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(ResourceError, match="device 'nonsense'"):
        torch_products.TorchEngine("nonsense")


def test_a_gpus_way_of_looking_gives_what_the_cpus_gives() -> None:
    torch = pytest.importorskip("torch")
    values = torch.from_numpy(np.abs(rows_of(128, 192, 5))).bfloat16()
    host = torch_products._HostProducts(values, 0.0)
    device = torch_products._DeviceProducts(values, 0.0)
    rows, tiles = np.array([3, 3, 100]), np.array([0, 1, 1])
    for axis in (0, 1):
        assert (host.tile_maxima(axis) == device.tile_maxima(axis)).all()
        assert (host.open_tiles(axis, rows, tiles) == device.open_tiles(axis, rows, tiles)).all()


def test_searches_leave_the_number_of_threads_as_it_was() -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    nearest_neighbours(rows_of(70, 8, 0), rows_of(70, 8, 1), 1, engine="torch")
    assert torch.get_num_threads() == before
    with ThreadPoolExecutor(1) as pool:  # A thread of later.
        assert pool.submit(torch.get_num_threads).result() == before


def test_any_device_will_do_with_auto() -> None:
    assert torch_products.choose_device() in ("cpu", "cuda")
    found = nearest_neighbours(rows_of(9, 4, 0), rows_of(9, 4, 0), 1, engine="torch", device="auto")
    assert (found.neighbours[:, 0] == np.arange(9)).all()
