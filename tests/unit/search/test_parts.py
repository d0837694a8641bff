from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.search.knn import mutual_neighbours
from labse.search.parts import search_in_parts


@settings(deadline=None, max_examples=25)
@given(
    rows=st.lists(st.tuples(*[st.integers(-2, 2)] * 3).filter(any), min_size=2, max_size=14),
    k=st.integers(1, 5),
    part_rows=st.integers(1, 6),
)
def test_parts_give_what_one_search_gives(
    rows: list, k: int, part_rows: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    half = len(rows) // 2
    source, target = np.array(rows[:half], np.float32), np.array(rows[half:], np.float32)
    folder = tmp_path_factory.mktemp("parts")
    found = search_in_parts(source, target, k, folder, memory_bytes=1 << 20, part_rows=part_rows)
    whole = mutual_neighbours(source, target, k)
    for ours, other in ((found.forward, whole.forward), (found.backward, whole.backward)):
        assert ours.neighbours.tolist() == other.neighbours.tolist()
        assert ours.similarities.tolist() == other.similarities.tolist()


def test_finished_parts_are_not_searched_again(tmp_path: Path) -> None:
    source = np.random.default_rng(0).standard_normal((20, 4), dtype=np.float32)
    whole = search_in_parts(source, source, 2, tmp_path, memory_bytes=1 << 20, part_rows=8)
    (tmp_path / "neighbours-000000016.npz").unlink()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(before) == 2
    again = search_in_parts(source, source, 2, tmp_path, memory_bytes=1 << 20, part_rows=8)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (again.backward.neighbours == whole.backward.neighbours).all()
