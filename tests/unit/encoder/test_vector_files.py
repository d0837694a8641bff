from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labse.encoder.job.vector_files import Storage, allocate_rows
from labse.errors import LabseError, ResourceError
from labse.files.atomic import sha256_file
from labse.files.npy import load_array, save_array

TOLERANCES: dict[Storage, float] = {"float32": 0, "float16": 5e-4, "int8": 4e-3}


@given(seed=st.integers(0, 99), storage=st.sampled_from(["float32", "float16", "int8"]))
def test_stored_rows_come_back_within_the_rounding_of_their_type(
    seed: int, storage: Storage
) -> None:
    rows = np.random.default_rng(seed).normal(size=(7, 12)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    stored = allocate_rows(7, 12, storage)
    order = np.array([3, 1, 0, 2, 6, 5, 4])
    stored.put(order[:4], rows[:4])
    stored.put(order[4:], rows[4:])
    np.testing.assert_allclose(stored.take(order), rows, atol=TOLERANCES[storage])
    assert stored.take(slice(0, 7)).dtype == np.float32


@pytest.mark.parametrize("descr", ["<f4", "<f2", "|i1", "<i8"])
def test_a_file_is_the_one_that_numpy_saves_with_the_hash_of_its_bytes(
    tmp_path: Path, descr: str
) -> None:
    array = np.arange(20_000 * 3).reshape(20_000, 3).astype(descr)
    order = np.random.default_rng(0).integers(0, 20_000, 30_000)
    digest = save_array(tmp_path / "a.npy", array, order)
    np.save(tmp_path / "b.npy", array[order])
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    assert digest == sha256_file(tmp_path / "a.npy")
    assert isinstance(load_array(tmp_path / "a.npy"), np.memmap)


def test_no_rows_make_a_file_too(tmp_path: Path) -> None:
    save_array(tmp_path / "a.npy", np.empty((0, 3), "<f4"))
    assert np.load(tmp_path / "a.npy").shape == (0, 3)


def test_a_damaged_or_foreign_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    with pytest.raises(LabseError, match="no such file"):
        load_array(path)
    save_array(path, np.ones((100, 3), "<f4"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LabseError, match=r"a\.npy: not a whole \.npy file"):
        load_array(path)
    path.write_bytes(b"")
    with pytest.raises(LabseError, match="not a whole"):
        load_array(path)
    np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(LabseError, match="not a whole"):
        load_array(path)
    np.savez(tmp_path / "b.npz", np.ones(2))
    with pytest.raises(LabseError, match="archive"):
        load_array(tmp_path / "b.npz")


def test_a_folder_that_is_not_there_is_a_resource_error(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="cannot be written"):
        save_array(tmp_path / "none" / "a.npy", np.ones((1, 1), "<f4"))
