from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from labse.errors import LabseError
from labse.search.numpy_engine import NumpyEngine
from labse.search.sides import check_side, exact_cosines, find_copies, hash_rows


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


def first_copies(rows: NDArray) -> list[int]:
    """The first row with the same bytes, looked up one by one."""
    seen: dict[bytes, int] = {}
    return [seen.setdefault(row.tobytes(), number) for number, row in enumerate(rows)]


def first_k(copies: list[int], k: int) -> list[int]:
    return [n for n, first in enumerate(copies) if copies[:n].count(first) < k]


repeated_rows = st.tuples(
    st.lists(st.tuples(*[st.sampled_from([0.0, -0.0, 1.0, np.nan])] * 3), max_size=24),
    st.sampled_from([np.float16, np.float32, np.float64]),
).map(lambda drawn: np.array(drawn[0], dtype=drawn[1]).reshape(-1, 3))


@given(repeated_rows, st.integers(1, 4))
def test_copies_are_those_found_one_by_one(rows: NDArray, k: int) -> None:
    found = find_copies(rows, hash_rows(rows), k)
    assert found.first_copy.tolist() == first_copies(rows)
    assert found.kept.tolist() == first_k(first_copies(rows), k)


@given(repeated_rows, st.integers(1, 4), st.integers(1, 3))
def test_unequal_rows_of_one_hash_stay_apart(rows: NDArray, k: int, num_hashes: int) -> None:
    hashes = hash_rows(rows) % num_hashes
    found = find_copies(rows, hashes, k)
    assert found.first_copy.tolist() == first_copies(rows)
    assert found.kept.tolist() == first_k(first_copies(rows), k)


@pytest.mark.parametrize("size", [1, 3, 4, 7, 384])
def test_distinct_rows_have_distinct_hashes(size: int) -> None:
    generator = np.random.default_rng(size)
    rows = np.unique(generator.standard_normal((5000, size)).astype(np.float16), axis=0)
    assert len(np.unique(hash_rows(rows))) == len(rows)


def test_copies_are_found_in_a_memory_mapped_file(tmp_path: Path) -> None:
    rows = np.repeat(np.eye(4, dtype=np.float16), 3, axis=0)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert find_copies(mapped, hash_rows(mapped), 2).kept.tolist() == [0, 1, 3, 4, 6, 7, 9, 10]


def test_a_view_that_skips_columns_has_the_hashes_of_its_copy() -> None:
    wide = np.random.default_rng(0).integers(2, size=(40, 8)).astype(np.float32)
    view = wide[:, ::2]
    assert (hash_rows(view) == hash_rows(view.copy())).all()
    assert find_copies(view, hash_rows(view), 1).first_copy.tolist() == first_copies(view)
    turned = np.asfortranarray(wide)
    assert find_copies(turned, hash_rows(turned), 1).first_copy.tolist() == first_copies(wide)


def test_rows_without_columns_are_all_copies() -> None:
    rows = np.empty((3, 0), dtype=np.float32)
    assert find_copies(rows, hash_rows(rows), 1).kept.tolist() == [0]
