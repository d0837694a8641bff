from pathlib import Path

import numpy as np
import pytest

from labse.files.npy import write_array


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
