from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.unit.json_executor import JsonExecutor

from labse.files.stage import open_stage
from labse.search.grid import plan_grid, search_grid
from labse.search.knn import MutualNeighbours, mutual_neighbours


def search(
    folder: Path,
    source: NDArray,
    target: NDArray,
    k: int,
    shard_rows: int,
    work: Path | None = None,
) -> MutualNeighbours:
    paths = folder / "source.npy", folder / "target.npy"
    for path, rows in zip(paths, (source, target), strict=True):
        np.save(path, rows)
    with open_stage(work, {}) as stage:
        return search_grid(
            *paths,
            k,
            stage,
            memory_bytes=1 << 20,
            workers=1 if work else JsonExecutor(),
            shard_rows=shard_rows,
        )


@settings(deadline=None, max_examples=25)
@given(
    rows=st.lists(st.tuples(*[st.integers(-2, 2)] * 3).filter(any), min_size=2, max_size=14),
    k=st.integers(1, 5),
    shard_rows=st.integers(1, 6),
)
def test_any_sharding_gives_what_one_search_gives(
    rows: list, k: int, shard_rows: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Few distinct values: most rows tie with others, exact copies and different vectors.
    half = len(rows) // 2
    source, target = np.array(rows[:half], np.float32), np.array(rows[half:], np.float32)
    found = search(tmp_path_factory.getbasetemp(), source, target, k, shard_rows)
    whole = mutual_neighbours(source, target, k)
    for ours, other in ((found.forward, whole.forward), (found.backward, whole.backward)):
        assert ours.neighbours.dtype == np.int64
        assert ours.neighbours.tolist() == other.neighbours.tolist()
        assert ours.similarities.tolist() == other.similarities.tolist()


def test_finished_cells_are_not_searched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = np.random.default_rng(0).standard_normal((20, 4), dtype=np.float32)
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)  # Killed before the end.
    whole = search(tmp_path, source, source, 2, 8, tmp_path / "work")
    journal = tmp_path / "work/progress.jsonl"
    lines = journal.read_text("utf-8").splitlines(keepends=True)
    journal.write_text("".join(lines[:9]), "utf-8")  # The key and eight of the nine cells.
    cells = {path: path.stat().st_mtime_ns for path in tmp_path.glob("work/cells/*.npz")}

    again = search(tmp_path, source, source, 2, 8, tmp_path / "work")
    changed = [path.stem for path in cells if path.stat().st_mtime_ns != cells[path]]
    assert changed == ["000000000016-000000000020-000000000016-000000000020"]
    assert (again.backward.neighbours == whole.backward.neighbours).all()


def test_a_damaged_cell_is_told_and_searched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows = np.random.default_rng(0).standard_normal((6, 4), dtype=np.float32)
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)
    whole = search(tmp_path, rows, rows, 2, 4, tmp_path / "work")
    cell = min(tmp_path.glob("work/cells/*.npz"))
    cell.write_bytes(cell.read_bytes()[:-300])
    (tmp_path / "work/merged/forward-000000000000.neighbours.npy").unlink()
    again = search(tmp_path, rows, rows, 2, 4, tmp_path / "work")
    assert f"{cell.name}: is not what was written; it is made again" in caplog.text
    assert (again.forward.neighbours == whole.forward.neighbours).all()


def test_what_is_merged_needs_no_cells(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((6, 4), dtype=np.float32)
    found = [search(tmp_path, rows, rows, 2, 4, tmp_path / "work") for _ in range(2)]
    assert not (tmp_path / "work/cells").exists()
    assert (found[0].forward.neighbours == found[1].forward.neighbours).all()


def test_the_rows_of_a_shard_follow_from_sizes_and_memory_alone() -> None:
    assert len(plan_grid(60_000, 1_000_000, 4, 1 << 30).target) == 16
    # 412 bytes a row and side, in half of the memory.
    assert plan_grid(10**8, 1, 4, 1 << 30).source[0] == (0, (1 << 30) // 1648)
    assert len(plan_grid(10**8, 1, 4, 1 << 33).source) == 64
    assert plan_grid(10**8, 1, 4, 1 << 24).source[-1] == (10**8 - 10**8 % 65_536, 10**8)


def test_a_damaged_result_of_an_earlier_call_is_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = np.random.default_rng(0).standard_normal((6, 4), dtype=np.float32)
    search(tmp_path, rows, rows, 2, 4, tmp_path / "work")
    merged = tmp_path / "work/merged/backward-000000000004.similarities.npy"
    whole = merged.read_bytes()
    merged.write_bytes(whole[:-1] + b"x")
    search(tmp_path, rows, rows, 2, 4, tmp_path / "work")
    assert merged.read_bytes() == whole
    assert f"{merged.name}: is not what was written; it is made again" in caplog.text
