from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.files.stage import open_stage
from labse.search.knn import MutualNeighbours, mutual_neighbours
from labse.search.parts import search_in_parts


@settings(deadline=None, max_examples=25)
@given(
    rows=st.lists(st.tuples(*[st.integers(-2, 2)] * 3).filter(any), min_size=2, max_size=14),
    k=st.integers(1, 5),
    part_rows=st.integers(1, 6),
)
def test_parts_give_what_one_search_gives(rows: list, k: int, part_rows: int) -> None:
    half = len(rows) // 2
    source, target = np.array(rows[:half], np.float32), np.array(rows[half:], np.float32)
    with open_stage(None, {}) as stage:
        found = search_in_parts(source, target, k, stage, memory_bytes=1 << 20, part_rows=part_rows)
    whole = mutual_neighbours(source, target, k)
    for ours, other in ((found.forward, whole.forward), (found.backward, whole.backward)):
        assert ours.neighbours.tolist() == other.neighbours.tolist()
        assert ours.similarities.tolist() == other.similarities.tolist()


def test_finished_parts_are_not_searched_again(tmp_path: Path) -> None:
    source = np.random.default_rng(0).standard_normal((20, 4), dtype=np.float32)

    def search() -> MutualNeighbours:
        with open_stage(tmp_path, {}) as stage:
            return search_in_parts(source, source, 2, stage, memory_bytes=1 << 20, part_rows=8)

    whole = search()
    journal = (tmp_path / "progress.jsonl").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "progress.jsonl").write_text("".join(journal[:-1]), "utf-8")  # Killed before.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    again = search()
    changed = [path.name for path in before if path.stat().st_mtime_ns != before[path]]
    assert changed == ["neighbours-000000016.npz"]
    assert (again.backward.neighbours == whole.backward.neighbours).all()
