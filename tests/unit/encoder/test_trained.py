from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from labse.encoder.check.golden import GOLDEN_NAME
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.trained import build_encoder, golden_files, load_teacher
from labse.errors import LabseError
from labse.model_folder.folder import ModelFolder, write_model_folder
from labse.model_folder.hash import hash_model_folder
from labse.model_folder.torch_model import to_dual_encoder

BuildModel = Callable[..., ModelFolder]


@pytest.mark.parametrize("layers", [0, 2])
def test_the_vectors_of_the_module_are_those_that_its_folder_must_give(
    tmp_path: Path,
    build_model: BuildModel,
    vocab_folder: Path,
    layers: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LABSE_CACHE", str(tmp_path / "cache"))
    model, others = build_model(layers, pooling="mean"), build_model(layers, pooling="mean")
    others.weights["dense.bias"][:] += 1
    module = to_dual_encoder(model)

    files = golden_files(module, model.tokenizer)

    assert list(files) == [GOLDEN_NAME]
    for name, written in (("same", model), ("others", others)):
        write_model_folder(
            tmp_path / name, written, vocab_folder=vocab_folder, manifest={}, extra_files=files
        )
    loaded = SentenceEncoder.from_pretrained(tmp_path / "same").encode(["born free"])
    built = build_encoder(module, model.tokenizer)
    np.testing.assert_allclose(built.encode(["born free"]), loaded, atol=1e-6)
    assert built.max_seq_length == 24
    with pytest.raises(LabseError, match="does not compute what it did when it was written"):
        SentenceEncoder.from_pretrained(tmp_path / "others")


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
