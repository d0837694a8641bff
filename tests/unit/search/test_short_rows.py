"""Short rows: no pair is missed, whatever the rows and however they are shortened."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from labse.search import short_rows
from labse.search.knn import mutual_neighbours, nearest_neighbours
from labse.search.numpy_engine import NumpyEngine
from labse.search.short_rows import ShortRows, choose_axes, choose_short_rows
from labse.search.sides import Side, check_side, exact_cosines

KINDS = ("flat", "random", "tied", "copies", "whole numbers", "near copies", "float16")


def rows_of(kind: str, num_rows: int, seed: int, size: int = 64) -> NDArray[np.floating]:
    """Rows of a kind; those of two seeds are alike, as those of two languages."""
    generator = np.random.default_rng(seed)
    shared = np.random.default_rng(99)
    random = generator.standard_normal((num_rows, size), dtype=np.float32)
    if kind == "random":
        return random
    if kind == "tied":
        return np.eye(size, dtype=np.float32)[generator.integers(0, size, num_rows)] * 3
    if kind == "copies":
        return shared.standard_normal((5, size), dtype=np.float32)[np.arange(num_rows) % 5]
    if kind == "whole numbers":
        return np.sign(random) + np.eye(size, dtype=np.float32)[0] * 2
    if kind == "near copies":
        return shared.standard_normal(size, dtype=np.float32) + np.float32(1e-3) * random
    # Few directions hold nearly all, as in the vectors of a model.
    basis = shared.standard_normal((8, size), dtype=np.float32)
    rows: NDArray[np.float32] = random[:, :8] @ basis + np.float32(0.1) * random
    return rows.astype(np.float16) if kind == "float16" else rows


def all_cosines(source: NDArray, target: NDArray) -> NDArray[np.float32]:
    left, right = (np.asarray(rows, np.float64) for rows in (source, target))
    products = np.array([np.einsum("nd,d->n", right, row) for row in left])
    norms = [np.sqrt(np.einsum("nd,nd->n", rows, rows)) for rows in (left, right)]
    cosines: NDArray[np.float32] = (products / np.outer(*norms)).astype(np.float32)
    return cosines


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from(KINDS),
    st.integers(1, 40),
    st.integers(1, 40),
    st.floats(-1, 1, width=32),
    st.integers(1, 64),
    st.sampled_from(["principal", "random", "skew"]),
)
def test_each_pair_that_reaches_its_bound_is_found_within_its_bounds(
    kind: str, num_source: int, num_target: int, bound: float, num_axes: int, basis: str
) -> None:
    sides = [
        check_side(rows_of(kind, number, seed), "side", number)
        for seed, number in enumerate((num_source, num_target))
    ]
    axes = np.random.default_rng(2).standard_normal((64, 64), dtype=np.float32)
    if basis == "principal":
        units = sides[0].units(sides[0].kept)
        axes = np.linalg.eigh(units.T @ units)[1][:, ::-1]
    elif basis == "random":
        axes = np.linalg.qr(axes)[0]
    else:  # Its error says that it is not orthonormal.
        axes = np.linalg.qr(axes)[0] + np.float32(1e-4) * axes
    search = ShortRows(np.ascontiguousarray(axes[:, :num_axes]), max_share=1.0)
    engine = NumpyEngine()
    source, target = (next(side.blocks(engine, 64, 0, 64, search.shorten)) for side in sides)
    reached = tuple(np.full(len(block.index), bound, np.float32) for block in (source, target))

    found = search.find(source, target, (reached[0], reached[1]))
    assert found is not None
    check_found(found[0], sides[0], sides[1], bound)
    check_found(found[1], sides[1], sides[0], bound)


def check_found(found: short_rows.Candidates, side: Side, other: Side, bound: float) -> None:
    assert (np.diff(found.rows) >= 0).all()
    pairs = np.indices((len(side.kept), len(other.kept))).reshape(2, -1)
    cosines = exact_cosines(side, other, side.kept[pairs[0]], other.kept[pairs[1]])
    wanted = pairs[:, cosines >= bound].T.tolist()
    listed = np.stack([found.rows, found.columns], axis=1).tolist()
    assert {*map(tuple, wanted)} <= {*map(tuple, listed)}
    assert len({*map(tuple, listed)}) == len(listed)
    exact = cosines.reshape(len(side.kept), -1)[found.rows, found.columns]
    assert ((found.lower <= exact) & (exact <= found.upper)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_searches_by_short_rows_equal_float64_brute_force(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(short_rows, "_LEAST_PRODUCTS", 0)
    source, target = rows_of(kind, 300, 0, 192), rows_of(kind, 400, 1, 192)
    both = mutual_neighbours(source, target, 3, engine="numpy", block_rows=128)
    one_way = nearest_neighbours(source, target, 3, engine="numpy", block_rows=128)
    cosines = all_cosines(source, target)
    for found, table in (
        (both.forward, cosines),
        (both.backward, cosines.T),
        (one_way, cosines),
    ):
        order = np.argsort(-table, axis=1, kind="stable")[:, :3]
        assert (found.neighbours == order).all()
        assert (found.similarities == np.take_along_axis(table, order, axis=1)).all()


def test_a_sample_tells_whether_few_axes_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {}
    for kind in ("flat", "random", "near copies"):
        sides = [check_side(rows_of(kind, 1000, seed, 128), "side", 1) for seed in (0, 1)]
        assert choose_short_rows((sides[0], sides[1]), 1, both=True) is None  # Too few rows.
        monkeypatch.setattr(short_rows, "_LEAST_PRODUCTS", 0)
        chosen[kind] = choose_short_rows((sides[0], sides[1]), 1, both=True)
        monkeypatch.undo()
    assert chosen["flat"] is not None
    assert chosen["flat"].axes.shape == (128, 32)
    assert chosen["random"] is None
    assert chosen["near copies"] is None


def test_axes_are_those_that_hold_most() -> None:
    rows = rows_of("flat", 400, 0, 96)
    units = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    axes = choose_axes(units, units, [np.full(400, 0.99, np.float32)])
    assert axes is not None
    assert axes.shape == (96, 32)
    assert np.linalg.norm(units @ axes, axis=1).min() > 0.9


def test_blocks_that_all_pass_are_left_to_the_product_of_whole_rows() -> None:
    side = check_side(rows_of("near copies", 64, 0), "side", 1)
    search = ShortRows(np.eye(64, 32, dtype=np.float32))
    (block,) = side.blocks(NumpyEngine(), 64, 0, 64, search.shorten)
    low, none_yet = np.full(64, 0.5, np.float32), np.full(64, -np.inf, np.float32)
    assert search.find(block, block, (none_yet, None)) is None
    assert search.find(block, block, (low, None)) is None
    # After a failure a block is passed by; then it is tried again.
    high = np.full(64, 1.01, np.float32)
    assert search.find(block, block, (high, None)) is None
    found = search.find(block, block, (high, None))
    assert found is not None
    assert not len(found[0].rows)
