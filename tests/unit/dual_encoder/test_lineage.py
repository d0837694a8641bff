import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.run import run_training
from labse.errors import LabseError
from labse.model_folder.folder import ModelFolder, write_model_folder
from labse.training.lineage import describe_folder

BuildModel = Callable[..., ModelFolder]


@pytest.fixture
def trained(run_folder: Path, run_config: RunConfig) -> Path:
    """A finished run."""
    run_training(
        run_config, run_folder / "run", vocab_folder=run_folder / "vocab", data_folder=run_folder
    )
    return run_folder / "run"


def test_a_model_tells_its_sizes_and_its_lineage(trained: Path) -> None:
    described = describe_folder(trained / "model")
    facts = described.facts
    assert described.kind == "model"
    assert (facts["layers"], facts["hidden_size"], facts["embedding_size"]) == (1, 16, 16)
    vocab_size = facts["vocab_size"]
    assert isinstance(vocab_size, int)
    # Tables and their norm; four square matrices, two of the feed-forward, two norms; the dense.
    layer = 4 * (16 * 16 + 16) + (16 * 24 + 24) + (24 * 16 + 16) + 4 * 16
    assert facts["parameters"] == (vocab_size + 16 + 2 + 2) * 16 + layer + 16 * 16 + 16
    assert str(facts["input pairs.tsv"]).startswith("62 rows, sha256 ")
    assert facts["step"] == 6
    assert {file.state for file in described.files} == {"ok"}


def test_a_run_tells_its_last_numbers_and_checks_its_model(trained: Path) -> None:
    described = describe_folder(trained)
    assert described.kind == "run"
    assert (described.facts["step"], described.facts["train_steps"]) == (6, 6)
    assert described.facts["checkpoints"] == 2
    assert described.facts["model"] == "written"
    assert "last loss" in described.facts
    assert "model/model.safetensors" in {file.name for file in described.files}


def test_a_run_without_manifest_and_model_is_still_a_run(trained: Path) -> None:
    shutil.rmtree(trained / "model")
    (trained / "manifest.json").unlink()
    described = describe_folder(trained)
    assert described.kind == "run"
    assert described.facts["model"] == "not yet"


def test_a_checkpoint_tells_its_step(trained: Path) -> None:
    described = describe_folder(trained / "checkpoints" / "step-000000003")
    assert described.kind == "checkpoint"
    assert (described.facts["step"], described.facts["train_steps"]) == (3, 6)
    assert {file.state for file in described.files} == {"unlisted"}


def test_a_damaged_checkpoint_is_an_error(trained: Path) -> None:
    folder = trained / "checkpoints" / "step-000000006"
    (folder / "state.safetensors").write_bytes(b"short")
    with pytest.raises(LabseError, match=r"state\.safetensors: damaged"):
        describe_folder(folder)


def test_vocabularies_and_tokens_are_known(trained: Path, run_folder: Path) -> None:
    vocabulary = describe_folder(run_folder / "vocab")
    assert vocabulary.kind == "vocabulary"
    assert vocabulary.facts["asked vocab_size"] == 100
    assert {file.state for file in vocabulary.files} == {"ok"}
    (run_folder / "vocab" / "manifest.json").unlink()
    assert describe_folder(run_folder / "vocab").kind == "vocabulary"
    assert describe_folder(trained / "tokens").kind == "tokens"


def test_changed_missing_and_added_files_are_told_apart(trained: Path) -> None:
    folder = trained / "model"
    (folder / "1_Pooling" / "notes.txt").write_text("mine")
    (folder / "special_tokens_map.json").write_text("{}")
    (folder / "tokenizer_config.json").unlink()
    states = {file.name: file.state for file in describe_folder(folder).files}
    assert states["1_Pooling/notes.txt"] == "unlisted"
    assert states["special_tokens_map.json"] == "changed"
    assert states["tokenizer_config.json"] == "missing"
    assert states["model.safetensors"] == "ok"


def test_a_foreign_model_has_no_hashes_to_compare(
    tmp_path: Path, build_model: BuildModel, vocab_folder: Path
) -> None:
    folder = tmp_path / "model"
    write_model_folder(folder, build_model(), vocab_folder=vocab_folder, manifest={})
    (folder / "manifest.json").unlink()
    described = describe_folder(folder)
    assert described.kind == "model"
    assert {file.state for file in described.files} == {"unlisted"}


def test_what_labse_does_not_know_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match="no such folder"):
        describe_folder(tmp_path / "none")
    with pytest.raises(LabseError, match="neither a model, a vocabulary, a run nor a checkpoint"):
        describe_folder(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(LabseError, match="is a file"):
        describe_folder(tmp_path / "file")


def test_a_model_of_others_is_described_by_its_weights() -> None:
    folder = Path(__file__).parents[2] / "data/tensorflow/hub"
    described = describe_folder(folder)
    assert described.kind == "model"
    assert described.facts["layers"] == 2
    assert (described.facts["pooling"], described.facts["projection"]) == ("cls", "tanh")
