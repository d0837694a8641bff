from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from labse.search.sides import find_copies, hash_rows


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
