"""Engines: products with a stated error, and no pair missed within it."""

import importlib
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from labse.errors import ResourceError
from labse.search.engine import find_candidates
from labse.search.knn import build_engine, mutual_neighbours, nearest_neighbours
from labse.search.numpy_engine import NumpyEngine

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")


def torch_engine() -> ModuleType:
    return importlib.import_module("labse.search.torch_engine")


def unit_rows(num_rows: int, size: int, seed: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).standard_normal((num_rows, size))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(1, 6), st.floats(-1, 1))
def test_no_pair_that_reaches_its_bound_is_missed(
    num_left: int, num_right: int, k: int, bound: float
) -> None:
    left, right = unit_rows(num_left, 5, 0), unit_rows(num_right, 5, 1)
    cosines = left.astype(np.float64) @ right.astype(np.float64).T
    engine = NumpyEngine()
    products = engine.multiply(engine.load(left), engine.load(right))
    for axis, table in ((0, cosines), (1, cosines.T)):
        reached = np.full(len(table), bound, np.float32)
        found = find_candidates(products, axis, reached, k, table.shape[1])
        if found.is_crowded:  # It gives none: `decide_crowded` looks at the block.
            continue
        selected = set(zip(found.rows.tolist(), found.columns.tolist(), strict=True))
        for row, values in enumerate(table):
            best = np.argsort(-values, kind="stable")[:k]
            wanted = {(row, int(column)) for column in best if values[column] >= bound}
            assert wanted <= selected
        assert all(0 <= column < table.shape[1] for _, column in selected)


def test_a_crowd_within_the_error_is_told() -> None:
    rows = np.tile(unit_rows(1, 8, 0), (256, 1))
    engine = NumpyEngine()
    products = engine.multiply(engine.load(rows), engine.load(rows))
    reached = np.full(256, -np.inf, np.float32)
    assert find_candidates(products, 0, reached, 1, 256).is_crowded
    assert not find_candidates(products, 0, reached, 64, 256).is_crowded


def test_small_searches_do_not_import_torch() -> None:
    assert build_engine("auto", 1000).name == "numpy"
    assert build_engine("numpy", 10**15).name == "numpy"


@needs_torch
def test_torch_is_taken_where_it_is_asked_for() -> None:
    assert build_engine("torch", 1).name == "torch"


def rows_of(num_rows: int, size: int, seed: int, spread: float = 1.0) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    base = np.random.default_rng(99).standard_normal(size)
    return (base + spread * generator.standard_normal((num_rows, size))).astype(np.float32)


def brute_force(queries: NDArray, corpus: NDArray, k: int) -> NDArray:
    left, right = (rows.astype(np.float64) for rows in (queries, corpus))
    norms = np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=1)
    cosines = (np.einsum("nd,md->nm", left, right) / norms).astype(np.float32)
    return np.argsort(-cosines, axis=1, kind="stable")[:, :k]


@needs_torch
@pytest.mark.parametrize("spread", [0.01, 0.3, 100.0])
@pytest.mark.parametrize("block_rows", [96, 2048])
def test_neighbours_are_those_of_float64_brute_force(spread: float, block_rows: int) -> None:
    # With 0.01 most pairs are nearer to each other than bfloat16 can tell.
    source, target = rows_of(500, 96, 0, spread), rows_of(700, 96, 1, spread)
    found = mutual_neighbours(source, target, 4, engine="torch", block_rows=block_rows)
    assert (found.forward.neighbours == brute_force(source, target, 4)).all()
    assert (found.backward.neighbours == brute_force(target, source, 4)).all()


@needs_torch
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


@needs_torch
def test_negative_cosines_are_ordered_too() -> None:
    query = np.ones((1, 8), np.float32)
    corpus = -rows_of(200, 8, 3, 0.1)
    found = nearest_neighbours(np.abs(query), -np.abs(corpus), 3, engine="torch")
    assert (found.neighbours == brute_force(query, -np.abs(corpus), 3)).all()
    assert (found.similarities < 0).all()


@needs_torch
def test_the_stated_error_holds() -> None:
    left, right = rows_of(130, 768, 0), rows_of(90, 768, 1)
    units = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (left, right)]
    engine = torch_engine().TorchEngine()
    products = engine.multiply(*(engine.load(rows) for rows in units))
    cosines = units[0].astype(np.float64) @ units[1].astype(np.float64).T
    values = products.values[:130, :90].float().numpy()
    assert (np.abs(values - cosines) <= products.error + np.abs(values) * products.rounding).all()
    # The bound is not idle: it is near what is seen, and far above the one of float32.
    assert products.error < 0.01
    numpy = NumpyEngine()
    assert numpy.multiply(*(numpy.load(rows) for rows in units)).error < products.error / 10


@needs_torch
def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(ResourceError, match="device 'nonsense'"):
        torch_engine().TorchEngine("nonsense")


def test_tiles_of_a_gpu_are_those_of_the_cpu() -> None:
    torch = pytest.importorskip("torch")
    values = torch.from_numpy(np.abs(rows_of(128, 192, 5))).bfloat16()
    host = torch_engine()._HostProducts(values, 0.0)
    device = torch_engine()._DeviceProducts(values, 0.0)
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


@needs_torch
def test_any_device_will_do_with_auto() -> None:
    assert torch_engine().choose_device() in ("cpu", "cuda")
    found = nearest_neighbours(rows_of(9, 4, 0), rows_of(9, 4, 0), 1, engine="torch", device="auto")
    assert (found.neighbours[:, 0] == np.arange(9)).all()
