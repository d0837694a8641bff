import numpy as np
import pytest
from numpy.typing import NDArray

from labse.errors import LabseError
from labse.search.numpy_engine import NumpyEngine
from labse.search.sides import check_side, exact_cosines


def random_rows(num_rows: int, size: int = 8, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((num_rows, size), dtype=np.float32)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_cosines_are_those_of_float64_and_do_not_depend_on_their_neighbours(dtype: type) -> None:
    left, right = random_rows(300).astype(dtype), random_rows(200, seed=1).astype(dtype)
    sides = check_side(left, "left", 4), check_side(right, "right", 4)
    rows, others = np.arange(300), np.arange(300) % 200
    exact = [(left[i].astype(float) * right[j].astype(float)).sum()
             / np.linalg.norm(left[i].astype(float)) / np.linalg.norm(right[j].astype(float))
             for i, j in zip(rows, others, strict=True)]  # fmt: skip
    together = exact_cosines(*sides, rows, others)
    # The sums of float64 may differ in their last bit, the float32 then by one.
    assert together == pytest.approx(np.array(exact), abs=2**-23)
    alone = [exact_cosines(*sides, rows[i : i + 1], others[i : i + 1])[0] for i in rows]
    assert together.tolist() == alone
    swapped = exact_cosines(*sides[::-1], others, rows)
    assert together.tolist() == swapped.tolist()


def test_no_pairs_have_no_cosines() -> None:
    side = check_side(random_rows(3), "rows", 1)
    nothing = np.zeros(0, np.int64)
    assert exact_cosines(side, side, nothing, nothing).shape == (0,)


def test_blocks_hold_all_kept_rows_as_unit_rows() -> None:
    rows = 3 * random_rows(10)
    rows[4] = rows[5] = rows[1]
    side = check_side(rows, "rows", 2)
    blocks = list(side.blocks(NumpyEngine(), 4, 0, 100))
    assert [block.index.tolist() for block in blocks] == [[0, 1, 2, 3], [4, 6, 7, 8], [9]]
    assert [block.place for block in blocks] == [slice(0, 4), slice(4, 8), slice(8, 9)]
    assert np.linalg.norm(side.units(side.kept), axis=1) == pytest.approx(np.ones(9))


def test_rows_without_a_direction_are_named_whichever_block_they_are_in() -> None:
    rows = random_rows(2500)
    rows[2100] = 0
    with pytest.raises(LabseError, match=r"corpus, row 2100 \(from 0\): all zeros"):
        check_side(rows, "corpus", 1)
