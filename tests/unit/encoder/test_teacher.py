from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.teacher import load_teacher
from labse.errors import LabseError
from labse.model_folder.folder import ModelFolder, write_model_folder
from labse.model_folder.hash import hash_model_folder


def test_a_teacher_gives_the_vectors_and_the_hash_of_its_folder(
    tmp_path: Path, build_model: Callable[..., ModelFolder], vocab_folder: Path
) -> None:
    folder = tmp_path / "model"
    built = build_model(0, pooling="mean")
    write_model_folder(folder, built, vocab_folder=vocab_folder, manifest={"seed": 7})
    expected = SentenceEncoder.from_pretrained(folder).encode(["free", "equal"])
    for teacher in (load_teacher("model", tmp_path), load_teacher(str(folder), Path("/"))):
        assert teacher.sha256 == hash_model_folder(folder)
        np.testing.assert_array_equal(teacher.encode(["free", "equal"]), expected)


def test_a_folder_that_is_not_there_is_told_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match="no such model folder"):
        load_teacher("missing", tmp_path)
