import hashlib
from pathlib import Path

import pytest

from labse.corpus.inputs import InputFile, hash_files, list_inputs
from labse.errors import LabseError, UsageError


def test_files_are_hashed_by_the_name_given_and_found_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(b"abc")
    expected = hashlib.sha256(b"abc").hexdigest()
    assert hash_files(["a.tsv"], folder=tmp_path) == {"a.tsv": expected}
    assert hash_files([tmp_path / "a.tsv"]) == {str(tmp_path / "a.tsv"): expected}


def test_an_absolute_path_leaves_the_folder_aside(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(b"abc")
    path = str(tmp_path / "a.tsv")
    assert list(hash_files([path], folder=Path("/nowhere"))) == [path]


def test_a_file_given_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(b"abc")
    with pytest.raises(UsageError, match=r"a\.tsv is given twice"):
        hash_files(["a.tsv", "a.tsv"], folder=tmp_path)


def test_a_device_is_refused() -> None:
    with pytest.raises(UsageError, match="/dev/zero: is a device or pipe"):
        hash_files(["/dev/zero"])


def test_standard_input_is_refused() -> None:
    with pytest.raises(UsageError, match="standard input"):
        hash_files(["-"])


def test_a_missing_file_is_named() -> None:
    with pytest.raises(LabseError, match=r"nowhere\.tsv: no such file"):
        hash_files(["nowhere.tsv"])


def test_hashes_and_rows_join_in_the_order_of_the_files() -> None:
    inputs = list_inputs({"b": "01", "a": "02"}, {"a": 3, "b": 4})
    assert inputs == (InputFile("b", "01", 4), InputFile("a", "02", 3))


def test_a_file_given_twice_under_two_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(b"abc")
    (tmp_path / "link.tsv").symlink_to("a.tsv")
    for other in ("./a.tsv", tmp_path / "a.tsv", "link.tsv"):
        with pytest.raises(UsageError, match=r"a\.tsv and .* are one file"):
            hash_files(["a.tsv", other], folder=tmp_path)
