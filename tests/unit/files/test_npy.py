import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labse.errors import LabseError, ResourceError
from labse.files.npy import (
    RowReader,
    find_bad_row,
    load_array,
    map_new_array,
    ragged_positions,
    save_array,
    write_array,
)


def test_pieces_become_one_array(tmp_path: Path) -> None:
    with write_array(tmp_path / "a.npy", np.int32, (2,)) as append:
        append(np.arange(6).reshape(3, 2))
        append(np.empty((0, 2)))
        append(np.array([[7, 8]]))
    found = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert found.dtype == np.int32
    assert found.tolist() == [[0, 1], [2, 3], [4, 5], [7, 8]]


def test_no_piece_is_an_empty_array(tmp_path: Path) -> None:
    with write_array(tmp_path / "a.npy", np.int64):
        pass
    assert np.load(tmp_path / "a.npy", mmap_mode="r").shape == (0,)


def test_an_error_leaves_what_stood_there(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones(2))

    def fail() -> None:
        with write_array(tmp_path / "a.npy", np.int64) as append:
            append(np.arange(3))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert np.load(tmp_path / "a.npy").tolist() == [1, 1]


def test_an_array_goes_on_behind_the_rows_that_are_known(tmp_path: Path) -> None:
    path = tmp_path / "a.partial"

    def fail() -> None:
        with write_array(path, np.float32, (2,), resume_rows=0) as append:
            append(np.ones((3, 2)))
            append(np.full((2, 2), 7.0))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with write_array(path, np.float32, (2,), resume_rows=3) as append:
        append(np.zeros((1, 2)))
    assert load_array(path).tolist() == [[1, 1]] * 3 + [[0, 0]]
    np.save(tmp_path / "b.npy", np.array([[1, 1]] * 3 + [[0, 0]], np.float32))
    assert path.read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_rows_of_a_file_are_read_past_its_map(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.float16).reshape(4, 3, 2)
    np.save(tmp_path / "a.npy", array)
    rows = RowReader(tmp_path / "a.npy")
    for part in (slice(1, 3), slice(0, 4), slice(2, 2)):
        assert np.array_equal(rows.read(part), array[part])
    with pytest.raises(LabseError, match="cut short"):
        rows.read(slice(3, 5))


def test_a_saved_array_is_that_of_numpy_in_any_order(tmp_path: Path) -> None:
    array = np.arange(60_000, dtype=np.int16).reshape(-1, 3)
    order = np.random.default_rng(0).permutation(len(array))
    digest = save_array(tmp_path / "a.npy", array, order)
    np.save(tmp_path / "b.npy", array[order])
    content = (tmp_path / "b.npy").read_bytes()
    assert (tmp_path / "a.npy").read_bytes() == content
    assert digest == hashlib.sha256(content).hexdigest()
    save_array(tmp_path / "a.npy", array.T)
    np.save(tmp_path / "b.npy", array.T)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_a_file_that_is_no_whole_array_is_told(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(100))
    (tmp_path / "b.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-1])
    np.savez(tmp_path / "c.npz", a=np.arange(3))
    for name, message in (("b.npy", "not a whole"), ("c.npz", "archive"), ("d.npy", "no such")):
        with pytest.raises(LabseError, match=message):
            load_array(tmp_path / name)


@pytest.mark.parametrize(
    "header",
    [b"{'descr': '<f4', (", b"{'descr': '<f4', 'shape': (-3,)", b"'''", b"(" * 300, b"{[]: 1}"],
)
def test_a_header_that_is_none_is_told(tmp_path: Path, header: bytes) -> None:
    np.save(tmp_path / "a.npy", np.arange(3))
    content = (tmp_path / "a.npy").read_bytes()
    size = len(content) - 24 - 10
    (tmp_path / "a.npy").write_bytes(content[:10] + header[:size].ljust(size) + content[-24:])
    with pytest.raises(LabseError, match=r"a\.npy: not a whole"):
        load_array(tmp_path / "a.npy")


def test_a_new_map_takes_its_disk_space_at_once(tmp_path: Path) -> None:
    array = map_new_array(tmp_path / "a.npy", np.int32, (1000,))
    array[:] = 3
    assert os.stat(tmp_path / "a.npy").st_blocks * 512 >= 4000
    del array
    assert load_array(tmp_path / "a.npy").sum() == 3000
    with pytest.raises(ResourceError, match=r"a\.npy: cannot be written: "):
        map_new_array(tmp_path / "b.npy" / "a.npy", np.int32, (1,))


@given(st.lists(st.lists(st.integers()), min_size=1), st.data())
def test_ragged_positions_gather_entries_of_any_length(
    entries: list[list[int]], data: st.DataObject
) -> None:
    chosen = np.array(data.draw(st.lists(st.integers(0, len(entries) - 1))), np.int64)
    lengths = np.array([len(entry) for entry in entries])
    starts = np.cumsum(lengths) - lengths
    values = np.array([value for entry in entries for value in entry], object)
    found = values[ragged_positions(starts[chosen], lengths[chosen])]
    assert found.tolist() == [value for number in chosen for value in entries[number]]


def test_the_first_row_without_direction_is_found() -> None:
    embeddings = np.ones((4, 3), np.float32)
    assert find_bad_row(embeddings) is None
    assert find_bad_row(embeddings[:0]) is None
    embeddings[3, 1] = np.nan
    assert find_bad_row(embeddings) == (3, "NaN or infinity")
    embeddings[2] = 0
    assert find_bad_row(embeddings) == (2, "only zeros")
