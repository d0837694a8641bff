"""A model on the word rows of another one: kept without them, and made whole."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from labse.errors import LabseError
from labse.files.atomic import files_in
from labse.model_folder import hub
from labse.model_folder.folder import ModelFolder, read_model_folder, write_model_folder
from labse.model_folder.int8 import StoredWeights, stored_weight
from labse.model_folder.shared_table import leave_out_shared, write_whole

BuildModel = Callable[..., ModelFolder]

TABLE = "embeddings.word_embeddings.weight"
SHAPE = {"pooling": "mean", "projection": "linear"}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in files_in(folder)}


@pytest.fixture
def models(tmp_path: Path, build_model: BuildModel, vocab_folder: Path) -> Path:
    """Holds `default`, a bag of 4 bits, `whole`, a model with layers on its rows, and `other`."""

    def write(name: str, model: ModelFolder) -> None:
        write_model_folder(
            tmp_path / name, model, vocab_folder=vocab_folder, manifest={}, storage="int4"
        )

    write("default", build_model(layers=0, **SHAPE))
    rows = stored_weight(read_model_folder(tmp_path / "default").weights, TABLE)
    above = build_model(layers=1, **SHAPE)
    write("whole", replace(above, weights=StoredWeights({**above.weights, TABLE: rows})))
    scaled = {**above.weights, TABLE: above.weights[TABLE][::-1]}
    write("other", replace(above, weights=scaled))
    return tmp_path


def test_what_two_models_share_is_kept_once_and_the_second_is_made_whole_by_its_name(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_shared(models / "whole", models / "default", models / "default-context")
    kept, whole = contents(models / "default-context"), contents(models / "whole")
    rows = stored_weight(read_model_folder(models / "default").weights, TABLE)
    size = rows.packed.nbytes + rows.scales.nbytes + rows.levels.nbytes
    assert len(kept["own_weights.bin"]) == len(whole["model.int4.safetensors"]) - size
    assert not {"tokenizer.json", "vocab.txt", "model.int4.safetensors"} & set(kept)

    monkeypatch.setattr(hub, "DEFAULT_FOLDER", models / "default")
    monkeypatch.setenv("LABSE_CACHE", str(models / "cache"))
    found = hub.locate_model("default-context")
    assert contents(found) == whole
    assert hub.locate_model("default-context") == found
    assert read_model_folder(found).config.bert.num_hidden_layers == 1


def test_other_rows_are_refused_before_anything_is_written(models: Path) -> None:
    with pytest.raises(LabseError, match="its word rows are not those of"):
        leave_out_shared(models / "other", models / "default", models / "part")
    assert not (models / "part").exists()


def test_a_base_that_has_changed_since_makes_no_model(models: Path) -> None:
    leave_out_shared(models / "whole", models / "default", models / "part")
    with pytest.raises(LabseError, match=r"install labse again \(model.int4.safetensors differs\)"):
        write_whole(models / "part", models / "other", models / "again")
    assert not (models / "again").exists()


def test_a_model_that_has_not_come_with_labse_is_told(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "DEFAULT_FOLDER", models / "default")
    with pytest.raises(LabseError, match="no model default-context is packaged"):
        hub.locate_model("default-context")
