import dataclasses
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from labse.errors import LabseError, ResourceError
from labse.model_folder.folder import (
    ModelFolder,
    open_model_folder,
    read_model_folder,
    write_model_folder,
)

BuildModel = Callable[..., ModelFolder]


@pytest.fixture
def folder(tmp_path: Path, build_model: BuildModel, vocab_folder: Path) -> Path:
    """A written LaBSE-like folder."""
    path = tmp_path / "model"
    write_model_folder(path, build_model(), vocab_folder=vocab_folder, manifest={"seed": 7})
    return path


def forget_hashes(folder: Path) -> None:
    """Makes the folder one that labse did not write, so that only its content is checked."""
    (folder / "manifest.json").unlink()


def change_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"pooling": "mean", "projection": "linear", "embedding_size": 12},
        {"pooling": "mean", "projection": "none"},
        {"layers": 0, "pooling": "mean", "projection": "tanh", "embedding_size": 8},
    ],
)
def test_a_written_model_reads_back_the_same(
    tmp_path: Path, build_model: BuildModel, vocab_folder: Path, settings: dict[str, object]
) -> None:
    model = build_model(**settings)

    write_model_folder(tmp_path / "model", model, vocab_folder=vocab_folder, manifest={})
    again = read_model_folder(tmp_path / "model")

    assert again.config == model.config
    assert again.tokenizer.get_vocab() == model.tokenizer.get_vocab()
    assert set(again.weights) == set(model.weights)
    for name, array in model.weights.items():
        np.testing.assert_array_equal(again.weights[name], array)


def test_the_manifest_holds_version_config_hashes_and_what_the_caller_gives(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())

    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert set(manifest["files"]) == written - {"manifest.json"}
    assert manifest["seed"] == 7
    assert manifest["labse_version"]
    assert manifest["config"]["bert"]["num_hidden_layers"] == 2


def test_the_dense_layer_is_its_own_module_and_where_it_is_one_the_pooler_of_bert(
    tmp_path: Path, folder: Path, build_model: BuildModel, vocab_folder: Path
) -> None:
    linear = load_file(folder / "2_Dense/model.safetensors")
    assert set(linear) == {"linear.weight", "linear.bias"}
    bert = load_file(folder / "model.safetensors")
    assert not [name for name in bert if name.startswith("dense.")]
    np.testing.assert_array_equal(bert["pooler.dense.weight"], linear["linear.weight"])

    mean = build_model(pooling="mean")
    write_model_folder(tmp_path / "mean", mean, vocab_folder=vocab_folder, manifest={})
    names = load_file(tmp_path / "mean/model.safetensors")
    assert not [name for name in names if name.startswith("pooler.")]


def test_writing_twice_gives_the_same_bytes_and_leaves_nothing_beside(
    folder: Path, build_model: BuildModel, vocab_folder: Path
) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    write_model_folder(folder, build_model(), vocab_folder=vocab_folder, manifest={"seed": 7})

    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in folder.parent.iterdir()) == ["model", "vocab"]


def test_a_manifest_key_of_ours_is_refused(
    tmp_path: Path, build_model: BuildModel, vocab_folder: Path
) -> None:
    with pytest.raises(ValueError, match="'files' is set by"):
        write_model_folder(
            tmp_path / "model", build_model(), vocab_folder=vocab_folder, manifest={"files": {}}
        )


@pytest.mark.parametrize("name", ["notes.txt", "checkpoints/step-1"])
def test_a_folder_with_other_files_is_never_replaced(
    folder: Path, build_model: BuildModel, vocab_folder: Path, name: str
) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("mine")

    with pytest.raises(LabseError, match=f"holds '{name}' beside the model"):
        write_model_folder(folder, build_model(), vocab_folder=vocab_folder, manifest={})
    assert (folder / name).read_text() == "mine"


def test_a_folder_that_is_no_model_and_a_file_are_never_replaced(
    folder: Path, build_model: BuildModel, vocab_folder: Path
) -> None:
    forget_hashes(folder)
    with pytest.raises(LabseError, match="not empty and not a model folder"):
        write_model_folder(folder, build_model(), vocab_folder=vocab_folder, manifest={})
    with pytest.raises(LabseError, match="is a file"):
        write_model_folder(
            folder / "config.json", build_model(), vocab_folder=vocab_folder, manifest={}
        )


def test_a_failure_on_the_way_leaves_the_old_folder_alone(
    folder: Path, build_model: BuildModel, vocab_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("labse.model_folder.folder.shutil.copyfile", fail)
    with pytest.raises(ResourceError, match="No space left"):
        write_model_folder(folder, build_model(1), vocab_folder=vocab_folder, manifest={})

    assert read_model_folder(folder).config.bert.num_hidden_layers == 2
    assert sorted(path.name for path in folder.parent.iterdir()) == ["model", "vocab"]


def test_a_failed_last_rename_puts_the_old_folder_back(
    folder: Path, build_model: BuildModel, vocab_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.replace

    def fail_for_the_new(self: Path, target: Path) -> Path:
        if self.name.endswith(".tmp") and self.is_dir():
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", fail_for_the_new)
    with pytest.raises(ResourceError, match="Input/output error"):
        write_model_folder(folder, build_model(1), vocab_folder=vocab_folder, manifest={})

    assert read_model_folder(folder).config.bert.num_hidden_layers == 2
    assert sorted(path.name for path in folder.parent.iterdir()) == ["model", "vocab"]


def test_weights_that_are_not_finite_are_neither_written_nor_read(
    folder: Path, build_model: BuildModel, vocab_folder: Path
) -> None:
    model = build_model()
    model.weights["dense.bias"][3] = np.nan
    with pytest.raises(LabseError, match=r"'dense.bias' holds NaN"):
        write_model_folder(folder, model, vocab_folder=vocab_folder, manifest={})

    forget_hashes(folder)
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.1.output.dense.weight"][0, 0] = np.inf
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(LabseError, match=r"'encoder.layer.1.output.dense.weight' holds NaN"):
        read_model_folder(folder)


def test_a_changed_byte_is_found_by_its_hash(folder: Path) -> None:
    path = folder / "2_Dense/model.safetensors"
    payload = bytearray(path.read_bytes())
    payload[-1] ^= 1
    path.write_bytes(payload)

    with pytest.raises(LabseError, match=r"2_Dense/model.safetensors: its SHA-256"):
        read_model_folder(folder)


def test_a_block_may_wait_for_what_the_checks_find(
    tmp_path: Path, build_model: BuildModel, vocab_folder: Path, folder: Path
) -> None:
    with open_model_folder(folder) as model:
        model.wait_for_checks()
    values = load_file(folder / "model.safetensors")
    values["encoder.layer.1.output.dense.weight"][0, 0] += 1  # As valid as before, to look at.
    save_file(values, folder / "model.safetensors")

    with (
        pytest.raises(LabseError, match=r"model.safetensors: its SHA-256"),
        open_model_folder(folder) as model,
    ):
        model.wait_for_checks()


def test_an_error_of_a_damaged_file_is_told_by_its_hash(folder: Path) -> None:
    for name in ("tokenizer.json", "config.json", "model.safetensors"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(LabseError, match=f"{name}: its SHA-256"):
            read_model_folder(folder)
        (folder / name).write_bytes(content)
    read_model_folder(folder)


def test_a_missing_file_is_found_by_the_manifest(folder: Path) -> None:
    (folder / "vocab.txt").unlink()

    with pytest.raises(LabseError, match=r"vocab.txt: no such file"):
        read_model_folder(folder)


def test_a_manifest_without_a_table_of_files_is_an_error(folder: Path) -> None:
    change_json(folder / "manifest.json", files=["model.safetensors"])

    with pytest.raises(LabseError, match="'files' is not an object"):
        read_model_folder(folder)


@pytest.mark.parametrize("subfolder", ["", "2_Dense"])
def test_a_pickle_of_tensors_is_read_and_any_other_is_not(folder: Path, subfolder: str) -> None:
    torch = pytest.importorskip("torch")
    expected = read_model_folder(folder)
    forget_hashes(folder)
    path = folder / subfolder / "model.safetensors"
    state = {name: torch.from_numpy(array) for name, array in load_file(path).items()}
    path.unlink()
    torch.save(state, path.with_name("pytorch_model.bin"))

    found = read_model_folder(folder)
    for name, array in expected.weights.items():
        np.testing.assert_array_equal(found.weights[name], array)

    path.with_name("pytorch_model.bin").write_bytes(pickle.dumps(print))
    with pytest.raises(LabseError, match=r"pytorch_model.bin: not a pickle of tensors alone"):
        read_model_folder(folder)
    path.with_name("pytorch_model.bin").unlink()
    with pytest.raises(LabseError, match=r"there is no model.safetensors"):
        read_model_folder(folder)


def test_a_vocabulary_of_another_size_is_an_error(
    folder: Path, build_model: BuildModel, vocab_folder: Path
) -> None:
    model = build_model()
    bert = model.config.bert.model_copy(update={"vocab_size": 9})
    smaller = {"embeddings.word_embeddings.weight": np.zeros((9, 32), np.float32)}
    wrong = dataclasses.replace(
        model,
        config=model.config.model_copy(update={"bert": bert}),
        weights={**model.weights, **smaller},
    )
    with pytest.raises(LabseError, match="but the table has 9 rows"):
        write_model_folder(folder, wrong, vocab_folder=vocab_folder, manifest={})

    forget_hashes(folder)
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, **smaller}, folder / "model.safetensors")
    change_json(folder / "config.json", vocab_size=9)
    with pytest.raises(LabseError, match=r"tokenizer.json: .* the table has 9 rows"):
        read_model_folder(folder)


def test_a_dense_layer_without_bias_gets_one_of_zeros(folder: Path) -> None:
    forget_hashes(folder)
    weight = load_file(folder / "2_Dense/model.safetensors")["linear.weight"]
    save_file({"linear.weight": weight}, folder / "2_Dense/model.safetensors")

    assert not read_model_folder(folder).weights["dense.bias"].any()


def test_a_missing_or_broken_tokenizer_is_an_error(folder: Path) -> None:
    forget_hashes(folder)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(LabseError, match="not a tokenizer"):
        read_model_folder(folder)
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").unlink()
    with pytest.raises(LabseError, match=r"there is no tokenizer.json and no vocab.txt"):
        read_model_folder(folder)


def test_a_foreign_folder_needs_no_vocab_txt_and_its_truncation_is_taken_off(folder: Path) -> None:
    tokenizer = read_model_folder(folder).tokenizer
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=9)
    tokenizer.save(str(folder / "tokenizer.json"))
    forget_hashes(folder)
    (folder / "vocab.txt").unlink()

    assert len(read_model_folder(folder).tokenizer.encode("equal rights").ids) == 2 + 11


def test_a_copy_reads_as_the_original_does(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")

    assert read_model_folder(tmp_path / "copy").config == read_model_folder(folder).config


def test_whoever_may_read_the_configuration_may_read_the_weights(folder: Path) -> None:
    modes = {path.name: path.stat().st_mode for path in folder.rglob("*") if path.is_file()}
    assert modes["model.safetensors"] == modes["config.json"]
