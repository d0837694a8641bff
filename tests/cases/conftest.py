"""Runs the commands of the cases in this process, in a folder of their own."""

from pathlib import Path

import pytest
from tests.model_data import random_folder
from tests.unit.cli.conftest import Ran, Run, run

from labse.model_folder.folder import write_model_folder
from labse.vocab.tokenizer import SPECIAL_TOKENS, save_vocabulary

__all__ = ["Ran", "Run", "run"]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random model of letters, for cases of files: the one that ships takes longer to load."""
    folder = tmp_path_factory.mktemp("tiny")
    letters = sorted({*"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.?,'"})
    pieces = [*SPECIAL_TOKENS, *letters, *(f"##{letter}" for letter in letters)]
    save_vocabulary(folder / "vocab", pieces)
    sizes = {"hidden_size": 32, "num_hidden_layers": 0, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 48, "max_position_embeddings": 128}
    options = {"max_seq_length": 128, "pooling": "mean"}
    built = random_folder(folder / "vocab", sizes, seed=7, scale=0.3, **options)
    write_model_folder(folder / "model", built, vocab_folder=folder / "vocab", manifest={"seed": 7})
    return str(folder / "model")


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path
