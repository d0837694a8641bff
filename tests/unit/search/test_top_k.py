import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from labse.search.engine import Candidates
from labse.search.sides import Block, Side, check_side
from labse.search.top_k import TopK


def whole(side: Side) -> Block:
    return Block(0, side.kept, operand=None)  # type: ignore[arg-type]


def circle(num_rows: int, seed: int) -> NDArray[np.float32]:
    angles = np.random.default_rng(seed).uniform(0, 6, num_rows)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def propose(cosines: NDArray, chosen: NDArray[np.bool_], error: float) -> Candidates:
    rows, columns = np.nonzero(chosen)
    values = cosines[rows, columns].astype(np.float32)
    return Candidates(rows, columns, values - np.float32(error), values + np.float32(error), False)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(1, 20),
    st.integers(1, 30),
    st.integers(1, 5),
    st.floats(1e-6, 0.5),
    st.integers(1, 60),
)
def test_the_nearest_are_found_whatever_the_bounds_and_however_few_are_kept(
    num_rows: int, num_others: int, k: int, error: float, max_candidates: int
) -> None:
    side, other = check_side(circle(num_rows, 0), "a", k), check_side(circle(num_others, 1), "b", k)
    cosines = side.rows.astype(float) @ other.rows.astype(float).T
    best = TopK(side, other, k, max_candidates=max_candidates)
    turn = np.random.default_rng(2).integers(0, 4, cosines.shape)
    for number in range(4):  # Each pair once, in an order that has nothing to do with its place.
        best.add_candidates(whole(side), whole(other), propose(cosines, turn == number, error))
    best.finish(map)
    neighbours, similarities = best.expand()
    expected = np.sort(-cosines, axis=1)[:, :k]
    assert np.allclose(-similarities, expected, atol=1e-6)
    assert np.allclose(np.take_along_axis(cosines, neighbours, axis=1), similarities, atol=1e-6)


def test_a_bound_is_never_above_the_kth_best_and_only_rises() -> None:
    side, other = check_side(circle(5, 0), "a", 2), check_side(circle(40, 1), "b", 2)
    cosines = side.rows.astype(float) @ other.rows.astype(float).T
    kth = np.sort(cosines, axis=1)[:, -2]
    best = TopK(side, other, 2)
    before = best.lower_bounds(whole(side))
    assert (before == -np.inf).all()
    for start in range(0, 40, 8):
        chosen = np.zeros(cosines.shape, np.bool_)
        chosen[:, start : start + 8] = True
        best.add_candidates(whole(side), whole(other), propose(cosines, chosen, 0.01))
        reached = best.lower_bounds(whole(side))
        assert (reached >= before).all()
        assert (reached <= kth).all()
        before = reached
    assert (before > kth - 0.03).all()
