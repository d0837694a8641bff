import os
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.training_data import tiny_bert

from labse.errors import LabseError, UsageError
from labse.network.config import BertConfig
from labse.pretraining.folder import (
    BertFolder,
    read_bert_folder,
    read_start,
    vocabulary_files,
    write_bert_folder,
)
from labse.pretraining.model import MaskedLm

from .conftest import BERT

CONFIG = tiny_bert(vocab_size=20, num_hidden_layers=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    state = MaskedLm(CONFIG).state_dict()
    write_bert_folder(tmp_path / "bert", BertFolder(CONFIG, state), files={})
    return tmp_path / "bert"


def test_a_written_folder_reads_back_bit_for_bit(folder: Path) -> None:
    torch.manual_seed(0)
    state = MaskedLm(CONFIG).state_dict()
    read = read_bert_folder(folder)
    assert read.config == CONFIG
    assert set(read.state) == set(state)
    for name, tensor in state.items():
        assert torch.equal(read.state[name], tensor), name
    (folder.parent / ".bert.123-0a1b2c3d.tmp").mkdir()  # As a killed run leaves it.
    again = BertFolder(CONFIG, {name: tensor + 1 for name, tensor in state.items()})
    write_bert_folder(folder, again, files={})
    assert torch.equal(read_bert_folder(folder).state["head.bias"], torch.ones(20))
    assert [path.name for path in folder.parent.iterdir()] == ["bert"]


def test_others_may_read_what_the_umask_lets_them(folder: Path) -> None:
    for mask, mode in ((0o022, 0o644), (0o077, 0o600)):
        before = os.umask(mask)
        try:
            write_bert_folder(folder, read_bert_folder(folder), files={})
        finally:
            os.umask(before)
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {mode}


def test_the_vocabulary_goes_with_the_model(run_folder: Path, folder: Path) -> None:
    files = vocabulary_files(run_folder / "vocab")
    assert {"vocab.txt", "tokenizer.json"} <= set(files)
    write_bert_folder(folder, read_bert_folder(folder), files=files)
    assert (folder / "vocab.txt").read_bytes() == files["vocab.txt"].read_bytes()


def test_a_missing_head_nan_and_another_size_are_told(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)

    def damage(**changes: torch.Tensor | None) -> None:
        changed = {
            name: changes.get(name.rpartition("predictions.")[2], t) for name, t in tensors.items()
        }
        save_file({n: t for n, t in changed.items() if t is not None}, path)

    damage(bias=None)
    with pytest.raises(LabseError, match="only a model of `labse pretrain`"):
        read_bert_folder(folder)
    damage(bias=torch.full((20,), torch.nan))
    with pytest.raises(LabseError, match=r"'head.bias' holds NaN"):
        read_bert_folder(folder)
    damage()
    text = (folder / "config.json").read_text()
    for old, new, message in (
        ('"vocab_size": 20', '"vocab_size": 21', r"word.weight' is \(20, 8\), by config.json \(21"),
        ('"num_hidden_layers": 1', '"num_hidden_layers": 2', r"layers.1.* is missing, by config"),
        ('"num_hidden_layers": 1', '"num_hidden_layers": 0', r"layers.0.*, by config.json not the"),
    ):
        (folder / "config.json").write_text(text.replace(old, new))
        with pytest.raises(LabseError, match=message):
            read_bert_folder(folder)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(LabseError, match="cannot be read as weights"):
        read_bert_folder(folder)


def test_the_model_to_grow_must_have_the_vocabulary_of_the_run(run_folder: Path) -> None:
    folder, vocab = run_folder / "bert", run_folder / "vocab"
    bert = BertConfig.model_validate(BERT | {"vocab_size": 45, "num_hidden_layers": 1})
    start = BertFolder(bert, MaskedLm(bert).state_dict())
    write_bert_folder(folder, start, files=vocabulary_files(vocab))
    assert read_start(folder, vocab).config.vocab_size == 45
    (folder / "vocab.txt").write_text("other\n")
    with pytest.raises(UsageError, match="another vocabulary than --vocab"):
        read_start(folder, vocab)
