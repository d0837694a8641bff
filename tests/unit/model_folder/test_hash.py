import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from labse.errors import LabseError
from labse.model_folder.folder import ModelFolder, write_model_folder
from labse.model_folder.hash import hash_model_folder


@pytest.fixture
def folder(tmp_path: Path, build_model: Callable[..., ModelFolder], vocab_folder: Path) -> Path:
    write_model_folder(tmp_path / "m", build_model(0), vocab_folder=vocab_folder, manifest={})
    return tmp_path / "m"


def test_a_copy_is_the_same_model_and_another_seed_another(
    folder: Path, tmp_path: Path, build_model: Callable[..., ModelFolder], vocab_folder: Path
) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    assert hash_model_folder(folder) == hash_model_folder(tmp_path / "copy")
    write_model_folder(tmp_path / "2", build_model(1), vocab_folder=vocab_folder, manifest={})
    assert hash_model_folder(folder) != hash_model_folder(tmp_path / "2")


def test_what_the_manifest_says_of_the_run_is_no_part_of_the_model(folder: Path) -> None:
    before = hash_model_folder(folder)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    (folder / "manifest.json").write_text(json.dumps({**manifest, "seed": 9}))
    assert hash_model_folder(folder) == before


def test_without_a_manifest_the_files_themselves_are_hashed(folder: Path) -> None:
    listed = hash_model_folder(folder)
    (folder / "manifest.json").unlink()
    before = hash_model_folder(folder)
    (folder / "README.md").write_text("words")
    assert hash_model_folder(folder) == before
    assert len(before) == len(listed) == 64
    (folder / "config.json").write_text("{}")
    assert hash_model_folder(folder) != before


def test_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match="no such model folder"):
        hash_model_folder(tmp_path / "none")


def test_the_weights_of_a_tensorflow_checkpoint_are_a_part_of_it(tmp_path: Path) -> None:
    hashes = set()
    for content in (b"1", b"2"):
        (tmp_path / "variables.data-00000-of-00001").write_bytes(content)
        hashes.add(hash_model_folder(tmp_path))
    assert len(hashes) == 2
