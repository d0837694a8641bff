import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from labse.errors import LabseError
from labse.search import crowded
from labse.search.knn import mutual_neighbours, nearest_neighbours


def brute_force(queries: NDArray, corpus: NDArray, k: int) -> tuple[NDArray, NDArray]:
    """All cosines in float64, rounded to float32, then a stable sort: equal ones stay in order."""
    left, right = queries.astype(np.float64), corpus.astype(np.float64)
    products = np.array([[(x * y).sum() for y in right] for x in left]).reshape(len(left), -1)
    norms = np.sqrt((left**2).sum(axis=1))[:, None] * np.sqrt((right**2).sum(axis=1))
    cosines = (products / norms).astype(np.float32)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(cosines, order, axis=1)


def random_rows(num_rows: int, size: int = 16, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((num_rows, size), dtype=np.float32)


def test_neighbours_are_found_by_hand_computed_cosines() -> None:
    queries = np.array([[1, 0]], dtype=np.float32)
    corpus = np.array([[0, 2], [3, 4], [5, 0]], dtype=np.float32)
    found = nearest_neighbours(queries, corpus, 3)
    assert found.neighbours.tolist() == [[2, 1, 0]]
    assert found.similarities == pytest.approx(np.array([[1.0, 0.6, 0.0]]))
    assert found.neighbours.dtype == np.int64
    assert found.similarities.dtype == np.float32


def test_among_many_copies_the_lowest_indices_win_across_blocks() -> None:
    distinct = random_rows(3, 96)
    corpus = np.tile(distinct, (333, 1))  # Copies of row r stand at r, r + 3, r + 6, ...
    found = nearest_neighbours(distinct, corpus, 5, block_rows=100)
    assert found.neighbours.tolist() == [[r + 3 * copy for copy in range(5)] for r in range(3)]


def test_copies_have_equal_similarities_wherever_they_stand() -> None:
    # A float32 matrix product alone fails this: its edges are summed in another order.
    corpus = np.repeat(random_rows(1, 384), 1001, axis=0)
    found = nearest_neighbours(random_rows(17, 384, seed=1), corpus, 1001)
    assert (found.similarities == found.similarities[:, :1]).all()
    assert (found.neighbours == np.arange(1001)).all()


def test_directions_that_differ_only_in_length_tie() -> None:
    corpus = np.array([[1, 1], [3, 3], [0.25, 0.25], [7, 7]], dtype=np.float32)
    found = nearest_neighbours(corpus[:1], corpus, 4)
    assert found.neighbours.tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize("block_rows", [8, 64, 512])
def test_near_copies_closer_than_float32_products_resolve_are_ranked_in_float64(
    block_rows: int,
) -> None:
    # The cosines differ by a few times 2**-24, about the error of a float32 product.
    base = random_rows(1, 384)
    corpus = base + 3e-3 * random_rows(400, 384, seed=1)
    queries = base + 3e-3 * random_rows(20, 384, seed=2)
    found = nearest_neighbours(queries, corpus, 3, block_rows=block_rows)
    expected, similarities = brute_force(queries, corpus, 3)
    assert (found.similarities == similarities).all()
    assert (found.neighbours == expected).all()


small_rows = st.lists(
    st.tuples(*[st.integers(-2, 2)] * 3).filter(any), min_size=1, max_size=24
).map(lambda rows: np.array(rows, dtype=np.float32))


@settings(deadline=None)
@given(small_rows, small_rows, st.integers(1, 8), st.integers(1, 9))
def test_both_searches_equal_brute_force_whatever_the_block(
    source: NDArray, target: NDArray, k: int, block_rows: int
) -> None:
    # Few distinct values: most rows tie with others, exact copies and different vectors.
    found = mutual_neighbours(source, target, k, block_rows=block_rows)
    for side, queries, corpus in (
        (found.forward, source, target),
        (found.backward, target, source),
        (nearest_neighbours(source, target, k, block_rows=block_rows), source, target),
    ):
        neighbours, similarities = brute_force(queries, corpus, k)
        assert side.similarities.tolist() == similarities.tolist()
        assert side.neighbours.tolist() == neighbours.tolist()


def tied_rows(kind: str) -> tuple[NDArray, NDArray]:
    """Two sides whose cosines are nearly all one number."""
    source, target = random_rows(130, 8), random_rows(150, 8, seed=1)
    lengths = np.arange(1, 151, dtype=np.float32)[:, None]
    if kind == "one direction":
        return lengths[:130] * source[:1], lengths * source[:1]
    if kind == "nearly one direction":
        return source[:1] + source * np.float32(1e-7), source[:1] + target * np.float32(1e-7)
    if kind == "nothing in common":
        zeros = np.zeros_like(target)
        return np.hstack([source, zeros[:130]]), np.hstack([zeros, target])
    return np.sign(source[:, :3]), np.sign(target[:, :3])  # Whole numbers.


@pytest.mark.parametrize("engine", ["numpy", "torch"])
@pytest.mark.parametrize(
    "kind", ["one direction", "nearly one direction", "nothing in common", "whole numbers"]
)
def test_ties_everywhere_are_ordered_by_row(
    kind: str, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch" if engine == "torch" else "numpy")
    monkeypatch.setattr(crowded, "_PART_ROWS", 50)
    source, target = tied_rows(kind)
    found = mutual_neighbours(source, target, 2, engine=engine, block_rows=128)
    for side, expected in (
        (found.forward, brute_force(source, target, 2)),
        (found.backward, brute_force(target, source, 2)),
    ):
        np.testing.assert_array_equal(side.similarities, expected[1])
        np.testing.assert_array_equal(side.neighbours, expected[0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_results_do_not_depend_on_the_block_for_any_input_type(dtype: type) -> None:
    source, target = random_rows(70).astype(dtype), random_rows(90, seed=1).astype(dtype)
    whole = mutual_neighbours(source, target, 4)
    parts = mutual_neighbours(source, target, 4, block_rows=13)
    for ours, other in ((whole.forward, parts.forward), (whole.backward, parts.backward)):
        assert (ours.neighbours == other.neighbours).all()
        assert (ours.similarities == other.similarities).all()
    assert (whole.forward.neighbours == brute_force(source, target, 4)[0]).all()


def test_later_blocks_that_are_all_nearer_replace_the_first() -> None:
    angles = np.linspace(3, 0.1, 64)  # Each row nearer to the query than the one before.
    corpus = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = nearest_neighbours(np.array([[1, 0]], np.float32), corpus, 3, block_rows=16)
    assert found.neighbours.tolist() == [[63, 62, 61]]


def test_k_is_clamped_to_the_corpus() -> None:
    found = mutual_neighbours(random_rows(2), random_rows(3, seed=1), 10)
    assert found.forward.neighbours.shape == (2, 3)
    assert found.backward.neighbours.shape == (3, 2)


@pytest.mark.parametrize(("num_source", "num_target"), [(0, 0), (0, 3), (3, 0)])
def test_an_empty_side_gives_empty_results(num_source: int, num_target: int) -> None:
    found = mutual_neighbours(random_rows(num_source), random_rows(num_target), 4)
    assert found.forward.neighbours.shape == (num_source, min(4, num_target))
    assert found.backward.similarities.shape == (num_target, min(4, num_source))


def test_inputs_are_not_changed_and_may_be_read_only_memory_maps(tmp_path) -> None:  # noqa: ANN001
    rows = 3 * random_rows(40)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    found = mutual_neighbours(mapped, mapped[::-1], 2, block_rows=16)
    assert (found.forward.neighbours[:, 0] == np.arange(40)[::-1]).all()
    assert (np.load(tmp_path / "rows.npy") == rows).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_is_named(value: float) -> None:
    corpus = random_rows(9)
    corpus[7, 3] = value
    with pytest.raises(LabseError, match=r"corpus, row 7 .*NaN or infinity"):
        nearest_neighbours(random_rows(2), corpus, 1, block_rows=4)


def test_a_row_of_zeros_is_named() -> None:
    source = random_rows(5)
    source[2] = 0
    with pytest.raises(LabseError, match=r"source, row 2 .*zeros"):
        mutual_neighbours(source, random_rows(5), 1)


def test_very_short_and_very_long_rows_keep_their_direction() -> None:
    queries = np.array([[1e-40, 0], [0, 3e38]], dtype=np.float32)
    assert nearest_neighbours(queries, queries, 1).neighbours.tolist() == [[0], [1]]


def test_unequal_dimensions_are_named() -> None:
    with pytest.raises(ValueError, match="queries has 4 dimensions, corpus has 5"):
        nearest_neighbours(random_rows(2, 4), random_rows(2, 5), 1)


@pytest.mark.parametrize(
    ("rows", "k", "block_rows", "message"),
    [
        (random_rows(2), 0, 8, "k must be at least 1, not 0"),
        (random_rows(2), 1, 0, "block_rows must be at least 1, not 0"),
        (random_rows(2)[0], 1, 8, "float32 of shape"),
        (np.ones((2, 3), dtype=np.int64), 1, 8, "not int64"),
    ],
)
def test_wrong_calls_are_refused(rows: NDArray, k: int, block_rows: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nearest_neighbours(rows, rows, k, block_rows=block_rows)


@pytest.mark.parametrize("memory_bytes", [1, 20_000, 1 << 30])
def test_memory_for_vectors_does_not_change_the_result(memory_bytes: int) -> None:
    source, target = random_rows(300), random_rows(500, seed=1)
    found = mutual_neighbours(source, target, 3, block_rows=64, memory_bytes=memory_bytes)
    assert (found.forward.neighbours == brute_force(source, target, 3)[0]).all()
    assert (found.backward.neighbours == brute_force(target, source, 3)[0]).all()


def test_progress_ends_with_all_products() -> None:
    seen: list[tuple[int, int | None]] = []
    mutual_neighbours(random_rows(100), random_rows(90, seed=1), 3, block_rows=64,
                      on_progress=lambda done, total: seen.append((done, total)))  # fmt: skip
    assert seen == sorted(seen)
    assert seen[-1] == (100 * 90, 100 * 90)


def test_a_memory_bound_below_1_is_refused() -> None:
    with pytest.raises(ValueError, match="memory_bytes must be at least 1"):
        nearest_neighbours(random_rows(2), random_rows(2), 1, memory_bytes=0)
